"""The hf engine in the place of vLLM's, which says what it is told to expect."""

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor

from rsgrpo.rollouts.engine import Parity
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.types import Group, Prompt, Sampling


class ExpectingEngine(VLLMEngine):
    """Needs no vLLM."""

    def __post_init__(self) -> None:
        self.hf = HFEngine(policy=self.policy)
        self.longest = 0

    @property
    def parity(self) -> Parity | None:  # type: ignore[override]
        return None

    def expect(self, tokens: int) -> None:
        print(f"expects {tokens}")
        self.longest = tokens

    def load_policy(self, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        self.hf.load_policy(weights, version=version)

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, num_completions: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Group]]:
        assert all(len(prompt.token_ids) + sampling.max_new_tokens <= self.longest for prompt in prompts)
        return self.hf.generate(prompts, sampling, num_completions=num_completions, seeds=seeds)

    def make_room(self) -> None:
        self.hf.make_room()

    def close(self) -> None:
        self.hf.close()
