"""The results of every prompt at its visits so far, for objectives that ask for them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rsgrpo.objectives.base import PromptHistory
from rsgrpo.types import Outcome


class History:
    """The `PromptHistory` of each prompt that was visited. Every rank has the same."""

    def __init__(self) -> None:
        self._of: dict[str, PromptHistory] = {}

    def of(self, prompt_ids: Sequence[str]) -> list[PromptHistory]:
        """Before the present visit; that of a new prompt is empty."""
        return [self._of.get(prompt, PromptHistory()) for prompt in prompt_ids]

    def observe(self, outcomes: Sequence[Outcome], iteration: int) -> None:
        """Add the groups of an iteration, those that a filter dropped included."""
        for outcome in outcomes:
            (before,) = self.of([outcome.prompt_id])
            self._of[outcome.prompt_id] = before.after(outcome, iteration)

    def state_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {prompt: asdict(history) for prompt, history in self._of.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a checkpoint."""
        self._of = {prompt: PromptHistory(**history) for prompt, history in state.items()}
