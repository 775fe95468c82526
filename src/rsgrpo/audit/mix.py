"""The prompts on which a whole recipe is audited: hard and easy ones, whose answers a small policy chooses among."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.errors import FieldError
from rsgrpo.fields import as_typed, check_fields

MOST_ACCURACIES = 4
"""Kinds of prompts: with several updates per iteration, what is enumerated grows with the power of their number."""

MOST_ANSWERS = 8

MOST_TOKENS = 4096
"""Of an answer."""

MOST_KL = 1.0
"""Nats that a policy may have moved within one iteration."""


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Prompts in equal shares, one kind for each of J accuracies, and M whole answers to each of them.

    A prompt of accuracy p has its right answers with probability p and its wrong ones with 1 - p, each among its like
    in the proportions of `probabilities`. An answer is decided by its first token: the others follow from it.

    Raises:
        FieldError: for probabilities that do not sum to 1, lists of other lengths, or answers that are all right.
    """

    accuracies: Sequence[float] = (0.05, 0.5)
    probabilities: Sequence[float] = (0.5, 0.3, 0.15, 0.05)
    """Of the M answers, where neither the right nor the wrong ones are rarer."""
    tokens: Sequence[int] = (8, 4, 16, 32)
    """Of each answer."""
    rewards: Sequence[float] = (0.0, 1.0, 0.0, 1.0)
    """Of each answer; those above 0 are right."""
    graded: Sequence[float] | None = (0.0, 0.3, 0.7, 1.0)
    """Other rewards of the same answers, which the recipe is audited with as well; None for none."""
    reference: Sequence[float] = (0.25, 0.25, 0.25, 0.25)
    """What the policy that training began with gives the answers of every prompt: a term may look at it."""
    kl: float = 0.0
    """KL(sampled || updated policy) in nats per answer, on average over the prompts; 0 in an iteration's first
    update."""

    def __post_init__(self) -> None:
        check_fields(self, kl=(0.0, MOST_KL))
        if not 1 <= len(self.accuracies) <= MOST_ACCURACIES or not all(0 < p < 1 for p in self.accuracies):
            self._refuse("accuracies", f"must list 1 to {MOST_ACCURACIES} numbers between 0 and 1", [0.05, 0.5])
        if not 2 <= len(self.probabilities) <= MOST_ANSWERS:
            self._refuse("probabilities", f"must list those of 2 to {MOST_ANSWERS} answers", [0.5, 0.3, 0.15, 0.05])
        for name in ("tokens", "rewards", "graded", "reference"):
            self._check_length(name)
        for name in ("probabilities", "reference"):
            values = getattr(self, name)
            if not all(0 < p < 1 for p in values) or not math.isclose(sum(values), 1, abs_tol=1e-9):
                even = [1 / len(values)] * len(values)
                self._refuse(name, "must list numbers above 0 that sum to 1", even)
        if not all(1 <= length <= MOST_TOKENS for length in self.tokens):
            self._refuse("tokens", f"must list whole numbers from 1 to {MOST_TOKENS}", [8] * len(self.tokens))
        if len({reward > 0 for reward in self.rewards}) == 1:
            half = [float(i % 2) for i in range(len(self.rewards))]
            self._refuse("rewards", "must have a right answer, with a reward above 0, and a wrong one", half)

    @property
    def correct(self) -> list[bool]:
        """Whether each answer is right."""
        return [reward > 0 for reward in self.rewards]

    def policies(self) -> Float[Tensor, "J M"]:
        """The probabilities of the answers to a prompt of each accuracy.

        >>> Mix(accuracies=[0.35]).policies()
        tensor([[0.5000, 0.3000, 0.1500, 0.0500]], dtype=torch.float64)
        """
        p, right = torch.tensor(self.probabilities, dtype=torch.float64), torch.tensor(self.correct)
        among_its_like = torch.where(right, p / p[right].sum(), p / p[~right].sum())
        accuracy = torch.tensor(self.accuracies, dtype=torch.float64)[:, None]
        return torch.where(right, accuracy, 1 - accuracy) * among_its_like

    def _check_length(self, name: str) -> None:
        values, answers = getattr(self, name), len(self.probabilities)
        if values is not None and len(values) != answers:
            example = {"tokens": [8], "reference": [1 / answers]}.get(name, [0.0, 1.0])
            problem = f"must have a number for each of the {answers} probabilities"
            self._refuse(name, problem, (example * answers)[:answers])

    def _refuse(self, name: str, problem: str, example: list[float] | list[int]) -> None:
        raise FieldError(name, list(getattr(self, name)), problem, f"try {name}={as_typed(example)}")
