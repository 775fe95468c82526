"""Parts of one's own are tried on a made-up iteration, before anything is sampled."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightning
import pytest
import torch

import rsgrpo
from rsgrpo.batching.filters import KeepAll
from rsgrpo.errors import UserError
from rsgrpo.losses.base import Loss, LossOutput
from rsgrpo.models.policy import Policy
from rsgrpo.objectives.base import Objective
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.schedules.adaptive import Adaptive
from rsgrpo.schedules.base import Schedule
from rsgrpo.training.trial import copied, try_recipe
from rsgrpo.types import Prompt, Score, StepReport
from tests.fitting.small import PROBLEMS, recipe

pytestmark = pytest.mark.usefixtures("as_users_run_it")

PROMPTS = [Prompt(problem=problem, token_ids=(1, 2)) for problem in PROBLEMS]


class NeverAsked(HFEngine):
    """What is tried is tried before this."""

    def generate(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        raise AssertionError("something was sampled")

    load_policy = generate  # pyright: ignore[reportAssignmentType]


def fit(policy: Policy, *, metric: Any = None, callback: Any = None, **parts: Any) -> None:
    rsgrpo.fit(
        policy,
        recipe(**parts),
        PROBLEMS,
        engine=NeverAsked(policy=policy),
        metrics={} if metric is None else {"mine": metric},
        callbacks=[] if callback is None else [callback],
        accelerator="cpu",
    )


@dataclass(frozen=True, kw_only=True)
class Own(Objective):
    """Whatever its function says."""

    says: Any

    def advantages(self, rewards: Any, context: Any) -> Any:
        return self.says(rewards, context)


@dataclass(frozen=True, kw_only=True)
class OneArgument(Objective):
    def advantages(self, rewards: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return rewards


@dataclass(frozen=True, kw_only=True)
class OwnLoss(Loss):
    """Whatever its function says."""

    says: Any

    def __call__(self, tokens: Any, old_logprobs: Any, row: Any) -> Any:
        return self.says(tokens, row)


@dataclass(frozen=True, kw_only=True)
class Two(Schedule):
    """Always the same value, between 1 and 2."""

    says: Any

    def value(self, name: str, final: Any, context: Any) -> Any:
        return self.says

    def extremes(self, name: str, final: Any) -> Any:
        return [1.0, 2.0]


class NoBatch(lightning.Callback):
    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any) -> None: ...  # pyright: ignore


class NoPlace(lightning.Callback):
    def on_evaluated(self, split: str, iteration: int) -> None: ...


def no_arguments() -> None: ...


def report_and_more(report: StepReport, limit: int) -> Mapping[str, float]:
    return {"limit": limit}


def absent_part(report: StepReport) -> Mapping[str, float]:
    return {"x": report.outcomes[0].scores[0].parts["absent"]}


def not_a_score(prompt: Prompt, completion: Any) -> float:
    return 1.0


def bonus(tokens: Any, row: Any) -> LossOutput:
    return LossOutput(per_token=-tokens.logprobs * row.advantages - 0.01 * tokens.entropy)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"metric": absent_part}, r"metrics\.mine: absent_part raised KeyError\('absent'\) \(\S+test_trial\.py, line"),
        (
            {"metric": report_and_more},
            r"metrics\.mine: report_and_more \(\S+\.py, line \d+\) takes \(report, limit\) .* with \(report\)",
        ),
        ({"metric": lambda report: 1.0}, r"metrics\.mine returned float; return names and numbers"),
        ({"metric": lambda report: {"loss": 1.0}}, r"metrics\.mine returned 'loss', which another metric logs"),
        (
            {"filter": no_arguments},
            r"filter: no_arguments \(\S+, line \d+\) takes \(\) .* with \(outcomes\)",
        ),
        ({"filter": lambda outcomes: [True] * len(outcomes)}, r"filter: <lambda> returned \[True, True\] for 2 groups"),
        ({"reward": not_a_score}, r"reward: not_a_score returned float; return rsgrpo\.types\.Score"),
        ({"reward": no_arguments}, r"reward: no_arguments \(\S+, line \d+\) takes \(\) .* with \(prompt, completion\)"),
        (
            {"objective": OneArgument()},
            r"OneArgument\.advantages .* takes \(rewards\) .* with \(rewards, context\)",
        ),
        ({"objective": Own(says=lambda r, c: r.mean())}, r"objective: Own\.advantages returned \[\]"),
        (
            {"objective": Own(says=lambda r, c: [len(a) for a in c.answers])},
            r"objective: Own reads context\.answers.*write needs = \('answers',\)",
        ),
        (
            {"objective": Own(says=lambda r, c: r * c.entropies)},
            r"objective: Own reads context\.entropies.*write needs = \('entropies',\)",
        ),
        (
            {"objective": Own(says=lambda r, c: [h.visits for h in c.history])},
            r"objective: Own reads context\.history.*write needs = \('history',\)",
        ),
        ({"loss": OwnLoss(says=lambda t, r: t.logprobs)}, "loss: OwnLoss returned Tensor; return"),
        (
            {"loss": OwnLoss(says=bonus)},
            r"loss: .* OwnLoss depends on tokens\.entropy.*entropy_gradient = True",
        ),
        (
            {"loss": OwnLoss(says=lambda t, r: LossOutput(per_token=-t.logprobs, diagnostics=[]))},  # pyright: ignore
            "loss: OwnLoss returned diagnostics of type list",
        ),
        ({"schedule": Two(says=2.5)}, "schedule: Two.value returned 2.5 for beta, and its extremes are 1 and 2"),
        ({"schedule": Two(says=float("nan"))}, "schedule: Two.value returned nan for beta"),
        ({"schedule": Two(says="2")}, "schedule: Two.value returned '2'; return a number"),
        ({"callback": NoBatch()}, r"callbacks: NoBatch\.on_train_batch_end .* takes \(trainer, module, outputs\)"),
        ({"callback": NoPlace()}, r"callbacks: NoPlace\.on_evaluated .* with \(split, iteration, place, scored\)"),
    ],
)
def test_a_part_that_is_wrong_ends_at_once(policy: Policy, given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        fit(policy, **given)


def test_the_trial_itself_asks_the_engine_nothing(policy: Policy) -> None:
    """The check that the cases above end before that: what is right gets there."""
    with pytest.raises(
        UserError, match=re.escape("NeverAsked.load_policy raised AssertionError('something was sampled')")
    ):
        fit(policy, schedule=Two(says=1.5), metric=lambda report: {"mine": 1.0})


@dataclass
class Counts:
    """A part that remembers how often it was called."""

    calls: int = 0
    seen: list[str] = field(default_factory=list)

    def __call__(self, outcomes: Sequence[Any]) -> list[None]:
        self.calls += 1
        self.seen += [outcome.prompt_id for outcome in outcomes]
        return [None] * len(outcomes)


def test_what_parts_remember_is_not_of_the_trial() -> None:
    counts, schedule = Counts(), Adaptive(hardest=8.0)
    tried = recipe(filter=counts, schedule=schedule)
    try_recipe(tried, PROMPTS)
    assert (counts.calls, counts.seen, schedule.accuracy) == (0, [], {})


def test_the_report_holds_what_that_of_an_iteration_holds() -> None:
    seen: list[int] = []

    def reward(prompt: Prompt, completion: Any) -> Score:
        seen.append(len(completion.token_ids))
        return Score(value=0.25, correct=False, parts={"right": 0.5})

    report = try_recipe(recipe(reward=reward, filter=KeepAll()), PROMPTS)
    assert len(report.outcomes) == len(report.dropped) == len(report.groups) == 2
    assert len(seen) == 2 * 2
    assert [score.parts for score in report.outcomes[0].scores] == [{"right": 0.5}] * 4
    assert [outcome.num_correct for outcome in report.outcomes] == [1, 1]
    assert report.advantages.shape == (2, 4)
    assert report.in_force == {"beta": 4.0}
    assert report.updates[0].num_sequences == 8
    assert report.entropy == pytest.approx(0.5)
    assert report.logprob_gap == 0.0
    assert (report.iteration, report.iterations) == (1, 2)


def test_what_cannot_be_copied_is_none() -> None:
    assert copied(threading.Lock()) is None
    assert copied([1]) == [1]


@pytest.mark.parametrize(
    "says",
    [
        lambda t, r: LossOutput(per_token=-t.logprobs, diagnostics={"entropy": t.entropy}),
        lambda t, r: LossOutput(per_token=-t.logprobs * (1 + t.entropy.detach())),
        lambda t, r: LossOutput(per_token=-t.logprobs, diagnostics={"entropy": t.entropy.clamp_(max=1.0)}),
    ],
)
def test_a_loss_may_look_at_the_entropy(says: Callable[..., LossOutput]) -> None:
    assert try_recipe(recipe(loss=OwnLoss(says=says)), PROMPTS).updates[0].loss_tokens > 0


class Bonus(OwnLoss):
    """An entropy bonus that says so."""

    entropy_gradient = True


def test_an_entropy_bonus_that_is_declared_trains() -> None:
    assert try_recipe(recipe(loss=Bonus(says=bonus)), PROMPTS).updates[0].loss_tokens > 0
    assert torch.is_grad_enabled()
