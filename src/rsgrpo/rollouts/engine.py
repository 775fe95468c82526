"""The one seam between training and whatever samples from the policy."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from rsgrpo.types import Group, Prompt, Sampling


@runtime_checkable
class RolloutEngine(Protocol):
    """Draws completions from the policy. Knows nothing of rewards, objectives or ranks."""

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, num_completions: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Group]]:
        """Yield (index of the prompt, its group) as soon as the group's completions are done, in any order.

        Args:
            prompts: what to complete.
            sampling: how to draw.
            num_completions: N, completions per prompt.
            seeds: one per prompt; the same seed draws the same completions, whatever else is in the batch.
        """
        ...

    def load_policy(self, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        """Take the policy's weights, full tensors by Hugging Face name, and stamp completions with `version`."""
        ...
