"""Rewarding the unlikely: the discount by rank, then GRPO."""

import math

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.base import AdvantageContext
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.unlikeliness import Unlikeliness, discounted
from tests.objectives.cases import advantages_of

LOGPROBS = [-0.9, -0.3, -0.5, -0.2]
"""Ranks 0, 2, 1, 3: the first is the least likely."""


def advantages(objective, rewards, logprobs=LOGPROBS):
    context = AdvantageContext(
        iteration=1, prompt_ids=["a"], sampler_logprobs=torch.tensor([logprobs], dtype=torch.float64)
    )
    return objective.advantages(torch.tensor([rewards], dtype=torch.float64), context)[0].tolist()


def test_the_discount_by_hand():
    # 1 - 0.5 rank/4: 1, 3/4, 7/8, 5/8.
    got = discounted(torch.tensor([[1.0, 2.0, 0.0, 1.0]]), torch.tensor([LOGPROBS]), 0.5)
    assert got.tolist() == [[1.0, 1.5, 0.0, 0.625]]


def test_ranks_are_those_of_each_group():
    logprobs = torch.tensor([[-5.0, -6.0, -7.0], [-0.1, -0.3, -0.2]])
    got = discounted(torch.ones(2, 3), logprobs, 0.75)
    assert got.tolist() == [[0.5, 0.75, 1.0], [0.5, 1.0, 0.75]]


@pytest.mark.parametrize(("ddof", "eps"), [(1, 0.0), (0, 0.0), (1, 1e-6)])
def test_advantages_by_hand(ddof, eps):
    # Rewards 1, 1, 0, 0 at penalty 0.5 become 1, 3/4, 0, 0: mean 7/16, squared deviations 81, 25, 49, 49 of 256.
    deviation = math.sqrt(204 / 256 / (4 - ddof)) + eps
    expected = [9 / 16 / deviation, 5 / 16 / deviation, -7 / 16 / deviation, -7 / 16 / deviation]
    got = advantages(Unlikeliness(penalty=0.5, ddof=ddof, eps=eps), [1.0, 1.0, 0.0, 0.0])
    assert got == pytest.approx(expected, abs=1e-14)


def test_without_penalty_it_is_grpo():
    rewards = [0.0, 0.2, 0.5, 1.0]
    assert advantages(Unlikeliness(penalty=0.0), rewards) == advantages_of(GRPO(normalize_std=True), rewards).tolist()


def test_groups_that_are_all_correct_teach_the_rank():
    a = advantages(Unlikeliness(), [1.0] * 4)
    assert a[0] > a[2] > a[1] > a[3]
    # Ranks 0, 1, 2, 3 in equal steps: whatever the penalty, the same advantages, (3, 1, -1, -3)/2 over their deviation.
    deviation = math.sqrt(20 / 3)
    assert [a[0], a[2], a[1], a[3]] == pytest.approx([d / deviation for d in (3, 1, -1, -3)], abs=1e-14)
    assert advantages(Unlikeliness(penalty=1.0), [1.0] * 4) == pytest.approx(a, abs=1e-14)


def test_wrong_completions_are_alike_whatever_their_likelihood():
    a = advantages(Unlikeliness(), [1.0, 0.0, 0.0, 0.0])
    assert a[1] == a[2] == a[3] < 0 < a[0]


def test_equally_likely_ones_share_their_mean_rank_wherever_they_stand():
    # Ranks 1, 1, 1 of three; then 0, 1.5, 1.5, 3 of four: 1 - .8 rank / N.
    assert discounted(torch.ones(1, 3), torch.full((1, 3), -0.5), 0.75).tolist() == [[0.75] * 3]
    tied = torch.tensor([[-0.5, -2.0, -0.5, -0.1], [-0.1, -0.5, -0.5, -2.0]], dtype=torch.float64)
    expected = torch.tensor([[0.7, 1.0, 0.7, 0.4], [0.4, 0.7, 0.7, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(discounted(torch.ones_like(tied), tied, 0.8), expected, atol=1e-15, rtol=0)


def test_negative_rewards_are_refused():
    # The discount would raise them.
    with pytest.raises(UserError, match=r"objective unlikeliness .*not negative and got -1;.*objective=RSGRPO\(\)"):
        advantages(Unlikeliness(), [1.0, -1.0, 0.0, 0.0])


def test_a_group_of_one_is_refused():
    with pytest.raises(UserError, match=r"objective unlikeliness .*completions_per_prompt=1"):
        advantages(Unlikeliness(), [1.0], [-0.1])


@pytest.mark.parametrize("fields", [{"penalty": 1.01}, {"penalty": -0.1}, {"ddof": 2}, {"eps": -1.0}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(FieldError, match=next(iter(fields))):
        Unlikeliness(**fields)
