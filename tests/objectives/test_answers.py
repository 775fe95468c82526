"""Objectives that look at the answers or the likelihood of the correct completions: by hand, and where mass goes."""

import math
from collections.abc import Sequence

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.clusters import cluster_sizes, right_ones
from rsgrpo.objectives.darling import Darling, diversified
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.ucpo import UCPO, uniform_weights
from rsgrpo.objectives.uniqueness import Uniqueness, rarity_weights
from tests.objectives.cases import advantages_of

LOOK = [Uniqueness(), Darling(), UCPO()]


def advantages(
    objective: Objective,
    rewards: list[float],
    answers: Sequence[str | None] | None = None,
    likelihood: list[float] | None = None,
    correct: list[bool] | None = None,
) -> list[float]:
    logprobs = torch.tensor([likelihood or [0.5] * len(rewards)], dtype=torch.float64).log()
    context = AdvantageContext(
        iteration=1,
        prompt_ids=["a"],
        sampler_logprobs=logprobs,
        answers=None if answers is None else [answers],
        correct=None if correct is None else torch.tensor([correct]),
    )
    return objective.advantages(torch.tensor([rewards], dtype=torch.float64), context)[0].tolist()


def test_sizes_count_each_group_for_itself():
    answers = [["4", "7", "4", None], [None, None, "4", "4"]]
    assert cluster_sizes(answers, torch.zeros(2, 4)).tolist() == [[2, 1, 2, 1], [2, 2, 2, 2]]
    assert cluster_sizes([], torch.zeros(0, 4)).shape == (0, 4)


def test_what_is_right_is_what_the_context_says():
    rewards = torch.tensor([[0.5, 0.0, 1.0]])
    context = AdvantageContext(iteration=1, prompt_ids=["a"], sampler_logprobs=rewards)
    assert right_ones(context, rewards).tolist() == [[1, 0, 1]]
    told = AdvantageContext(
        iteration=1, prompt_ids=["a"], sampler_logprobs=rewards, correct=torch.tensor([[False, False, True]])
    )
    assert right_ones(told, rewards).tolist() == [[0, 0, 1]]


# uniqueness


def test_rarity_by_hand():
    # Correct: a, a, b. |C|^-1: 1/2, 1/2, 1, together 2; times 3: 3/4, 3/4, 3/2. Wrong ones keep 1, whatever their size.
    sizes, right = torch.tensor([[2.0, 2.0, 1.0, 3.0, 3.0, 3.0]]), torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
    assert rarity_weights(sizes, right, 1.0).tolist() == [[0.75, 0.75, 1.5, 1, 1, 1]]
    # |C|^-2: 1/4, 1/4, 1, together 3/2: 1/2, 1/2, 2.
    assert rarity_weights(sizes, right, 2.0).tolist() == [[0.5, 0.5, 2.0, 1, 1, 1]]
    assert rarity_weights(sizes, torch.zeros_like(right), 1.0).tolist() == [[1.0] * 6], "nobody is right"


def test_uniqueness_by_hand():
    # r = 1, 1, 1, 0: mean 3/4, standard deviation 1/2: .5, .5, .5, -1.5.
    got = advantages(Uniqueness(), [1.0, 1.0, 1.0, 0.0], ["a", "a", "b", "c"])
    assert got == pytest.approx([0.375, 0.375, 0.75, -1.5], abs=1e-15)
    got = advantages(Uniqueness(normalize_std=False), [1.0, 1.0, 1.0, 0.0], ["a", "a", "b", "c"])
    assert got == pytest.approx([0.1875, 0.1875, 0.375, -0.75], abs=1e-15)


@pytest.mark.parametrize("answers", [["a"] * 6, list("abcdef"), ["a", "b", "a", "c", "c", "c"]])
def test_uniqueness_moves_credit_and_makes_none(answers):
    rewards = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    plain = advantages_of(GRPO(normalize_std=True), rewards).tolist()
    got = advantages(Uniqueness(), rewards, answers)
    assert sum(got[:3]) == pytest.approx(sum(plain[:3]), abs=1e-14)
    assert got[3:] == plain[3:]
    if answers != ["a", "b", "a", "c", "c", "c"]:
        assert got == pytest.approx(plain, abs=1e-14), "all right answers equal, or all different: as GRPO"


def test_partial_credit_that_is_below_the_mean_is_not_made_worse():
    # The second is correct and rare, and its advantage is negative: it keeps GRPO's, and the credit of others moves.
    rewards, correct = [1.0, 0.2, 0.2, 0.2, 1.0, 0.0, 1.0, 1.0], [True, True, False, False, True, False, True, True]
    got = advantages(Uniqueness(), rewards, ["a", "b", "x", "x", "a", "y", "a", "c"], correct=correct)
    plain = advantages_of(GRPO(normalize_std=True), rewards).tolist()
    assert got[1:4] == pytest.approx(plain[1:4], abs=1e-14)
    assert got[7] > plain[7] > got[0]
    assert sum(got) == pytest.approx(sum(plain), abs=1e-13)


