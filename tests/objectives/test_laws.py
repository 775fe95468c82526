"""Laws of every objective that has a yaml in `conf/objective/`: a new yaml is tested here without another line.

Objectives differ legitimately in which rewards they take, in whether equal rewards teach, and in whether a group may be
left without any advantage. The tables below say so; each exception is tested to be one.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.base import AdvantageContext, Objective
from tests.objectives.cases import CASES, NAMES, VARIANTS, composed, context_of

GROUPS = {
    "binary": [
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    ],
    "continuous": [
        [0.0, 0.2, 0.5, 1.0, 0.3, 0.1, 0.6, 0.9],
        [0.9, 0.1, 0.7, 0.3, 0.3, 0.9, 0.2, 0.4],
        [0.25, 0.25, 0.75, 0.5, 0.0, 0.25, 0.5, 0.125],
    ],
    "above 1": [
        [3.0, 0.0, 2.0, 2.5, 0.5, 1.0, 0.0, 1.5],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0],
        [4.0, 4.0, 1.0, 1.0, 0.5, 2.0, 0.25, 3.0],
    ],
    "negative": [
        [-1.0, -0.2, -0.5, 0.0, -0.7, -0.3, -0.1, -0.9],
        [-3.0, 2.0, -1.0, 0.5, 1.0, -2.0, 0.0, 1.5],
        [-0.1, -0.1, -0.1, -0.2, -0.1, -0.3, -0.2, -0.25],
    ],
    "some groups equal": [[1.0] * 8, [0.0] * 8, [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]],
    "huge": [
        [1e6, -1e6, 0.0, 1.0, 2.0, 0.0, -1.0, 5e5],
        [1e30, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0],
        [-1e30, 1e30, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
    ],
    "huge, not negative": [
        [1e6, 0.0, 0.0, 1.0, 2.0, 0.0, 1.0, 5e5],
        [1e30, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1e30, 1e30, 0.0, 0.0, 0.0, 0.0, 1.0],
    ],
    "small": [
        [1e-6, 0.0, 0.0, 2e-6, 0.0, 0.0, 1e-6, 0.0],
        [1e-30, 0.0, 0.0, 0.0, 1e-30, 0.0, 0.0, 0.0],
        [0.0, 1e-12, 1e-12, 0.0, 0.0, 0.0, 0.0, 1e-12],
    ],
}
"""P = 3 groups of N = 8 completions: k = 4 of the yamls needs at least 5."""

ORDINARY = ("binary", "continuous", "above 1", "negative", "some groups equal")
"""Rewards at which rounding is small beside the advantages."""

ACCEPTS = {
    "mahdavi": "binary",
    "w_reinforce": "binary",
    "psr": "binary",
    "nsr": "binary",
    "rspo pass_at_k": "binary",
    "focal": "[0, 1]",
    "maxrl": "not negative",
    "unlikeliness": "not negative",
    "darling": "not negative",
    "boundary_gate": "binary",
    "ngrpo": "at most 1",
}
"""Rewards that an objective is defined for, by case, or else by yaml; all others take any."""

NOT_ZERO_ON_EQUAL_REWARDS = {
    "reinforce",
    "w_reinforce",
    "psr",
    "nsr",
    "unlikeliness",
    "pkpo s",
    "pkpo s_loo",
    "darling",
    "ngrpo",
}
"""Without a baseline, or with one that is no mean of the same rewards."""

SPARSE = {
    *("best_of_n", "pkpo", "rspo", "chen", "maxpo", "mahdavi unbiased", "chen centred", "rspo pass_at_k"),
    "boundary_gate",
}
"""0 for everyone when there are more best completions than N - k, since then every k-subset holds one; or when a gate
closes."""

OVERFLOWS = {
    ("rs_grpo loo", "huge"),
    ("rs_grpo loo beta -2", "huge"),
    ("rs_grpo loo", "huge, not negative"),
    ("entropic beta 2", "huge"),
    ("entropic beta 2", "huge, not negative"),
    ("rs_grpo jackknife", "huge"),
    ("rs_grpo jackknife beta -2", "huge"),
    ("rs_grpo jackknife", "huge, not negative"),
    ("rs_grpo jackknife beta -2", "huge, not negative"),
}
"""A single best completion, or a single one that beta < 0 prefers, gets exp(beta r), or what is left without two best
ones is nothing: refused, never infinite."""


def takes(case: str, rewards: Tensor) -> bool:
    kind = ACCEPTS.get(case, ACCEPTS.get(VARIANTS.get(case, (case,))[0], "any"))
    return {
        "any": True,
        "binary": set(rewards.flatten().tolist()) <= {0.0, 1.0},
        "[0, 1]": bool(((rewards >= 0) & (rewards <= 1)).all()),
        "not negative": bool((rewards >= 0).all()),
        "at most 1": bool((rewards <= 1).all()),
    }[kind]


def pairs(
    kinds: Iterable[str] = tuple(GROUPS), *, of: Iterable[str] = CASES, taken: bool = True
) -> pytest.MarkDecorator:
    """Every objective with each kind of rewards that it takes, or refuses; overflows have a test of their own."""
    chosen = [
        pytest.param(case, kind, id=f"{case}, {kind}")
        for case in of
        for kind in kinds
        if takes(case, torch.tensor(GROUPS[kind])) is taken and (case, kind) not in OVERFLOWS
    ]
    return pytest.mark.parametrize(("case", "kind"), chosen)


def run(case: str, kind: str) -> tuple[Objective, Tensor, AdvantageContext]:
    rewards = torch.tensor(GROUPS[kind])
    return composed(case), rewards, context_of(rewards)


def changed(objective: Objective, **fields: Any) -> Any:
    """A copy with other values, as a schedule makes it."""
    return dataclasses.replace(objective, **fields)  # pyright: ignore[reportArgumentType]


def test_every_objective_of_the_literature_is_here():
    assert {"reinforce", "grpo", "dr_grpo", "rloo", "rs_grpo", "best_of_n", "pkpo", "mahdavi", "chen"} <= set(NAMES)
    assert {"rspo", "maxpo", "maxrl", "focal", "unlikeliness", "w_reinforce", "psr", "nsr", "entropic"} <= set(NAMES)


def test_the_tables_name_cases_that_exist():
    named = {*ACCEPTS, *NOT_ZERO_ON_EQUAL_REWARDS, *SPARSE}
    assert named | {case for case, _ in OVERFLOWS} <= set(CASES)


def test_a_variant_is_no_default():
    for case, (name, *_) in VARIANTS.items():
        assert composed(case) != composed(name), case


@pairs()
def test_advantages_have_the_shape_and_type_of_the_rewards_and_are_finite(case, kind):
    objective, rewards, context = run(case, kind)
    advantages = objective.advantages(rewards, context)
    assert advantages.shape == rewards.shape
    assert advantages.dtype == rewards.dtype
    assert advantages.isfinite().all()


@pairs(taken=False)
def test_other_rewards_are_refused_with_the_objective_and_a_cure(case, kind):
    objective, rewards, context = run(case, kind)
    name = VARIANTS.get(case, (case,))[0]
    base = {"psr": "w_reinforce", "nsr": "w_reinforce"}.get(name, name)  # they are settings of it
    with pytest.raises(UserError, match=rf"objective {base}\b.*change the reward, or use .*objective=\w+"):
        objective.advantages(rewards, context)


@pytest.mark.parametrize(("case", "kind"), sorted(OVERFLOWS))
def test_an_overflow_is_refused_and_the_cure_works(case, kind):
    objective, rewards, context = run(case, kind)
    with pytest.raises(FieldError, match=r"beta=\S+ is too large for .*; try beta=\S+, or ") as error:
        objective.advantages(rewards, context)
    cured = changed(objective, beta=float(error.value.cure.split(",")[0].removeprefix("try beta=")))
    assert cured.advantages(rewards, context).isfinite().all()


@pairs()
def test_rewards_are_not_changed_and_not_handed_back(case, kind):
    objective, rewards, context = run(case, kind)
    before, logprobs = rewards.clone(), context.sampler_logprobs.clone()
    advantages = objective.advantages(rewards, context)
    assert rewards.equal(before)
    assert context.sampler_logprobs.equal(logprobs)
    assert advantages.data_ptr() != rewards.data_ptr()


@pytest.mark.parametrize("best", [0, 3, 7])
@pytest.mark.parametrize("case", CASES)
def test_a_unique_best_completion_has_an_advantage_over_the_others(case, best):
    # What every objective agrees on: of one success and N - 1 failures, the success is to become likelier.
    rewards = torch.zeros(1, 8)
    rewards[0, best] = 1.0
    a = composed(case).advantages(rewards, context_of(rewards))[0]
    others = torch.cat([a[:best], a[best + 1 :]])
    assert a[best] > others.max()


@pairs(["binary", "continuous", "above 1", "negative"], of=[case for case in CASES if case not in SPARSE])
def test_rewards_that_differ_give_some_advantage(case, kind):
    objective, rewards, context = run(case, kind)
    assert (objective.advantages(rewards, context).abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("case", sorted(SPARSE))
def test_a_sparse_objective_is_one(case):
    rewards = torch.tensor([[0.0] + [1.0] * 7])
    assert composed(case).advantages(rewards, context_of(rewards)).eq(0).all()


@pairs([*ORDINARY, "small"])
def test_permuting_completions_permutes_advantages(case, kind):
    objective, rewards, context = run(case, kind)
    advantages = objective.advantages(rewards, context)
    for order in ([1, 0, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1, 0], [2, 0, 3, 1, 7, 5, 4, 6]):
        permuted = AdvantageContext(
            iteration=1,
            prompt_ids=context.prompt_ids,
            sampler_logprobs=context.sampler_logprobs[:, order],
            answers=[[row[i] for i in order] for row in context.answers or []],
        )
        # Sums are taken in another order: equal up to float32 rounding.
        got = objective.advantages(rewards[:, order], permuted)
        torch.testing.assert_close(got, advantages[:, order], atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("completions", [2, 3, 7, 16])
@pytest.mark.parametrize("case", [case for case in CASES if case not in NOT_ZERO_ON_EQUAL_REWARDS])
def test_equal_rewards_give_zero_advantage(case, completions):
    objective = composed(case)
    if case == "entropic" or "jackknife" in case:
        completions = max(completions, 3)  # log 2 nats are out of reach of two, of whom none is left without two
    if hasattr(objective, "k"):
        # At k = 1 there is nobody to be better than: the reward itself is the advantage of some. Groups of 2 are too
        # small for more where k <= N - 1.
        completions = max(completions, 3)
        objective = changed(objective, k=min(4, completions - 1))
    for reward in (0.0, 1.0, -1.0, 0.5, 0.1, 0.7, 1e-6):
        rewards = torch.full((2, completions), reward)
        if takes(case, rewards):
            assert objective.advantages(rewards, context_of(rewards)).eq(0).all(), reward


@pytest.mark.parametrize("case", sorted(NOT_ZERO_ON_EQUAL_REWARDS))
def test_an_objective_that_learns_from_equal_rewards_does(case):
    # From groups that are all correct, or, for those that punish only, all wrong.
    rewards = torch.full((1, 8), 0.0 if case in ("nsr", "ngrpo") else 1.0)
    assert composed(case).advantages(rewards, context_of(rewards)).abs().max().item() > 0.05


@pairs()
def test_no_gradient_is_needed_or_made(case, kind):
    objective, rewards, context = run(case, kind)
    advantages = objective.advantages(rewards, context)
    assert not advantages.requires_grad
    with torch.inference_mode():
        assert objective.advantages(rewards, context).equal(advantages)


@pairs(ORDINARY)
def test_float32_agrees_with_float64(case, kind):
    objective, single, context = run(case, kind)
    exact = objective.advantages(single.double(), context_of(single.double()))
    assert exact.dtype == torch.float64
    torch.testing.assert_close(objective.advantages(single, context).double(), exact, atol=1e-6, rtol=1e-6)


FAR_FROM_ZERO = 1e6
"""A millionth of it is .0625 in float32: the rewards below are multiples of that, so that adding it changes none."""

SEES_THE_OFFSET = {"reinforce", "pkpo s", "pkpo s_loo", "maxrl", "unlikeliness", "darling"}
"""No baseline, or one that scales with the rewards: the advantage itself is another with other rewards."""
ASKS_WHAT_IS_RIGHT = {"ucpo", "uniqueness", "uniqueness centred"}
"""Where the context does not say what is correct it is what has a reward above 0, and an offset moves that."""


@pytest.mark.parametrize("case", [c for c in CASES if takes(c, torch.tensor([-1.0, 2.0])) or c in SEES_THE_OFFSET])
def test_what_all_rewards_have_in_common_costs_no_digits(case):
    offsets = torch.tensor([[FAR_FROM_ZERO], [-FAR_FROM_ZERO], [0.0]]) if takes(case, torch.tensor([-1.0])) else 1e6
    near = torch.tensor([[0.5, 0.0, 0.25, 1.0, 0.0625, 0.0, 0.75, 0.0]] * 3)
    far = near + offsets
    assert (far - offsets).equal(near)
    objective = composed(case)
    single, double = (objective.advantages(r, context_of(r)).double() for r in (far, far.double()))
    size = double.abs().max().item()
    torch.testing.assert_close(single, double, atol=1e-6 * size, rtol=0)
    if case not in SEES_THE_OFFSET | ASKS_WHAT_IS_RIGHT:
        plain = objective.advantages(near.double(), context_of(near.double()))
        torch.testing.assert_close(single, plain, atol=1e-6 * size, rtol=0)


KINDS = {
    "bool": torch.bool,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_any_kind_of_number_is_a_float(case, kind):
    rewards = torch.tensor(GROUPS["binary"])
    got = composed(case).advantages(rewards.to(KINDS[kind]), context_of(rewards))
    assert got.dtype == torch.float32
    assert got.equal(composed(case).advantages(rewards, context_of(rewards)))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("case", CASES)
def test_a_reward_that_is_not_finite_is_named(case, wrong):
    rewards = torch.tensor(GROUPS["binary"])
    rewards[1, 2] = wrong
    with pytest.raises(UserError, match=rf"^a reward is {wrong}, and objectives take finite numbers"):
        composed(case).advantages(rewards, context_of(rewards))


@pytest.mark.parametrize("case", ["grpo std", "focal", "unlikeliness"])
def test_rewards_that_differ_by_rounding_are_equal(case):
    # .1 + .2 is not .3 in binary: a standard deviation of 2e-17 is no scale.
    rewards = torch.tensor([[0.1 + 0.2, 0.3, 0.3, 0.1 + 0.2]], dtype=torch.float64)
    context = AdvantageContext(iteration=1, prompt_ids=["a"], sampler_logprobs=torch.zeros_like(rewards))
    assert composed(case).advantages(rewards, context).abs().max() == 0
    assert composed(case).advantages(rewards + torch.tensor([[1e-12, 0, 0, 0]]), context).abs().max() > 0.1


@pairs()
def test_a_batch_of_prompts_is_each_prompt_alone(case, kind):
    objective, rewards, context = run(case, kind)
    together = objective.advantages(rewards, context)
    for i in range(len(rewards)):
        alone = objective.advantages(rewards[i : i + 1], one_prompt(context, i))[0]
        torch.testing.assert_close(alone, together[i], atol=0, rtol=1e-6)


def one_prompt(context: AdvantageContext, i: int) -> AdvantageContext:
    return AdvantageContext(
        iteration=context.iteration,
        prompt_ids=context.prompt_ids[i : i + 1],
        sampler_logprobs=context.sampler_logprobs[i : i + 1],
        answers=None if context.answers is None else context.answers[i : i + 1],
    )


@pytest.mark.parametrize("case", CASES)
def test_no_prompts_give_no_advantages(case):
    # A filter may drop every group of an iteration.
    rewards = torch.zeros(0, 8)
    assert composed(case).advantages(rewards, context_of(rewards)).shape == (0, 8)


# --- a beta or k of its own for each prompt


def scheduled(field: str) -> list[str]:
    return [case for case in CASES if hasattr(composed(case), field)]


def test_the_objectives_that_a_schedule_can_drive_are_these():
    assert {VARIANTS.get(case, (case,))[0] for case in scheduled("beta")} == {"rs_grpo", "entropic"}
    with_k = {VARIANTS.get(case, (case,))[0] for case in scheduled("k")}
    assert with_k == {"pkpo", "mahdavi", "chen", "rspo", "maxpo", "boundary_gate"}


def check_each_prompt(objective: Objective, field: str, values: Tensor, rewards: Tensor) -> None:
    """The objective with one value per prompt is, row by row, the objective with that number."""
    context = context_of(rewards)
    together = changed(objective, **{field: values}).advantages(rewards, context)
    assert together.dtype == rewards.dtype
    for i, value in enumerate(values[:, 0].tolist()):
        alone = changed(objective, **{field: value})
        expected = alone.advantages(rewards[i : i + 1], one_prompt(context, i))[0]
        # Relative to the group's largest: a number is a float64, its row of a tensor has the type of the rewards.
        torch.testing.assert_close(together[i], expected, atol=2e-6 * expected.abs().max().item(), rtol=0)
    assert not together[0].equal(together[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["binary", "continuous", "negative"])
@pytest.mark.parametrize("case", scheduled("beta"))
def test_each_prompt_may_have_a_beta_of_its_own(case, kind, dtype):
    # Rows of the same rewards, so that only beta tells them apart. log E[exp(0 r)] is a constant: entropic refuses 0.
    betas = [2.0, -1.5, 0.25, 8.0] + ([] if case.startswith("entropic") else [0.0, 1e-30])
    rewards = torch.tensor(GROUPS[kind][:1] * len(betas), dtype=dtype)
    check_each_prompt(composed(case), "beta", torch.tensor(betas, dtype=dtype)[:, None], rewards)


@pytest.mark.parametrize("estimator", ["plugin", "loo", "vimco", "jackknife"])
def test_a_beta_of_zero_among_others_is_exactly_its_limit(estimator):
    # A row of 0 takes the branch of the limit: mean baseline, and RLOO for the estimators that leave one out.
    rewards = torch.tensor(GROUPS["continuous"], dtype=torch.float64)
    betas = torch.tensor([[2.0], [0.0], [-3.0]], dtype=torch.float64)
    mixed = changed(composed("rs_grpo"), estimator=estimator, beta=betas)
    limit = rewards[1] - rewards[1].mean()
    expected = limit if estimator == "plugin" else 8 / 7 * limit
    torch.testing.assert_close(mixed.advantages(rewards, context_of(rewards))[1], expected, atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pairs(["binary", "continuous", "negative"], of=scheduled("k"))
def test_each_prompt_may_have_a_k_of_its_own(case, kind, dtype):
    rewards = torch.tensor(GROUPS[kind][:1] * 4, dtype=dtype)
    check_each_prompt(composed(case), "k", torch.tensor([[1], [2], [4], [7]]), rewards)


NEEDS_NO_SUBSETS = {"mahdavi", "mahdavi grpo", "boundary_gate"}


@pytest.mark.parametrize("case", [case for case in scheduled("k") if case not in NEEDS_NO_SUBSETS])
def test_one_k_too_large_is_refused_whatever_the_others_are(case):
    # Mahdavi's plug-in weight k (1 - p)^(k-1) needs no subsets, nor does its posterior mean: any k.
    rewards = torch.tensor(GROUPS["binary"])
    objective = changed(composed(case), k=torch.tensor([[1], [9], [2]]))
    with pytest.raises(FieldError, match="k=9 is too large") as error:
        objective.advantages(rewards, context_of(rewards))
    assert "try k=" in error.value.cure
