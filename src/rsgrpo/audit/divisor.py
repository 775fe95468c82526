"""What a random divisor does: the weight that a kept group has on average, whatever else its update holds.

An update divides by its tokens or by its completions, and both depend on which groups were kept and how long their
completions are. The groups are independent, so the sum of the others is a product of polynomials, one for each group:
in z, whose powers count tokens or groups. It is evaluated at the roots of unity (FFT), which makes it exact but for
rounding.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rsgrpo.batching.plan import BatchPlan, deal
from rsgrpo.errors import FieldError
from rsgrpo.losses.aggregation import Aggregation, token_weight

MOST_UNITS = 2**20
"""Tokens or groups that an update may hold: their distribution has so many numbers."""

MOST_PRODUCTS = 2**28
"""Complex products, where groups are dealt into several updates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divisor:
    """What a token of a completion is divided by, in an update whose other groups are random."""

    aggregation: Aggregation
    plan: BatchPlan
    longest: int
    """Tokens that a completion can have."""

    @property
    def counts_tokens(self) -> bool:
        """Whether the divisor depends on tokens, and otherwise on groups at most."""
        return self.aggregation == "token_mean"

    def of_length(self, length: int) -> float:
        """The weight of a token of a completion of that length, relative to one of a completion of one token."""
        weight = self._weight([1])
        return weight(length) / weight(1)

    def of_units(self, units: int) -> float:
        """The weight of a token of a completion of one token, in an update of so many tokens or groups."""
        return self._weight([units] if self.counts_tokens else [1] * units * self.plan.completions_per_prompt)(1)

    def moments(
        self, own: Int[Tensor, " G"], others: Float[Tensor, " T"]
    ) -> tuple[Float[Tensor, " G"], Float[Tensor, " G"]]:
        """E[w] and E[w^2] of `of_units(own + others)`, for groups of `own` units; 0 where a group has none.

        Args:
            own: units of the group itself.
            others: the distribution of the units of the others of its update.
        """
        distinct, places = own.unique(return_inverse=True)
        longest = int(distinct.max()) + len(others)
        weights = torch.tensor([0.0, *(self.of_units(units) for units in range(1, longest))], dtype=torch.float64)
        both = torch.stack([weights, weights.square()], dim=1)
        first, second = torch.stack([others @ both[u : u + len(others)] for u in distinct.tolist()]).unbind(1)
        return first[places], second[places]

    def _weight(self, lengths: list[int]) -> Callable[[int], float]:
        sequences = self.plan.completions_per_update
        return token_weight(lengths, self.aggregation, max_new_tokens=self.longest, sequences=sequences)


