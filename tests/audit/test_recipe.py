"""The audit of a whole recipe: the parts of a run over every draw of all prompts, and what is exact by design."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from rsgrpo.audit.divisor import others_of_update
from rsgrpo.audit.enumeration import gradient_moments
from rsgrpo.audit.groups import RecipeParts
from rsgrpo.audit.mix import Mix
from rsgrpo.audit.moved import moved_policies
from rsgrpo.audit.recipe import audit_of_recipe
from rsgrpo.batching.filters import DropEqualRewards, KeepAll
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.errors import FieldError, UserError
from rsgrpo.losses.aggregation import Aggregation
from rsgrpo.losses.base import Loss, LossOutput
from rsgrpo.losses.cispo import CISPOLoss
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.losses.gspo import GSPOLoss
from rsgrpo.losses.reinforce import ReinforceLoss
from rsgrpo.objectives.base import Objective
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.reinforce import Reinforce
from rsgrpo.objectives.rloo import RLOO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.unlikeliness import Unlikeliness
from rsgrpo.schedules.constant import Constant
from rsgrpo.terms.entropy import EntropyBonus
from rsgrpo.terms.kl import KL
from rsgrpo.types import Outcome, PackedRow, TokenStatistics
from tests.audit.every_update import every_update

AGGREGATIONS: tuple[Aggregation, ...] = ("token_mean", "sequence_mean", "sequence_sum", "constant_sum")

SMALL = Mix(
    accuracies=[0.2, 0.6],
    probabilities=[0.5, 0.3, 0.2],
    tokens=[3, 1, 2],
    rewards=[0.0, 1.0, 0.0],
    graded=None,
    reference=[0.2, 0.3, 0.5],
)
"""Three answers, so that every draw of several prompts can be tried."""

TWO_ANSWERS = Mix(
    accuracies=[0.2, 0.6],
    probabilities=[0.5, 0.5],
    tokens=[3, 1],
    rewards=[0.0, 1.0],
    graded=None,
    reference=[0.4, 0.6],
)


class NoGradient(Objective):
    """Learns nothing from any group."""

    def advantages(self, rewards: Tensor, context: Any) -> Tensor:
        return torch.zeros_like(rewards)


def recipe(prompts: int = 2, updates: int = 1, n: int = 2, **parts: Any) -> RecipeParts:
    plan = BatchPlan(prompts_per_iteration=prompts, prompts_per_update=prompts // updates, completions_per_prompt=n)
    chosen = {"objective": RLOO(), "schedule": Constant(), "filter": DropEqualRewards(), "loss": ClipLoss()}
    return RecipeParts(**{**chosen, **parts}, batching=plan)


def stage(found: dict[str, Any], part: str) -> dict[str, Any]:
    return next(row for row in found["stages"] if row["part"] == part)


def tensor(values: Sequence[Any]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def unit(parts: RecipeParts, mix: Mix) -> float:
    """What gradients are times, see `audit_of_recipe`."""
    means = parts.loss.aggregation in ("token_mean", "sequence_mean")
    tokens = (mix.policies() @ tensor(mix.tokens)).mean().item() if means else max(mix.tokens)
    return parts.batching.prompts_per_update * tokens


def assert_is_every_update(parts: RecipeParts, mix: Mix = SMALL, rewards: Sequence[float] | None = None) -> None:
    """The last row of the audit is what the run's own parts give over every draw of all prompts."""
    rewards = mix.rewards if rewards is None else rewards
    found = audit_of_recipe(parts, mix, rewards)
    alone = tensor(stage(found, "objective")["mean"])
    expected = every_update(parts, mix, rewards, moved_policies(mix.policies(), alone, mix.kl))
    last = stage(found, "terms")
    torch.testing.assert_close(tensor(last["mean"]), expected.mean * unit(parts, mix), atol=1e-10, rtol=1e-10)
    assert last["noise"] == pytest.approx(expected.noise, rel=1e-8)
    assert expected.mean.abs().max() > 1e-4


