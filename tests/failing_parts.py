"""Parts of a run as a user would write them, each of which raises."""

from dataclasses import dataclass

from rsgrpo.losses.base import Loss
from rsgrpo.objectives.base import Objective
from rsgrpo.schedules.base import Schedule


def lookup(table):
    return table["absent"]


@dataclass(frozen=True, kw_only=True)
class FailingObjective(Objective):
    """Its formula raises in a function of the same file, and its claim leaves."""

    def advantages(self, rewards, context):
        return lookup({})

    def claim(self, policy, rewards, completions):
        raise SystemExit(0)


@dataclass(frozen=True, kw_only=True)
class FailingSchedule(Schedule):
    """Fails after its check."""

    def value(self, name, final, context):
        return 1 / 0

    def extremes(self, name, final):
        return [final]

    def observe(self, prompt_ids, accuracies):
        raise ValueError("too many")


@dataclass(frozen=True, kw_only=True)
class FailingFilter:
    """Says too little, or raises where there is nothing to say."""

    def __call__(self, outcomes):
        return [None] * (1 if outcomes else 1 // 0)


@dataclass(frozen=True, kw_only=True)
class FailingLoss(Loss):
    """Divides by nothing."""

    def __call__(self, tokens, old_logprobs, row):
        return 2 / 0