def others_of_update(
    kept: Sequence[Float[Tensor, " L"]], others: Sequence[int], plan: BatchPlan
) -> Float[Tensor, " T"]:
    """The distribution of the units of all other groups of the update that a kept group is dealt into.

    Prompts come in random order: a kept group stands anywhere among the kept ones, and any of these beside it.

    Args:
        kept: for each kind of prompt, the chance that its group is kept and has 0, 1, ... units. The rest of 1 is that
            of being dropped.
        others: how many other prompts of each kind the iteration has.
        plan: into how many updates the kept groups are dealt.

    Raises:
        FieldError: where the distribution has more numbers than are computed.
    """
    beside = -(-plan.prompts_per_iteration // plan.updates_per_epoch) - 1  # others that an update has room for
    most = [len(chances) - 1 for chances in kept]
    if plan.updates_per_epoch == 1:
        length = 1 + sum(number * units for number, units in zip(others, most, strict=True))
    else:
        length = 1 + beside * max(most)
    size = 2 ** math.ceil(math.log2(max(2, length)))
    _check_size(length, others, beside, size, plan)
    transformed = [torch.fft.rfft(chances, n=size) for chances in kept]
    dropped = [1 - chances.sum().item() for chances in kept]
    if plan.updates_per_epoch == 1:
        product = torch.ones_like(transformed[0])
        for lost, of_kept, number in zip(dropped, transformed, others, strict=True):
            product = product * (lost + of_kept) ** number
    else:
        product = _dealt(transformed, dropped, others, beside, plan)
    return torch.fft.irfft(product, n=size)[:length].clamp(min=0)


def _dealt(
    transformed: list[Tensor], dropped: list[float], others: Sequence[int], room: int, plan: BatchPlan
) -> Tensor:
    """The same with several updates: the sum over how many others of each kind are in the update of the group."""
    chance_of_hand = _hands(sum(others) + 1, plan.updates_per_epoch)
    powers = [_powers(of_kept, min(number, room)) for of_kept, number in zip(transformed, others, strict=True)]
    product = torch.zeros_like(transformed[0])
    for beside in _beside(others, room):
        elsewhere = np.ones(1)  # the chance that 0, 1, ... of those that are not in this update were kept
        for lost, number, here in zip(dropped, others, beside, strict=True):
            elsewhere = np.convolve(elsewhere, _binomial(number - here, 1 - lost))
        total = sum(beside)
        chance = float(elsewhere @ chance_of_hand[total, total:])
        chance *= math.prod(math.comb(number, here) for number, here in zip(others, beside, strict=True))
        if chance:
            term = torch.full_like(product, chance)
            for of_kind, here in zip(powers, beside, strict=True):
                term = term * of_kind[here]
            product = product + term
    return product


def _beside(others: Sequence[int], room: int) -> list[tuple[int, ...]]:
    """How many others of each kind can stand in one update."""
    every = itertools.product(*(range(min(number, room) + 1) for number in others))
    return [beside for beside in every if sum(beside) <= room]


def _hands(groups: int, updates: int) -> np.ndarray:
    """[m, k]: the chance that a kept group shares its update with m given ones, and no others, of k other kept ones."""
    chances = np.zeros((groups, groups))
    for k in range(groups):
        for hand in deal(range(k + 1), updates):
            if hand:
                chances[len(hand) - 1, k] += len(hand) / (k + 1) / math.comb(k, len(hand) - 1)
    return chances


def _binomial(draws: int, p: float) -> np.ndarray:
    p = min(max(p, 0.0), 1.0)  # a sum of chances may be 1 but for rounding
    return np.array([math.comb(draws, k) * p**k * (1 - p) ** (draws - k) for k in range(draws + 1)])


def _powers(base: Tensor, largest: int) -> list[Tensor]:
    powers = [torch.ones_like(base)]
    for _ in range(largest):
        powers.append(powers[-1] * base)
    return powers


def _check_size(length: int, others: Sequence[int], room: int, size: int, plan: BatchPlan) -> None:
    if length > MOST_UNITS:
        feasible = max(1, int(plan.prompts_per_iteration * MOST_UNITS / length))
        raise FieldError(
            "prompts_per_iteration",
            plan.prompts_per_iteration,
            f"with {plan.completions_per_prompt} completions each makes updates of up to {length - 1:,} tokens, more "
            f"than the {MOST_UNITS:,} whose distribution is computed",
            f"try prompts_per_iteration={2 ** int(math.log2(feasible))}, or shorter answers, tokens=[8,4,16,32]",
            prompts_per_iteration="batching",
            tokens="task",
        )
    products = math.prod(min(number, room) + 1 for number in others) * size
    if plan.updates_per_epoch > 1 and products > MOST_PRODUCTS:
        raise FieldError(
            "prompts_per_iteration",
            plan.prompts_per_iteration,
            f"in {plan.updates_per_epoch} updates makes {products:,} terms, more than the {MOST_PRODUCTS:,} that are "
            "summed",
            f"audit a single update, with prompts_per_iteration={plan.prompts_per_update}, and say with kl=0.01 how "
            "far the policy has moved",
            prompts_per_iteration="batching",
            kl="task",
        )