# Against every draw


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("group_filter", [DropEqualRewards(), KeepAll()], ids=["filter", "no filter"])
@pytest.mark.parametrize(
    "objective", [RLOO(), pytest.param(Reinforce(), marks=pytest.mark.slow)], ids=["rloo", "reinforce"]
)
def test_filter_and_aggregation(objective: Any, group_filter: Any, aggregation: Aggregation) -> None:
    """Groups of equal rewards teach `reinforce`, so a filter changes more than its divisor."""
    assert_is_every_update(
        recipe(objective=objective, filter=group_filter, loss=ReinforceLoss(aggregation=aggregation))
    )


@pytest.mark.parametrize(
    "aggregation", ["token_mean", *(pytest.param(a, marks=pytest.mark.slow) for a in AGGREGATIONS[1:])]
)
def test_groups_of_three(aggregation: Aggregation) -> None:
    parts = recipe(n=3, objective=RSGRPO(beta=2.0), loss=ClipLoss(aggregation=aggregation))
    assert_is_every_update(parts, rewards=[0.0, 1.0, 0.4])


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_sum"])
@pytest.mark.parametrize(("prompts", "updates"), [(4, 1), (2, 2), pytest.param(4, 2, marks=pytest.mark.slow)])
def test_several_updates(prompts: int, updates: int, aggregation: Aggregation) -> None:
    """Kept groups are dealt into updates of one size or of two, in whatever order the prompts come."""
    parts = recipe(prompts, updates, loss=ClipLoss(aggregation=aggregation))
    assert_is_every_update(parts, TWO_ANSWERS)


def test_three_prompts_of_one_kind_in_three_updates() -> None:
    parts = recipe(3, 3, loss=ClipLoss(aggregation="token_mean"))
    assert_is_every_update(parts, replace(TWO_ANSWERS, accuracies=[0.3]))


@pytest.mark.slow
def test_three_prompts_per_update_of_six() -> None:
    parts = recipe(6, 2, loss=ClipLoss(aggregation="token_mean"))
    assert_is_every_update(parts, replace(TWO_ANSWERS, accuracies=[0.3]))


@pytest.mark.parametrize(
    "loss",
    [
        ClipLoss(clip_low=0.05, clip_high=0.1),
        ClipLoss(clip_low=0.05, clip_high=0.1, dual_clip=1.05),
        CISPOLoss(clip_high=0.1),
        GSPOLoss(clip_low=0.03, clip_high=0.04),
        ReinforceLoss(aggregation="constant_sum"),
    ],
    ids=["clip", "dual clip", "cispo", "gspo", "reinforce"],
)
def test_losses_of_a_policy_that_has_moved(loss: Loss) -> None:
    """By enough for some answers to be clipped: the gradient is not the one without bounds."""
    mix = replace(SMALL, kl=0.02)
    assert_is_every_update(recipe(loss=loss), mix)
    found = audit_of_recipe(recipe(loss=loss), mix, mix.rewards)
    moved = (tensor(stage(found, "loss")["mean"]) - tensor(stage(found, "aggregation")["mean"])).abs().max()
    # Centred advantages times grad log pi sum to the same at every policy: without a ratio nothing has changed.
    assert moved > 0.01 or (isinstance(loss, ReinforceLoss) and moved < 1e-12)


@pytest.mark.parametrize(
    "terms",
    [
        {"kl": KL(estimator="k3", place="loss", coefficient=0.1)},
        {"kl": KL(estimator="k1", place="reward", coefficient=0.1)},
        {"entropy": EntropyBonus(coefficient=0.1)},
        {"kl": KL(estimator="k2", place="loss", coefficient=0.1), "entropy": EntropyBonus(coefficient=0.05)},
        {"off": KL(estimator="k1", place="reward", coefficient=0.1), "entropy": EntropyBonus(coefficient=0.05)},
    ],
    ids=["k3", "k1 off the reward", "entropy", "two", "one of each"],
)
@pytest.mark.parametrize("kl", [pytest.param(0.0, marks=pytest.mark.slow), 0.02])
def test_terms(terms: dict[str, Any], kl: float) -> None:
    assert_is_every_update(recipe(terms=terms), replace(SMALL, kl=kl))


def test_an_objective_that_looks_at_likelihoods_and_a_rescaled_one() -> None:
    parts = recipe(objective=Unlikeliness(), schedule=Constant(rescale="unit_rms"), filter=KeepAll())
    assert_is_every_update(parts)


