"""Shaping in whole iterations: what it is given, what is checked, what it costs, and that nothing else changes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rsgrpo.batching.filters import DropEqualRewards, KeepAll
from rsgrpo.batching.packing import empty_row, pack
from rsgrpo.errors import FieldError, UserError
from rsgrpo.losses.gspo import GSPOLoss
from rsgrpo.losses.reinforce import ReinforceLoss
from rsgrpo.metrics.updates import updates
from rsgrpo.models.policy import Policy
from rsgrpo.shaping.base import Shaped, Shaping, UpdateTokens
from rsgrpo.shaping.clip_cov import ClipCov
from rsgrpo.shaping.entropy_advantage import EntropyAdvantage
from rsgrpo.shaping.kl_cov import KLCov
from rsgrpo.shaping.none import NoShaping
from rsgrpo.shaping.rl_zvp import RLZVP
from rsgrpo.terms.kl import KL
from rsgrpo.training.combinations import groups_that_shaping_teaches, refuse_contradictions, remarks
from rsgrpo.training.module import RLModule
from rsgrpo.training.shaping import shaped_rows, shaped_updates, tokens_of
from rsgrpo.training.trial import try_recipe
from rsgrpo.types import PackedRow, Problem, Prompt, TokenStatistics
from tests.distributed import dealt
from tests.training.shaped_rows import by_token, seen, standings
from tests.training.test_module import PLAN, RECIPE, train

CPU = torch.device("cpu")
SHAPINGS = (EntropyAdvantage(), ClipCov(share=0.1, low=-0.1), KLCov(share=0.1), RLZVP())


def weights(module: RLModule) -> list[Tensor]:
    return [parameter.detach() for parameter in module.policy.parameters()]


def same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_none_is_a_run_without_shaping_to_the_bit(tmp_path: Path) -> None:
    two = replace(RECIPE, iterations=2, batching=replace(PLAN, prompts_per_update=2))
    plain, reports = train(tmp_path, two)
    none, with_none = train(tmp_path, replace(two, shaping=NoShaping()))
    assert same(weights(plain), weights(none))
    assert [updates(report) for report in reports] == [updates(report) for report in with_none]


@dataclass(frozen=True, kw_only=True)
class Same(Shaping):
    """Every advantage as it is, or what a function makes of the tokens."""

    say: Callable[[UpdateTokens], Any] = lambda tokens: Shaped(advantages=tokens.advantages)

    def __call__(self, tokens: UpdateTokens) -> Shaped:
        return self.say(tokens)


def test_advantages_that_stay_give_the_same_run(tmp_path: Path) -> None:
    """With two updates, where the forward pass that shaping needs is made anyway: to the bit."""
    two = replace(RECIPE, batching=replace(PLAN, prompts_per_update=2))
    plain, _ = train(tmp_path, two)
    shaped, [report] = train(tmp_path, replace(two, shaping=Same()))
    assert same(weights(plain), weights(shaped))
    assert updates(report)["shaped_fraction"] == 0


def test_shaping_costs_a_forward_pass_and_none_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    forward = Policy.forward

    def counted(self: Policy, row: PackedRow, *args: Any, **kwargs: Any) -> TokenStatistics:
        passes.append(row.num_loss_tokens)
        return forward(self, row, *args, **kwargs)

    monkeypatch.setattr(Policy, "forward", counted)

    def cost(**parts: Any) -> int:
        passes.clear()
        train(tmp_path, replace(RECIPE, **parts))
        return len(passes)

    assert cost(shaping=NoShaping()) == 1
    assert cost(shaping=EntropyAdvantage()) == 2
    of_two = replace(PLAN, epochs=2)
    assert cost(batching=of_two) == cost(batching=of_two, shaping=EntropyAdvantage()) == 3


FIVE = replace(RECIPE, iterations=5, filter=KeepAll(), batching=replace(PLAN, epochs=2))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[Tensor]:
    module, _ = train(tmp_path_factory.mktemp("plain"), FIVE)
    return weights(module)


@pytest.mark.parametrize(
    "shaping",
    [pytest.param(s, marks=() if isinstance(s, ClipCov) else pytest.mark.slow) for s in SHAPINGS],
    ids=lambda shaping: type(shaping).__name__,
)
def test_five_iterations(tmp_path: Path, shaping: Shaping, plain: list[Tensor]) -> None:
    module, reports = train(tmp_path, replace(FIVE, shaping=shaping))
    assert all(update.skipped is None for report in reports for update in report.updates)
    assert any(0 < updates(report)["shaped_fraction"] <= 1 for report in reports)
    assert not same(plain, weights(module))


@pytest.mark.parametrize("shaping", SHAPINGS, ids=lambda shaping: type(shaping).__name__)
def test_a_token_gets_the_same_in_whatever_row_it_is(shaping: Shaping) -> None:
    outcomes = standings(dealt.selection(()).outcomes)

    def shaped(row_tokens: int) -> list[dict[int, list[float]]]:
        recipe = replace(dealt.recipe_of(row_tokens), shaping=shaping)
        rows = [pack(s, row_tokens=row_tokens, device=CPU) for s in dealt.sequences_of_updates(recipe, ())]
        return [by_token(rows) for rows in shaped_updates([seen(r) for r in rows], outcomes, recipe, iteration=1)]

    separate, packed = shaped(1), shaped(1000)
    assert separate == packed
    assert sum(map(len, separate)) == sum(sum(outcome.lengths) for outcome in outcomes)
    assert any(said[-1] for update in separate for said in update.values()), "shaped_fraction"


def test_the_tokens_know_their_completion_and_group() -> None:
    outcomes, recipe = standings(dealt.selection(()).outcomes), dealt.recipe_of(60)
    for sequences in dealt.sequences_of_updates(recipe, ()):
        rows = seen(pack(sequences, row_tokens=60, device=CPU))
        tokens = tokens_of(rows, outcomes, (0,))
        ids = torch.cat([row.target_ids for row in rows])
        assert torch.equal(tokens.group, ids // 10_000)
        assert torch.equal(tokens.all_right, tokens.group % 3 == 0)
        assert torch.equal(tokens.all_wrong, tokens.group % 3 == 1)
        assert torch.equal(tokens.correct, tokens.all_right | ((tokens.group % 3 == 2) & (ids // 100 % 2 == 0)))
        of_completions = {
            (place.item(), number.item()) for place, number in zip(ids // 100, tokens.sequence, strict=True)
        }
        assert len(of_completions) == len(sequences)


def test_random_numbers_depend_on_the_token_and_on_when_and_on_nothing_else() -> None:
    outcomes, [sequences, *_] = dealt.selection(()).outcomes, dealt.sequences_of_updates(dealt.recipe_of(60), ())

    def drawn(row_tokens: int, *seed: int) -> dict[int, float]:
        rows = seen(pack(sequences, row_tokens=row_tokens, device=CPU))
        uniform = tokens_of(rows, outcomes, seed).uniform.tolist()
        return dict(zip(torch.cat([row.target_ids for row in rows]).tolist(), uniform, strict=True))

    first = drawn(60, 0, 1, 0)
    assert first == drawn(1000, 0, 1, 0)
    assert len(set(first.values())) == len(first)
    assert all(0 <= number < 1 for number in first.values())
    for other in ((1, 1, 0), (0, 2, 0), (0, 1, 1)):
        assert not set(first.values()) & set(drawn(60, *other).values())


def test_nothing_is_shaped_where_the_policy_says_something_that_is_not_finite() -> None:
    recipe = replace(dealt.recipe_of(60), shaping=EntropyAdvantage())
    rows = [seen(pack(s, row_tokens=60, device=CPU)) for s in dealt.sequences_of_updates(recipe, ())]
    first = rows[1][0]
    assert first.old_logprobs is not None
    rows[1][0] = replace(first, old_logprobs=first.old_logprobs * torch.nan)
    said = shaped_updates(rows, dealt.selection(()).outcomes, recipe, iteration=1)
    assert all(row.diagnostics == {} for update in said for row in update)
    assert all(a is b for a, b in zip([r for u in rows for r in u], [r for u in said for r in u], strict=True))


def with_diagnostics(tokens: UpdateTokens, diagnostics: Any) -> Shaped:
    """Diagnostics of any kind, which annotations would refuse while tests run."""
    said = Shaped(advantages=tokens.advantages)
    object.__setattr__(said, "diagnostics", diagnostics)
    return said


WRONG: dict[str, tuple[Callable[[UpdateTokens], Any], str]] = {
    "a tensor": (lambda tokens: tokens.advantages, "shaping: Same returned Tensor; return rsgrpo.shaping.base.Shaped"),
    "one number": (lambda tokens: Shaped(advantages=torch.ones(1)), r"Same returned advantages of shape \[1\]; return"),
    "not finite": (lambda tokens: Shaped(advantages=tokens.advantages * torch.nan), "advantages that are not finite"),
    "marks": (
        lambda tokens: Shaped(advantages=tokens.advantages, marks=tokens.advantages / 0),
        "marks that are not finite",
    ),
    "a gradient": (
        lambda tokens: Shaped(advantages=tokens.advantages.clone().requires_grad_()),
        r"advantages with a gradient; return advantages\.detach\(\)",
    ),
    "diagnostics": (lambda tokens: with_diagnostics(tokens, [tokens.entropy]), "diagnostics of type list"),
    "a diagnostic": (lambda tokens: with_diagnostics(tokens, {"sum": tokens.entropy.sum()}), r"sum of shape \[\]"),
    "its name": (
        lambda tokens: Shaped(advantages=tokens.advantages, diagnostics={"shaped_fraction": tokens.entropy}),
        "'shaped_fraction', which every shaping has; rename it",
    ),
    "an exception": (lambda tokens: 1 / 0, "shaping: Same raised ZeroDivisionError"),
    "added_loss": (
        lambda tokens: Shaped(advantages=tokens.advantages, marks=torch.ones_like(tokens.advantages)),
        r"Same\.added_loss raised NotImplementedError.*has no method added_loss",
    ),
    "a name of the loss": (
        lambda tokens: Shaped(advantages=tokens.advantages, diagnostics={"clip_fraction": tokens.entropy}),
        "the diagnostic 'clip_fraction', which another part of the loss has",
    ),
}

PROMPTS = [Prompt(problem=Problem(id=str(i), text="", answer="2"), token_ids=(3, 4)) for i in range(2)]


@pytest.mark.parametrize(("say", "words"), WRONG.values(), ids=list(WRONG))
def test_what_a_shaping_must_not_return_is_told_before_anything_is_sampled(
    say: Callable[[UpdateTokens], Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        try_recipe(replace(RECIPE, shaping=Same(say=say)), PROMPTS)


def test_what_is_logged_of_a_shaping_is_in_the_trial_too() -> None:
    report = try_recipe(replace(RECIPE, shaping=ClipCov()), PROMPTS)
    assert {"covariance", "covariance_in_band", "shaped_fraction"} <= updates(report).keys()


def test_a_loss_with_one_ratio_for_a_completion_takes_no_advantages_of_tokens() -> None:
    gspo = replace(RECIPE, loss=GSPOLoss())
    refuse_contradictions(gspo)
    with pytest.raises(FieldError, match=r"EntropyAdvantage gives each token .*GSPOLoss has one ratio"):
        refuse_contradictions(replace(gspo, shaping=EntropyAdvantage()))


def test_refills_for_groups_that_shaping_learns_from_are_refused() -> None:
    refilled = replace(RECIPE, batching=replace(PLAN, max_refills=2))
    refuse_contradictions(replace(refilled, shaping=EntropyAdvantage()))
    with pytest.raises(FieldError, match="all right and all wrong, and RLZVP learns from those"):
        refuse_contradictions(replace(refilled, shaping=RLZVP()))


def test_which_groups_of_equal_rewards_a_shaping_teaches() -> None:
    for shaping in (NoShaping(), EntropyAdvantage(), ClipCov(), KLCov()):
        assert groups_that_shaping_teaches(replace(RECIPE, shaping=shaping)) == []
    assert groups_that_shaping_teaches(replace(RECIPE, shaping=RLZVP())) == ["all right", "all wrong"]
    praise = Same(say=lambda tokens: Shaped(advantages=tokens.advantages + tokens.all_right))
    assert groups_that_shaping_teaches(replace(RECIPE, shaping=praise)) == ["all right"]


PENALTY = {"kl": KL(estimator="k1", place="reward")}
REMARKS: list[tuple[Mapping[str, Any], str | None]] = [
    ({"shaping": RLZVP()}, "this shaping learns from groups that are all right and all wrong, and filter=Drop"),
    (
        {"shaping": RLZVP(), "filter": KeepAll(), "terms": PENALTY},
        "a term of the reward makes nearly all rewards differ",
    ),
    ({"shaping": RLZVP(), "filter": KeepAll()}, None),
    ({"shaping": KLCov()}, "KLCov() has no gradient in the first update of an iteration, and this run has no other"),
    ({"shaping": KLCov(), "batching": replace(PLAN, epochs=2)}, None),
    ({"shaping": KLCov(), "batching": replace(PLAN, prompts_per_update=2)}, None),
    ({"shaping": EntropyAdvantage(), "filter": DropEqualRewards()}, None),
    ({"shaping": ClipCov(), "loss": ReinforceLoss()}, None),
]


@pytest.mark.parametrize(("parts", "said"), REMARKS)
def test_what_is_seldom_meant_is_remarked_on(parts: Mapping[str, Any], said: str | None) -> None:
    found = remarks(replace(RECIPE, **parts))
    assert (said in found[0] and len(found) == 1) if said else found == []


def test_kl_cov_changes_nothing_with_one_update_per_iteration(tmp_path: Path) -> None:
    once = replace(RECIPE, filter=KeepAll())
    twice = replace(once, batching=replace(PLAN, epochs=2))
    for recipe, alike in ((once, True), (twice, False)):
        plain, _ = train(tmp_path, replace(recipe, shaping=Same()))
        held, [report] = train(tmp_path, replace(recipe, shaping=KLCov(share=0.5, coefficient=3.0)))
        assert same(weights(plain), weights(held)) is alike
        assert updates(report)["shaped_fraction"] == pytest.approx(0.5, abs=0.01)


def test_rows_without_tokens_are_shaped_too() -> None:
    """Of a rank that has fewer completions than others."""
    (row,) = seen([empty_row(CPU)])
    for shaping in SHAPINGS:
        tokens = tokens_of([row], [], (0,))
        (after,) = shaped_rows(shaping, [row], tokens)
        assert after.num_loss_tokens == len(after.advantages) == 0
        assert tokens.uniform.shape == (0,)
