"""How large the advantages of an objective are expected to be: a number of the objective and N, not of a batch."""

from collections.abc import Callable

import torch
from torch import Tensor

from rsgrpo.errors import UserError
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptFloat, PromptInt, needs_of
from rsgrpo.objectives.checked import checked_advantages


def expected_square(objective: Objective, completions: int) -> float:
    """E[(1/N) sum_i A_i^2] for rewards of 0 and 1 and a prompt of any accuracy, all equally likely.

    The number of correct completions is then 0, ..., N with the same chance each, which leaves N + 1 groups to
    enumerate. Where an objective looks at likelihoods, the policy's accuracy is that of the group.

    >>> from rsgrpo.objectives.grpo import GRPO
    >>> expected_square(GRPO(), 2)  # (1/2, -1/2) in one of three groups
    0.08333333333333333

    Raises:
        UserError, FieldError: when the objective refuses such groups, or gives all of them no advantage.
    """
    rewards = torch.ones(completions + 1, completions, dtype=torch.float64).tril(-1)
    p = rewards.mean(dim=1, keepdim=True).clamp(1e-6, 1 - 1e-6)
    prompt_ids = [f"{correct} correct" for correct in range(completions + 1)]
    logprobs = torch.where(rewards == 1, p.log(), (1 - p).log())
    context = AdvantageContext.of_one_token(prompt_ids, rewards, logprobs, needs=needs_of(objective))
    square = checked_advantages(objective, rewards, context).square().mean().item()
    if square == 0:
        raise UserError(
            f"rescale=unit_rms divides by the size of the advantages for rewards of 0 and 1, and "
            f"{type(objective).__name__} gives none in groups of N = {completions}; use rescale=none",
            rescale="schedule",
        )
    return square


def each_expected_square(
    with_value: Callable[[float], Objective], value: PromptFloat | PromptInt | None, completions: int
) -> PromptFloat:
    """`expected_square` under one value, or under each of a column [P, 1] of them."""
    if not isinstance(value, Tensor):
        return expected_square(with_value(value), completions)  # pyright: ignore[reportArgumentType]
    numbers, places = value.unique(return_inverse=True)
    squares = [expected_square(with_value(number), completions) for number in numbers.tolist()]
    return torch.tensor(squares, dtype=torch.float64)[places]