# What is exact by design


@pytest.mark.parametrize(
    "loss", [ClipLoss(), CISPOLoss(), GSPOLoss(), ReinforceLoss()], ids=["clip", "cispo", "gspo", "reinforce"]
)
def test_on_policy_a_loss_adds_nothing(loss: Loss) -> None:
    found = audit_of_recipe(recipe(4, n=6, objective=RSGRPO(beta=4.0), loss=loss), Mix(), Mix().rewards)
    before, after = (tensor(stage(found, part)["mean"]) for part in ("aggregation", "loss"))
    torch.testing.assert_close(after, before, atol=1e-14, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("objective", [RLOO(), GRPO(normalize_std=True), RSGRPO(beta=8.0), Reinforce()])
def test_without_filter_and_with_a_constant_divisor_the_recipe_is_the_objective(objective: Any) -> None:
    mix = Mix(accuracies=[0.35])
    parts = recipe(3, n=16, objective=objective, filter=KeepAll(), loss=ClipLoss(aggregation="constant_sum"))
    found = audit_of_recipe(parts, mix, mix.rewards)
    own = gradient_moments(objective, tensor(mix.probabilities), tensor(mix.rewards), 16)
    for row in found["stages"]:
        torch.testing.assert_close(tensor(row["mean"])[0], own.mean, atol=1e-12, rtol=1e-10)
        assert row["noise"] == pytest.approx(own.std / own.mean.norm().item(), rel=1e-9)


def test_a_ratio_without_bounds_keeps_rloo_unbiased_wherever_the_policy_is() -> None:
    """E of ratio x (r - what the others got) x grad log pi, under the sampled policy, is the gradient at the other."""
    open_bounds = ClipLoss(clip_low=1.0, clip_high=1e9, aggregation="constant_sum")
    found = audit_of_recipe(recipe(4, n=8, loss=open_bounds), Mix(kl=0.1), Mix().rewards)
    last = stage(found, "loss")
    torch.testing.assert_close(tensor(last["mean"]), tensor(last["claimed"]), atol=1e-12, rtol=1e-10)
    bounded = audit_of_recipe(recipe(4, n=8, loss=ClipLoss(aggregation="constant_sum")), Mix(kl=0.1), Mix().rewards)
    assert stage(bounded, "loss")["cosine"] < 0.9


def test_the_policy_moves_by_the_divergence_that_is_asked_for() -> None:
    before, direction = Mix().policies(), torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).double()
    for kl in (1e-6, 0.01, 0.5):
        after = moved_policies(before, direction, kl)
        found = (before * (before / after).log()).sum(dim=1).mean().item()
        assert found == pytest.approx(kl, rel=1e-6)
        shift = (after / before).log() - direction * (after / before).log().norm() / direction.norm()
        assert (shift - shift.mean(dim=1, keepdim=True)).abs().max() < (after / before).log().abs().max()
    assert moved_policies(before, direction, 0.0) is before


def test_a_rescaled_objective_is_longer_and_nothing_else() -> None:
    found = audit_of_recipe(recipe(4, n=4, schedule=Constant(rescale="unit_rms")), Mix(), Mix().rewards)
    before, after = stage(found, "objective"), stage(found, "rescale")
    assert after["cosine"] == pytest.approx(1.0, abs=1e-12)
    # RLOO's advantages are 4/3 (r - c/4), whose mean square over c = 0, ..., 4 is 16/9 x (3 + 4 + 3)/16 / 5 = 2/9.
    assert after["scale"] / before["scale"] == pytest.approx((2 / 9) ** -0.5)


def test_an_objective_without_a_claim_is_held_against_itself() -> None:
    class Claimless(Objective):
        def advantages(self, rewards: Tensor, context: Any) -> Tensor:
            return rewards - rewards.mean(dim=1, keepdim=True)

    found = audit_of_recipe(recipe(2, n=4, objective=Claimless()), Mix(), Mix().rewards)
    assert found["against"] == "objective"
    assert (stage(found, "objective")["scale"], stage(found, "objective")["hard"]) == pytest.approx((1, 1))
    assert stage(found, "aggregation")["hard"] < 0.9


