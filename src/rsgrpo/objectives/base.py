"""What every objective is: rewards of P groups of N completions -> their advantages.

An objective changes the advantage and nothing else: clipping, aggregation and filters have rooms of their own. The
convention is the mean one: the policy gradient of a prompt is (1/N) sum_i A_i grad log pi(y_i). A formula published for
the sum over completions is multiplied by N here.

A new objective is one file here and one yaml in `conf/objective/`; tests and the audit find it through the yaml.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rsgrpo.types import FieldError, UserError

PromptFloat = float | Float[Tensor, "P 1"]
"""A number for all prompts, or, from a schedule, one for each."""
PromptInt = int | Int[Tensor, "P 1"]
"""The same for whole numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvantageContext:
    """What an objective may know beside the rewards."""

    iteration: int
    """The iteration being trained, from 1."""
    prompt_ids: Sequence[str]
    """Identity of each of the P prompts."""
    sampler_logprobs: Float[Tensor, "P N"]
    """Mean log-prob per token of each completion under the sampler, in nats."""


class Objective(ABC):
    """Base of all objectives. A subclass is final, frozen, and its constructor is its configuration.

    Laws, tested on every objective: advantages have the shape of the rewards and are finite; permuting the
    completions of a group permutes its advantages; float32 agrees with float64. Rewards come without a gradient.

    A schedule drives the field `beta`, or else `k`, of a subclass, when it has one: it makes a copy of the objective
    with that field replaced by the value in force, a number or one of shape [P, 1].
    """

    @abstractmethod
    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        """The advantage of each completion, from the rewards of its group."""

    def claim(
        self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int
    ) -> Float[Tensor, ""] | None:
        """What the objective maximises: J of one prompt whose M possible outcomes have these probabilities and rewards.

        Differentiable in `policy`; the audit holds the advantages against its gradient. `completions` is N, for claims
        that depend on it. None: the objective claims nothing.
        """
        return None


def checked_advantages(advantages: object, rewards: Float[Tensor, "P N"], objective: Objective) -> Tensor:
    """The advantages, when they are what an objective must return.

    Raises:
        UserError: naming the objective's class and what is wrong with its result.
    """
    name = type(objective).__name__
    if not isinstance(advantages, Tensor) or advantages.shape != rewards.shape:
        what = list(advantages.shape) if isinstance(advantages, Tensor) else type(advantages).__name__
        raise UserError(
            f"objective: {name}.advantages returned {what}; return a tensor of the rewards' shape {list(rewards.shape)}"
        )
    # One sum tells in nearly all cases, at a fraction of the time.
    if not advantages.sum().isfinite() and not advantages.isfinite().all():
        raise UserError(f"objective: {name}.advantages returned a value that is not finite; check its divisions")
    return advantages


def check_k(k: PromptInt, completions: int, *, name: str, at_most: int) -> None:
    """Refuse a k that groups of this size cannot estimate.

    Raises:
        FieldError: when k is not between 1 and `at_most`.
    """
    largest = max([at_most, *k.flatten().tolist()]) if isinstance(k, Tensor) else k
    if largest > at_most:
        limit = "N" if at_most == completions else "N - 1"
        raise FieldError(
            "k",
            largest,
            f"is too large for {name} in groups of N = {completions} completions, where k is at most {limit}",
            f"try k={at_most}, or a larger batching.completions_per_prompt" if at_most > 0 else "use larger groups",
        )


def check_completions(rewards: Float[Tensor, "P N"], *, name: str) -> None:
    """Refuse groups of a single completion where the others are needed.

    Raises:
        UserError: naming the objective.
    """
    if rewards.shape[1] < 2:
        raise UserError(
            f"objective {name} compares a completion with the others of its group, and "
            f"batching.completions_per_prompt={rewards.shape[1]} leaves none; use at least 2, or objective=reinforce"
        )


def check_rewards(rewards: Float[Tensor, "P N"], allowed: str, *, name: str, instead: str) -> None:
    """Refuse rewards outside `allowed`: "binary", "[0, 1]" or "non-negative".

    Raises:
        UserError: naming the objective, the reward, and the objectives that would take it.
    """
    wrong = {
        "binary": lambda: (rewards != 0) & (rewards != 1),
        "[0, 1]": lambda: (rewards < 0) | (rewards > 1),
        "non-negative": lambda: rewards < 0,
    }[allowed]()
    if wrong.any():
        kind = {"binary": "rewards of 0 and 1 only", "[0, 1]": "rewards between 0 and 1"}.get(
            allowed, "rewards that are not negative"
        )
        raise UserError(
            f"objective {name} is defined for {kind} and got {rewards[wrong][0].item():g}; "
            f"change the reward, or use an objective for any reward, such as objective={instead}"
        )


def divide(numerator: Float[Tensor, "*a"], denominator: Float[Tensor, "*b"], eps: float) -> Float[Tensor, "*c"]:
    """numerator / (denominator + eps), and 0 where that would divide by 0: such a group has no advantage."""
    denominator = denominator + eps
    return torch.where(denominator == 0, 0.0, numerator / torch.where(denominator == 0, 1.0, denominator))
