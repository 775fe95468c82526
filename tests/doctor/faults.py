"""What the doctor has to find: an engine with weights of its own that does wrong, and parts of a run that do."""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import Parity
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.training.optimizer import AdamW
from rsgrpo.types import Completion, Group, Prompt, Sampling, Score


@dataclass(kw_only=True)
class OwnWeights:
    """Samples from a copy of the policy that a sync writes."""

    policy: Policy
    skips: tuple[str, ...] = ()
    """Tensors that no sync moves."""
    hotter: float = 1.0
    """By how much it samples at another temperature than it says."""
    version: int = 0
    parity: Parity = field(default_factory=lambda: Parity(bound=1e-4, every=1))

    def __post_init__(self) -> None:
        self.copy = deepcopy(self.policy)
        self.engine = HFEngine(policy=self.copy)

    def load_policy(self, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        mine = dict(self.copy.model.named_parameters())
        with torch.no_grad():
            for name, tensor in weights:
                if name not in self.skips:
                    mine[name].copy_(tensor)
        self.version = version

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, num_completions: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Group]]:
        asked = replace(sampling, temperature=sampling.temperature * self.hotter)
        return self.engine.generate(prompts, asked, num_completions=num_completions, seeds=seeds)

    def make_room(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetful(AdamW):
    """An optimiser whose moments are in no checkpoint."""

    def over(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        class WithoutMoments(torch.optim.AdamW):
            def state_dict(self) -> dict[str, Any]:
                return {**super().state_dict(), "state": {}}

        return WithoutMoments(parameters, **self.adam)


class AlwaysRight:
    """A reward that anything satisfies."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return Score(value=1.0, correct=True)


class NeverRight:
    """A reward that nothing satisfies."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return Score(value=0.0, correct=False)