# The numbers of the documentation


SIZES = [2, 8, *(pytest.param(prompts, marks=pytest.mark.slow) for prompts in (4, 32))]


@cache
def hard(prompts: int) -> float:
    """The weight of hard prompts where groups of equal rewards are dropped and the others divided by."""
    parts = recipe(prompts, n=16, loss=ClipLoss(aggregation="sequence_sum"))
    return stage(audit_of_recipe(parts, Mix(), Mix().rewards), "terms")["hard"]


@pytest.mark.parametrize("prompts", SIZES)
def test_dropped_groups_make_hard_prompts_count_for_less(prompts: int) -> None:
    assert f"{hard(prompts):.2f}" == {2: "0.69", 4: "0.84", 8: "0.92", 32: "0.98"}[prompts]


def by_hand(prompts: int, n: int = 16) -> float:
    """E[1 / kept groups] of a hard prompt over that of an easy one, from binomials of the numbers that are kept."""

    def share(others: Sequence[float]) -> float:
        number = torch.ones(1, dtype=torch.float64)
        for p in others:
            kept = 1 - p**n - (1 - p) ** n
            number = torch.cat([number * (1 - kept), tensor([0])]) + torch.cat([tensor([0]), number * kept])
        return (number / torch.arange(1, len(number) + 1)).sum().item()

    half = prompts // 2
    return share([0.05] * (half - 1) + [0.5] * half) / share([0.05] * half + [0.5] * (half - 1))


@pytest.mark.parametrize("prompts", SIZES)
def test_the_weight_of_hard_prompts_is_that_of_the_binomials(prompts: int) -> None:
    assert hard(prompts) == pytest.approx(by_hand(prompts), rel=1e-11)


@pytest.mark.parametrize(
    ("aggregation", "cosines"),
    [
        ("token_mean", ["0.9973", "0.9997", "1.0000"]),
        ("sequence_mean", ["0.9891", "0.9891", "0.9891"]),
        ("sequence_sum", ["1.0000", "1.0000", "1.0000"]),
    ],
)
def test_what_an_aggregation_does_to_the_direction(aggregation: Aggregation, cosines: list[str]) -> None:
    mix = Mix(accuracies=[0.35])
    parts = {"n": 4, "filter": KeepAll(), "loss": ClipLoss(aggregation=aggregation)}
    found = [stage(audit_of_recipe(recipe(p, **parts), mix, mix.rewards), "terms")["cosine"] for p in (1, 4, 32)]
    assert [f"{cosine:.4f}" for cosine in found] == cosines


def test_a_constant_keeps_the_weight_of_hard_prompts_though_groups_are_dropped() -> None:
    found = audit_of_recipe(recipe(4, n=16, loss=ClipLoss(aggregation="constant_sum")), Mix(), Mix().rewards)
    last = stage(found, "terms")
    assert (last["scale"], last["cosine"], last["hard"]) == pytest.approx((1, 1, 1), abs=1e-11)


def test_the_sizes_of_the_paper_are_computed() -> None:
    """512 prompts in updates of 32, whose tokens the loss divides by."""
    parts = recipe(512, 16, n=16, loss=ClipLoss(aggregation="token_mean"))
    chances = [torch.tensor([0.0, 0.0, 0.3, 0.2]), torch.tensor([0.0, 0.0, 0.0, 0.9])]
    found = others_of_update([c.double() for c in chances], [255, 256], parts.batching)
    assert found.sum().item() == pytest.approx(1, abs=1e-12)
    assert len(found) == 1 + 31 * 3


# What a term adds


def test_a_term_says_how_strongly_it_pulls() -> None:
    terms = {"one": KL(estimator="k3", place="loss", coefficient=0.01)}
    found = audit_of_recipe(recipe(4, n=4, terms=terms), Mix(), Mix().rewards)
    (term,) = found["terms"]
    without, whole = (tensor(stage(found, part)["mean"]) for part in ("loss", "terms"))
    added = whole - without
    assert term["size"] == pytest.approx((added.norm() / without.norm()).item())
    assert term["cosine"] == pytest.approx(((added * without).sum() / added.norm() / without.norm()).item())
    twice = {"one": KL(estimator="k3", place="loss", coefficient=0.02)}
    doubled = audit_of_recipe(recipe(4, n=4, terms=twice), Mix(), Mix().rewards)["terms"][0]
    assert doubled["size"] == pytest.approx(2 * term["size"])


