"""Losses, terms, corrections, refills and orders in whole iterations, and what they cost when they are off."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.batching.filters import DropEqualRewards, KeepAll
from rsgrpo.corrections.automatic import NoCorrection
from rsgrpo.corrections.truncate import TokenTruncate
from rsgrpo.data.posterior import Posterior
from rsgrpo.errors import FieldError, UserError
from rsgrpo.losses.base import Loss, LossOutput
from rsgrpo.losses.cispo import CISPOLoss
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.losses.gspo import GSPOLoss
from rsgrpo.losses.reinforce import ReinforceLoss
from rsgrpo.metrics.updates import updates
from rsgrpo.models.policy import Policy
from rsgrpo.objectives.maxrl import MaxRL
from rsgrpo.objectives.reinforce import Reinforce
from rsgrpo.terms.entropy import EntropyBonus, EntropyTarget
from rsgrpo.terms.kl import KL
from rsgrpo.training.combinations import refuse_contradictions, remarks
from rsgrpo.training.optimizer import AdamW
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Outcome, PackedRow, Sampling, TokenStatistics
from tests.training.test_module import PLAN, RECIPE, gradients, train

LOSSES: dict[str, dict[str, Any]] = {
    "reinforce": {"loss": ReinforceLoss()},
    "gspo": {"loss": GSPOLoss()},
    "cispo": {"loss": CISPOLoss()},
    "dual clip": {"loss": ClipLoss(dual_clip=3.0)},
    "bonus": {"terms": {"entropy": EntropyBonus(coefficient=0.1)}},
    "target": {"terms": {"entropy": EntropyTarget(target=3.0, coefficient=0.01)}},
    "correction": {"correction": TokenTruncate()},
}


@pytest.mark.parametrize("parts", LOSSES.values(), ids=list(LOSSES))
def test_many_micro_batches_give_the_gradient_of_one_big_batch(tmp_path: Path, parts: dict[str, Any]) -> None:
    whole, [report] = train(tmp_path, replace(RECIPE, **deepcopy(parts)))
    in_rows = replace(RECIPE, batching=replace(PLAN, row_tokens=40), **deepcopy(parts))  # a term remembers an iteration
    many, [report_many] = train(tmp_path, in_rows)
    assert report.updates[0].num_rows == 1
    assert report_many.updates[0].num_rows > 4
    assert report_many.updates[0].loss == pytest.approx(report.updates[0].loss, abs=1e-5)
    other = gradients(many)
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradient, other[name], atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize(
    "loss", [ReinforceLoss(), CISPOLoss(), ClipLoss(dual_clip=3.0)], ids=lambda loss: type(loss).__name__
)
def test_in_the_first_update_of_an_iteration_all_surrogates_train_alike(tmp_path: Path, loss: Loss) -> None:
    clip, _ = train(tmp_path, RECIPE)
    other, _ = train(tmp_path, replace(RECIPE, loss=loss))
    of_other = gradients(other)
    for name, gradient in gradients(clip).items():
        torch.testing.assert_close(gradient, of_other[name], atol=1e-7, rtol=1e-5, msg=name)


def test_a_penalty_off_the_reward_changes_rewards_and_not_what_is_correct(tmp_path: Path) -> None:
    term = KL(estimator="k1", place="reward", coefficient=0.5)
    _, [first, second] = train(tmp_path, replace(RECIPE, iterations=2, terms={"kl": term}))
    assert all(score.parts["kl_penalty"] == 0.0 for outcome in first.outcomes for score in outcome.scores)
    scores = [score for outcome in second.outcomes for score in outcome.scores]
    assert any(abs(score.parts["kl_penalty"]) > 1e-4 for score in scores)
    for score in scores:
        assert score.value == pytest.approx(float(score.correct) - score.parts["kl_penalty"], abs=1e-9)


def test_a_coefficient_of_zero_measures_the_divergence_and_changes_nothing(tmp_path: Path) -> None:
    plain, _ = train(tmp_path, replace(RECIPE, iterations=2))
    measured, [first, second] = train(
        tmp_path, replace(RECIPE, iterations=2, terms={"kl": KL(estimator="k3", place="loss", coefficient=0.0)})
    )
    assert updates(first)["kl"] == 0.0
    assert updates(second)["kl"] > 1e-5
    theirs = dict(plain.policy.named_parameters())
    for name, parameter in measured.policy.named_parameters():
        torch.testing.assert_close(parameter, theirs[name], atol=1e-6, rtol=1e-5, msg=name)


def test_what_is_off_costs_no_forward_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    forward = Policy.forward

    def counted(self: Policy, row: PackedRow, *args: Any, **kwargs: Any) -> TokenStatistics:
        passes.append(id(self))
        return forward(self, row, *args, **kwargs)

    monkeypatch.setattr(Policy, "forward", counted)

    def cost(**parts: Any) -> int:
        passes.clear()
        train(tmp_path, replace(RECIPE, **parts))
        return len(passes)

    assert cost() == 1
    assert cost(terms={"entropy": EntropyBonus()}, correction=TokenTruncate()) == 1
    assert cost(terms={"kl": KL(estimator="k3", place="loss")}) == 2
    assert cost(terms={"kl": KL(estimator="k1", place="reward")}) == 3  # policy and reference of all groups, the update


@dataclass(frozen=True)
class KeepFirst:
    """Keeps every third group, whatever came of it."""

    def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]:
        return [None if place % 3 == 0 else "not a third one" for place in range(len(outcomes))]


def test_a_refill_samples_other_prompts_until_the_batch_is_full(tmp_path: Path) -> None:
    recipe = replace(RECIPE, filter=KeepFirst(), batching=replace(PLAN, max_refills=9))
    module, [report] = train(tmp_path, recipe)
    # Places 0, 3, 6 and 9 are kept: draws of 4, 2 (kept: 0, 3), 2 (6), 1 (none) and 1 (9).
    assert report.refills == 4
    assert [place for place, reason in enumerate(report.dropped) if reason is None] == [0, 3, 6, 9]
    assert len(report.outcomes) == module.drawn == 10
    assert len({outcome.prompt_id for outcome in report.outcomes}) == 10
    assert report.updates[0].num_sequences == 4 * PLAN.completions_per_prompt
    plain, [without] = train(tmp_path, replace(RECIPE, filter=KeepFirst()))
    assert (without.refills, plain.drawn) == (0, 4)
    assert report.outcomes[:4] == without.outcomes


@dataclass(frozen=True)
class KeepNone:
    def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]:
        return ["never"] * len(outcomes)


def test_a_batch_that_cannot_be_filled_trains_on_what_there_is(tmp_path: Path) -> None:
    _, [report] = train(tmp_path, replace(RECIPE, filter=KeepNone(), batching=replace(PLAN, max_refills=2)))
    assert (report.refills, len(report.outcomes), report.updates) == (2, 12, ())


def test_the_next_iteration_goes_on_behind_the_refills(tmp_path: Path) -> None:
    recipe = replace(RECIPE, iterations=2, filter=KeepFirst(), batching=replace(PLAN, max_refills=1))
    module, [first, second] = train(tmp_path, recipe)
    visited = [outcome.prompt_id for report in (first, second) for outcome in report.outcomes]
    assert len(visited) == len(set(visited)) == module.drawn == 12


def test_an_order_learns_from_every_group_and_visits_as_many_prompts(tmp_path: Path) -> None:
    order = Posterior()
    module, reports = train(tmp_path, replace(RECIPE, iterations=3, order=order))
    assert [len(report.outcomes) for report in reports] == [4, 4, 4]
    assert module.drawn == 12
    assert set(order.counts) == {outcome.prompt_id for report in reports for outcome in report.outcomes}


@dataclass(frozen=True, kw_only=True)
class NaNAt(Loss):
    """Not a number in some calls."""

    calls: tuple[int, ...]
    seen: list[int]

    def __call__(self, tokens: TokenStatistics, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> LossOutput:
        self.seen.append(1)
        factor = math.nan if len(self.seen) in self.calls else 1.0
        return LossOutput(per_token=-row.advantages * tokens.logprobs * factor)


def test_an_update_that_is_not_finite_is_skipped_and_counted(tmp_path: Path) -> None:
    loss = NaNAt(calls=(2,), seen=[])
    module, reports = train(tmp_path, replace(RECIPE, iterations=3, loss=loss, filter=KeepAll()))
    assert [report.updates[0].skipped for report in reports] == [None, "the loss", None]
    assert [updates(report)["bad_updates"] for report in reports] == [0, 1, 0]
    assert "loss" not in updates(reports[1])
    assert module.optimizer_steps == 2
    assert all(parameter.isfinite().all() for parameter in module.policy.parameters())
    before, _ = train(tmp_path, replace(RECIPE, iterations=1, filter=KeepAll(), loss=NaNAt(calls=(), seen=[])))
    skipped, _ = train(tmp_path, replace(RECIPE, iterations=2, filter=KeepAll(), loss=NaNAt(calls=(2,), seen=[])))
    for one, other in zip(before.policy.parameters(), skipped.policy.parameters(), strict=True):
        assert torch.equal(one, other), "a skipped update changes no weight"


def test_several_in_a_row_end_the_run(tmp_path: Path) -> None:
    loss = NaNAt(calls=(2, 3, 4), seen=[])
    with pytest.raises(
        UserError, match=r"the loss of an update of iteration 4 is nan, and so were the 2 before it; .*lr=0\.001"
    ):
        train(tmp_path, replace(RECIPE, iterations=5, loss=loss, filter=KeepAll()))
    at_once = replace(RECIPE, iterations=5, filter=KeepAll(), optimizer=AdamW(lr=1e-3, max_bad_updates=1))
    with pytest.raises(UserError, match="iteration 2 is nan; try"):
        train(tmp_path, replace(at_once, loss=NaNAt(calls=(2,), seen=[])))


def test_the_gap_to_the_sampler_is_measured_on_every_trained_token(tmp_path: Path) -> None:
    _, [report] = train(tmp_path, RECIPE)
    gap = report.sampler_gap
    assert gap is not None
    assert 0 < gap.mean <= gap.p99 <= gap.largest == report.logprob_gap
    assert gap.largest < 1e-4
    assert 0 <= gap.kl < 1e-8
    assert gap.outside == 0


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "sequence ratio by tokens": ({"loss": GSPOLoss(aggregation="token_mean")}, "aggregation=token_mean counts"),
    "refill without a filter": ({"filter": KeepAll(), "batching": replace(PLAN, max_refills=2)}, "drops none"),
    "refill of groups that teach": (
        {"objective": Reinforce(), "batching": replace(PLAN, max_refills=2)},
        "all right, and Reinforce learns from those",
    ),
    "a penalty off binary rewards": (
        {"objective": MaxRL(), "terms": {"kl": KL(estimator="k1", place="reward")}},
        r"term\.kl is taken off the reward .*use a term of the loss, such as KL\(estimator='k2'",
    ),
}


@pytest.mark.parametrize(("parts", "said"), CONTRADICTIONS.values(), ids=list(CONTRADICTIONS))
def test_contradictions_are_refused_with_their_reason(parts: dict[str, Any], said: str) -> None:
    with pytest.raises((UserError, FieldError), match=said):
        refuse_contradictions(replace(RECIPE, **parts))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"loss": ReinforceLoss(), "batching": replace(PLAN, epochs=2)}, "with 2 updates per iteration"),
        ({"terms": {"kl": KL(estimator="k1", place="reward")}}, "drops hardly any group"),
        ({"objective": Reinforce()}, "groups that are all right too"),
        ({"filter": KeepAll(), "terms": {"kl": KL(estimator="k3", place="reward")}}, "k3 off the reward"),
        ({"terms": {"kl": KL(estimator="k1", place="reward", coefficient=0.0)}}, None),
        ({}, None),
        ({"loss": ReinforceLoss()}, None),
    ],
)
def test_what_is_seldom_meant_is_remarked_on(parts: dict[str, Any], said: str | None) -> None:
    found = remarks(replace(RECIPE, **parts))
    assert (said in found[0] and len(found) == 1) if said else found == []


@pytest.mark.parametrize("off", [{}, {"correction": NoCorrection()}])
def test_sampling_from_a_truncated_distribution_needs_a_correction(off: dict[str, Any]) -> None:
    sampling = Sampling(max_new_tokens=10, top_p=0.9)
    with pytest.raises(FieldError, match=r"top_p=0\.9 cuts tokens off.*correction=TokenTruncate"):
        replace(RECIPE, sampling=sampling, **off)
    assert replace(RECIPE, sampling=sampling, correction=TokenTruncate(), filter=DropEqualRewards())


def test_training_from_a_truncated_distribution_weighs_what_was_sampled(tmp_path: Path) -> None:
    recipe: Recipe = replace(
        RECIPE, sampling=Sampling(max_new_tokens=10, top_p=0.8), correction=TokenTruncate(), filter=KeepAll()
    )
    _, [report] = train(tmp_path, recipe)
    said = updates(report)
    # The sampler's log-probs are those of what top_p has left, so they are larger: the ratio is between top_p and 1.
    assert 0.75 < said["correction_weight"] < 0.95
    assert said["correction_cut"] == 0
