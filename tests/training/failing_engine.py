"""Engines that fail on one rank, at a moment that an environment variable names."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rsgrpo.distributed import ranks
from rsgrpo.errors import UserError
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.types import Group, Prompt, Sampling

FAILS = "ENGINE_FAILS"
"""`<method> <version of the policy> <rank>`, for example `generate 3 1`."""


@dataclass(slots=True, kw_only=True)
class FailingEngine(HFEngine):
    """Samples as the hf engine does and takes weights as vLLM does, one after another."""

    def fails(self, method: str) -> bool:
        return os.environ.get(FAILS) == f"{method} {self.version} {ranks.index()}"

    def load_policy(self, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        self.version = version
        for i, _ in enumerate(weights):
            if i == 3 and self.fails("load_policy"):
                raise UserError("rollout=failing: not enough memory")

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, num_completions: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Group]]:
        # `HFEngine.generate`, since a dataclass with slots is another class than `super()` knows.
        for i, group in enumerate(
            HFEngine.generate(self, prompts, sampling, num_completions=num_completions, seeds=seeds)
        ):
            if i == 1 and self.fails("generate"):
                raise ZeroDivisionError("the device is gone")
            yield group


@dataclass(slots=True, kw_only=True)
class FailingVLLM(VLLMEngine):
    """A vLLM whose second step fails, where a rank that shares it waits for this one."""

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, num_completions: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Group]]:
        if os.environ.get(FAILS) == f"step {self.version} {ranks.index()}":
            step, steps = self._llm.llm_engine.step, iter(range(100))

            def fails() -> list[Any]:
                if next(steps):
                    raise ZeroDivisionError("the device is gone")
                return step()

            self._llm.llm_engine.step = fails
        return VLLMEngine.generate(self, prompts, sampling, num_completions=num_completions, seeds=seeds)