def test_a_term_without_a_coefficient_adds_nothing() -> None:
    terms = {"kl": KL(estimator="k3", place="loss", coefficient=0.0)}
    (term,) = audit_of_recipe(recipe(2, n=4, terms=terms), Mix(), Mix().rewards)["terms"]
    assert (term["size"], term["cosine"]) == (0.0, None)


# What cannot be enumerated


class BestHalf:
    """Keeps the groups with more right answers than the mean of all groups has."""

    def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]:
        mean = sum(outcome.accuracy for outcome in outcomes) / len(outcomes)
        return [None if outcome.accuracy > mean else "below the mean" for outcome in outcomes]


class OverTheRow(Loss):
    """A loss that divides by the tokens of its row."""

    def __call__(self, tokens: TokenStatistics, old_logprobs: Tensor, row: PackedRow) -> LossOutput:
        return LossOutput(per_token=-row.advantages * tokens.logprobs / len(tokens.logprobs))


@pytest.mark.parametrize(
    ("parts", "mix", "says"),
    [
        ({"prompts": 3}, {}, "prompts_per_iteration=3 cannot be shared equally by the 2 accuracies.*=4"),
        ({"prompts": 2**20}, {}, "more than the 1,048,576 .*try prompts_per_iteration=8192"),
        ({"n": 64}, {}, "completions_per_prompt=64 with 4 answers makes 47,905 .*completions_per_prompt=47"),
        ({"filter": BestHalf()}, {}, "filter: BestHalf .*by the other groups.*KeepAll"),
        ({"loss": OverTheRow()}, {}, "loss: OverTheRow.*without the others of its row"),
        ({"loss": GSPOLoss(aggregation="token_mean")}, {}, "aggregation=token_mean .*use aggregation=sequence_mean"),
        ({"objective": NoGradient()}, {"kl": 0.1}, "kl=0.1 cannot be reached .*try kl=0"),
    ],
)
def test_what_cannot_be_enumerated_is_refused(parts: dict[str, Any], mix: dict[str, Any], says: str) -> None:
    with pytest.raises((UserError, FieldError), match=says):
        audit_of_recipe(recipe(**{"n": 4, **parts}), Mix(**mix), Mix().rewards)


def test_refills_are_refused() -> None:
    parts = recipe(2, n=4)
    with pytest.raises(FieldError, match=r"max_refills=2 .* use max_refills=0"):
        audit_of_recipe(replace(parts, batching=replace(parts.batching, max_refills=2)), Mix(), Mix().rewards)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kl": -0.1}, "kl=-0.1 must be between 0 and 1"),
        ({"accuracies": []}, "accuracies=.* must list 1 to 4 numbers"),
        ({"accuracies": [0.5, 1.0]}, "accuracies=.* must list 1 to 4 numbers"),
        ({"probabilities": [0.5, 0.5, 0.2, 0.1]}, "probabilities=.* sum to 1; try"),
        ({"probabilities": [1.0]}, "probabilities=.* 2 to 8 answers"),
        ({"tokens": [8, 4]}, "tokens=.* a number for each of the 4"),
        ({"tokens": [8, 4, 0, 2]}, "tokens=.* whole numbers from 1"),
        ({"rewards": [1, 1, 1, 1]}, "rewards=.* must have a right answer"),
        ({"graded": [0.5]}, "graded=.* a number for each of the 4"),
        ({"reference": [0.5, 0.5, 0.0, 0.0]}, "reference=.* above 0 that sum to 1"),
    ],
)
def test_a_mix_checks_itself(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError, match=says):
        Mix(**wrong)


def test_prompts_have_the_accuracies_that_were_asked_for() -> None:
    policies = Mix(accuracies=[0.05, 0.35, 0.9]).policies()
    assert policies[:, [1, 3]].sum(dim=1).tolist() == pytest.approx([0.05, 0.35, 0.9])
    torch.testing.assert_close(policies[1], tensor(Mix().probabilities))
