"""What filter and aggregation make of an unbiased objective, computed exactly (no sampling): the claims of the docs.

    python benchmarks/recipe_bias.py

The filter: half of P prompts are hard (accuracy .05), half easy (.5), N = 16; groups of equal rewards are dropped and
the loss is divided by the number that is left. The weight of hard prompts against easy ones, relative to filter=none.

The aggregation: P prompts on which a policy has four whole answers of 8, 4, 16 and 32 tokens with probabilities .5, .3,
.15, .05 and rewards 0, 1, 0, 1, N = 4, RLOO; cosine of the expected gradient with that of the mean reward.
"""

import torch
from torch import Tensor

from rsgrpo.audit.enumeration import advantages_of, outcomes_of
from rsgrpo.objectives.claims import group_chances, multisets
from rsgrpo.objectives.rloo import RLOO

PROMPTS = (1, 2, 4, 8, 32)
POLICY = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
REWARDS = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64)
LENGTHS = torch.tensor([8, 4, 16, 32])


def mean_share(kept_chances: list[float]) -> float:
    """E[1 / (1 + number of the others that are kept)]."""
    number = [1.0]
    for p in kept_chances:
        number = [a * (1 - p) + b * p for a, b in zip([*number, 0.0], [0.0, *number], strict=True)]
    return sum(chance / (1 + kept) for kept, chance in enumerate(number))


def weight_of_hard(prompts: int, hard: float = 0.05, easy: float = 0.5, n: int = 16) -> float:
    """Weight of a hard prompt over that of an easy one under drop_equal_rewards, relative to filter=none."""
    kept_hard, kept_easy = (1 - p**n - (1 - p) ** n for p in (hard, easy))
    half = prompts // 2
    others_of_hard = [kept_hard] * (half - 1) + [kept_easy] * half
    others_of_easy = [kept_hard] * half + [kept_easy] * (half - 1)
    return mean_share(others_of_hard) / mean_share(others_of_easy)


def cosine(aggregation: str, prompts: int, n: int = 4) -> float:
    """Of the expected gradient with that of the mean reward; dividing by the batch's tokens couples the prompts."""
    counts = multisets(len(POLICY), n)
    outcomes = outcomes_of(counts)
    advantages = advantages_of(RLOO(), REWARDS[outcomes], POLICY.log()[outcomes])
    chances = group_chances(counts.double(), POLICY)
    tokens = LENGTHS[outcomes].sum(dim=1)
    if aggregation == "sequence_mean":
        advantages = advantages / LENGTHS[outcomes]
    scale = torch.ones(len(counts), dtype=torch.float64)
    if aggregation == "token_mean":
        others = torch.ones(1, dtype=torch.float64)
        one = torch.zeros(int(tokens.max()) + 1, dtype=torch.float64).index_add(0, tokens, chances)
        for _ in range(prompts - 1):
            others = convolved(others, one)
        totals = torch.arange(len(others))[None] + tokens[:, None]
        scale = (others / totals).sum(dim=1)
    by_outcome = torch.zeros(counts.shape, dtype=torch.float64).scatter_add(1, outcomes, advantages)
    gradient = (chances * scale) @ (by_outcome @ (torch.eye(len(POLICY), dtype=torch.float64) - POLICY))
    truth = POLICY * (REWARDS - POLICY @ REWARDS)
    return (gradient @ truth / (gradient.norm() * truth.norm())).item()


def convolved(a: Tensor, b: Tensor) -> Tensor:
    """The distribution of the sum of two independent whole numbers."""
    result = torch.zeros(len(a) + len(b) - 1, dtype=torch.float64)
    for shift, chance in enumerate(b.tolist()):
        if chance:
            result[shift : shift + len(a)] += chance * a
    return result


def main() -> None:
    print("drop_equal_rewards: weight of hard over easy prompts, relative to filter=none")
    for prompts in PROMPTS[1:]:
        print(f"  P = {prompts:2}   {weight_of_hard(prompts):.3f}")
    print("aggregation: cosine with the gradient of the mean reward, filter=none")
    for aggregation in ("sequence_sum", "token_mean", "sequence_mean"):
        found = "   ".join(f"P = {prompts}: {cosine(aggregation, prompts):.4f}" for prompts in PROMPTS)
        print(f"  {aggregation:14} {found}")


if __name__ == "__main__":
    main()
