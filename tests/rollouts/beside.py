"""The hf engine, with a vLLM beside it that gets all weights and whose samples nobody sees."""

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor

from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import Parity
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.types import Group, Prompt, Sampling


class Beside:
    """Whatever differs from a run with the hf engine alone is a trace that vLLM has left in the process."""

    def __init__(self, policy: Policy) -> None:
        self.hf, self.vllm = HFEngine(policy=policy), VLLMEngine(policy=policy, kv_cache_gib=0.125)

    @property
    def parity(self) -> Parity | None:
        return None

    def load_policy(self, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        self.vllm.load_policy(weights, version=version)
        self.hf.load_policy((), version=version)

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, num_completions: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Group]]:
        arguments = {"num_completions": num_completions, "seeds": seeds}
        unseen = dict(self.vllm.generate(prompts, sampling, **arguments))
        for index, group in self.hf.generate(prompts, sampling, **arguments):
            assert len(unseen[index].completions) == len(group.completions)
            yield index, group

    def make_room(self) -> None:
        self.hf.make_room()

    def close(self) -> None:
        self.vllm.close()
