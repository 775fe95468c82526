"""Everything that defines a training run, except for the policy and the machine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from rsgrpo.batching.filters import DropEqualRewards, GroupFilter
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.corrections.automatic import Automatic, NoCorrection
from rsgrpo.corrections.base import Correction
from rsgrpo.data.order import Order, Uniform
from rsgrpo.errors import FieldError, failures_name_their_place
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.fields import check_fields
from rsgrpo.losses.aggregation import Aggregation
from rsgrpo.losses.base import Loss
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.objectives.base import NEEDS, Objective, needs_of
from rsgrpo.rewards.base import FindsAnswers, Reward
from rsgrpo.schedules.base import Schedule
from rsgrpo.schedules.constant import Constant
from rsgrpo.shaping.base import Shaping
from rsgrpo.shaping.none import NoShaping
from rsgrpo.terms.base import Place, Term
from rsgrpo.training.optimizer import Optimizer
from rsgrpo.types import Sampling

STATEFUL = ("objective", "schedule", "shaping", "filter", "order")
"""The parts whose `state_dict()`, if they have one, is kept in checkpoints, and so is that of each term."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The parts of a step, each one concern; `python run.py objective=...` swaps one of them.

    Raises:
        FieldError: when training would sample from another distribution than the one it computes log-probs of.
    """

    objective: Objective
    schedule: Schedule = field(default_factory=Constant)
    loss: Loss = field(default_factory=ClipLoss)
    terms: Mapping[str, Term] = field(default_factory=dict)
    """What is added to the loss or taken off the rewards, by name."""
    correction: Correction = field(default_factory=Automatic)
    shaping: Shaping = field(default_factory=NoShaping)
    """What makes the advantages of tokens out of those of completions."""
    filter: GroupFilter = field(default_factory=DropEqualRewards)
    order: Order = field(default_factory=Uniform)
    reward: Reward
    batching: BatchPlan
    sampling: Sampling
    optimizer: Optimizer
    evaluation: EvaluationPlan
    iterations: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, iterations=(1, float("inf")), seed=(0, float("inf")))
        if self.sampling.truncates and isinstance(self.correction, Automatic | NoCorrection):
            off = {"top_p": 1, "top_k": 0, "min_p": 0}
            name = next(name for name, value in off.items() if getattr(self.sampling, name) != value)
            raise FieldError(
                name,
                getattr(self.sampling, name),
                "cuts tokens off while training, which makes the probability ratio wrong",
                "train with top_p=1 top_k=0 min_p=0 (an evaluation may sample otherwise), or with a correction, "
                "correction=TokenTruncate()",
                **dict.fromkeys(off, "sampling"),
            )

        if isinstance(self.optimizer, Optimizer):
            self.optimizer.factor(self.updates)
        known = get_args(Aggregation)
        if self.loss.aggregation not in known:
            raise FieldError(
                "aggregation",
                self.loss.aggregation,
                "is unknown",
                f"choose one of {', '.join(known)}",
                aggregation="loss",
            )
        if isinstance(self.needs, str):
            raise FieldError(
                "objective",
                type(self.objective).__name__,
                f"has needs = {self.needs!r}, which is text",
                f"write needs = ({self.needs!r},)",
            )
        unknown = [need for need in self.needs if need not in NEEDS]
        if unknown:
            raise FieldError(
                "objective",
                type(self.objective).__name__,
                f"needs {unknown[0]!r}, which is unknown",
                f"its `needs` may name {', '.join(NEEDS)}",
            )
        if "answers" in self.needs and not isinstance(self.reward, FindsAnswers):
            raise FieldError(
                "objective",
                type(self.objective).__name__,
                "needs answers, and the reward does not say which answer a completion gives",
                "give the reward a method answer(prompt, completion), or use another objective",
            )

    @property
    def updates(self) -> int:
        """How many optimiser steps a run has, where no iteration loses one for want of groups."""
        return self.iterations * self.batching.updates_per_epoch * self.batching.epochs

    @property
    def needs(self) -> Sequence[str]:
        """What the objective needs besides rewards, see `rsgrpo.objectives.base.NEEDS`."""
        return needs_of(self.objective)

    @property
    def needs_reference(self) -> bool:
        """Whether a term compares the policy with the one that training began with."""
        return any(term.needs_reference for term in self.terms.values())

    def terms_of(self, place: Place) -> dict[str, Term]:
        """The terms of the loss, or those of the reward."""
        return {name: term for name, term in self.terms.items() if term.place == place}

    def _stateful(self) -> Iterator[tuple[str, Any]]:
        yield from ((name, getattr(self, name)) for name in STATEFUL)
        yield from ((f"term.{name}", term) for name, term in self.terms.items())

    def state_dict(self) -> dict[str, Any]:
        """What the parts have learnt, of those that say so: schedules, orders, terms, and parts of your own.

        Only parts that decide for all ranks alike, whose state is therefore the same on every rank.
        """
        state = {}
        for name, part in self._stateful():
            if hasattr(part, "state_dict"):
                with failures_name_their_place(name, part, "state_dict", like=Schedule.state_dict):
                    state[name] = part.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a checkpoint."""
        parts = dict(self._stateful())
        for name, learnt in state.items():
            part = parts[name]
            with failures_name_their_place(name, part, "load_state_dict", like=Schedule.load_state_dict):
                part.load_state_dict(learnt)