def test_at_alpha_1_each_distinct_right_answer_gets_the_same_in_all():
    got = advantages(Uniqueness(), [1.0, 1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b", "c"])
    assert sum(got[:3]) == pytest.approx(got[3], abs=1e-14)


# darling


def test_diversity_by_hand():
    # N = 4: sizes 2, 2, 1, 4 leave 2/3, 2/3, 1 and nothing, which the floor lifts.
    got = diversified(torch.ones(1, 4, dtype=torch.float64), torch.tensor([[2.0, 2.0, 1.0, 4.0]]).double(), 0.1)
    assert got[0].tolist() == pytest.approx([2 / 3, 2 / 3, 1.0, 0.1], abs=1e-15)


def test_darling_by_hand():
    # 2/3, 2/3, 1, 0: mean 7/12.
    got = advantages(Darling(), [1.0, 1.0, 1.0, 0.0], ["a", "a", "b", "c"])
    assert got == pytest.approx([1 / 12, 1 / 12, 5 / 12, -7 / 12], abs=1e-15)


def test_darling_punishes_none_of_a_group_that_always_says_the_same():
    assert advantages(Darling(), [1.0] * 4, ["a"] * 4) == [0.0] * 4
    assert advantages(Darling(), [1.0] * 4, ["a", "a", "a", "b"])[3] > 0, "all right, and it still teaches"


def test_darling_refuses_negative_rewards():
    with pytest.raises(UserError, match=r"objective darling .*not negative and got -1;.*objective=Uniqueness\(\)"):
        advantages(Darling(), [1.0, -1.0], ["a", "b"])


# ucpo


def test_the_inverse_of_the_likelihood_by_hand():
    # Correct ones of likelihood 1/2, 1/4, 1/4: inverses 2, 4, 4 of 10; times 3: .6, 1.2, 1.2.
    logprobs, right = torch.tensor([[0.5, 0.25, 0.25, 0.9]]).double().log(), torch.tensor([[1.0, 1, 1, 0]]).double()
    assert uniform_weights(logprobs, right, 1.0)[0].tolist() == pytest.approx([0.6, 1.2, 1.2, 1.0], abs=1e-14)
    # A fifth of the way there.
    assert uniform_weights(logprobs, right, 0.2)[0].tolist() == pytest.approx([0.92, 1.04, 1.04, 1.0], abs=1e-14)
    assert uniform_weights(logprobs, 0 * right, 0.2).tolist() == [[1.0] * 4]


def test_ucpo_by_hand():
    got = advantages(UCPO(tau=1.0), [1.0, 1.0, 1.0, 0.0], likelihood=[0.5, 0.25, 0.25, 0.9])
    assert got == pytest.approx([0.3, 0.6, 0.6, -1.5], abs=1e-14)


def test_likelihoods_of_a_thousand_nats_are_no_trouble():
    logprobs = torch.tensor([[-1000.0, -1001.0, -2000.0]], dtype=torch.float64)
    got = uniform_weights(logprobs, torch.ones_like(logprobs), 0.5)
    assert got.isfinite().all()
    assert got[0, 2].item() == pytest.approx(0.5 + 1.5, abs=1e-12)


# all


@pytest.mark.parametrize("objective", LOOK, ids=lambda o: type(o).__name__)
def test_with_partial_credit_what_is_correct_is_not_what_is_rewarded(objective):
    rewards, answers, likelihood = [0.8, 1.0, 1.0, 0.0], ["x", "a", "a", "y"], [0.1, 0.6, 0.2, 0.4]
    told = advantages(objective, rewards, answers, likelihood, [False, True, True, False])
    not_told = advantages(objective, rewards, answers, likelihood)
    assert told[0] < max(told[1:3]) or isinstance(objective, Darling)
    assert (told == not_told) == isinstance(objective, Darling), "Darling weighs every reward"


@pytest.mark.parametrize("objective", [Uniqueness(), Darling()], ids=lambda o: type(o).__name__)
def test_a_context_without_answers_is_named(objective):
    with pytest.raises(ValueError, match="this context holds no answers"):
        advantages(objective, [1.0, 0.0])


@pytest.mark.parametrize("objective", LOOK, ids=lambda o: type(o).__name__)
def test_a_group_of_one_is_refused(objective):
    name = type(objective).__name__.lower()
    with pytest.raises(UserError, match=rf"objective {name} .*completions_per_prompt=1"):
        advantages(objective, [1.0], ["a"])


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (Uniqueness, {"alpha": -0.1}),
        (Uniqueness, {"ddof": 2}),
        (Darling, {"floor": 1.1}),
        (UCPO, {"tau": 1.1}),
        (UCPO, {"eps": -1.0}),
        (UCPO, {"tau": math.nan}),
    ],
)
def test_values_out_of_range_are_refused(cls, fields):
    with pytest.raises(FieldError, match=next(iter(fields))):
        cls(**fields)
