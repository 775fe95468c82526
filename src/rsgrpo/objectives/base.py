"""What every objective is: rewards of P groups of N completions -> their advantages.

An objective changes the advantage and nothing else: clipping, aggregation and filters have rooms of their own. The
convention is the mean one: the policy gradient of a prompt is (1/N) sum_i A_i grad log pi(y_i). A formula published for
the sum over completions is multiplied by N here.

A new objective is one file here and one yaml in `conf/objective/`; tests and the audit find it through the yaml.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from rsgrpo.errors import FieldError, UserError
from rsgrpo.types import Outcome

PromptFloat = float | Float[Tensor, "P 1"]
"""A number for all prompts, or, from a schedule, one for each."""
PromptInt = int | Int[Tensor, "P 1"]
"""The same for whole numbers."""


NEEDS = ("answers", "entropies", "history")
"""Fields of the context that cost something, so that an objective gets them only if it names them in `needs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptHistory:
    """What came of one prompt at its earlier visits in a run."""

    visits: int = 0
    completions: int = 0
    correct: int = 0
    reward_sum: float = 0.0
    last_iteration: int | None = None
    """The iteration of the latest visit; None before the first one."""

    def after(self, outcome: Outcome, iteration: int) -> "PromptHistory":
        """The history with one more visit."""
        return PromptHistory(
            visits=self.visits + 1,
            completions=self.completions + len(outcome.scores),
            correct=self.correct + outcome.num_correct,
            reward_sum=self.reward_sum + sum(outcome.rewards),
            last_iteration=iteration,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvantageContext:
    """What an objective may know besides the rewards.

    `answers`, `entropies` and `history` are None unless the objective's class declares that it needs them.
    """

    iteration: int
    """The iteration being trained, from 1."""
    prompt_ids: Sequence[str]
    """Identity of each of the P prompts."""
    sampler_logprobs: Float[Tensor, "P N"]
    """Mean log-prob per token of each completion under the sampler, in nats."""
    lengths: Int[Tensor, "P N"] | None = None
    """Tokens of each completion. A run, the audit and the bandit always give this and the next two."""
    finished: Bool[Tensor, "P N"] | None = None
    """Whether a stop token ended it."""
    correct: Bool[Tensor, "P N"] | None = None
    """Whether the reward calls it correct, which `rewards` need not say: they may hold penalties and partial credit."""
    answers: Sequence[Sequence[str | None]] | None = None
    """The answer that the reward found in each completion, written one way; None where it found none."""
    entropies: Float[Tensor, "P N"] | None = None
    """Mean entropy per token of each completion under the policy that was sampled from, in nats."""
    history: Sequence[PromptHistory] | None = None
    """What came of each prompt at its earlier visits in this run."""

    @property
    def completions(self) -> int:
        """N, the completions of a group."""
        return self.sampler_logprobs.shape[1]

    @property
    def accuracies(self) -> Float[Tensor, " P"]:
        """Share of each prompt's completions that are correct.

        Raises:
            ValueError: when the context does not say which are.
        """
        if self.correct is None:
            raise ValueError("this context does not say which completions are correct")
        return self.correct.to(self.sampler_logprobs.dtype).mean(dim=1)

    @classmethod
    def of_one_token(
        cls,
        prompt_ids: Sequence[str],
        rewards: Float[Tensor, "P N"],
        sampler_logprobs: Float[Tensor, "P N"],
        *,
        iteration: int = 1,
        correct: Bool[Tensor, "P N"] | None = None,
        answers: Shaped[Tensor, "P N"] | None = None,
        needs: Sequence[str] = (),
    ) -> "AdvantageContext":
        """The context where a completion is one draw among a few: in the bandit, in the audit, or to try an objective.

        By default the rewards above 0 are correct, and completions of the same reward have the same answer. Of what an
        objective `needs`: an entropy is estimated by -log pi of what was drawn, and no prompt was visited before.
        """
        told = rewards if answers is None else answers
        return cls(
            iteration=iteration,
            prompt_ids=prompt_ids,
            sampler_logprobs=sampler_logprobs,
            lengths=torch.ones((), dtype=torch.long).expand(rewards.shape),
            finished=torch.ones((), dtype=torch.bool).expand(rewards.shape),
            correct=rewards > 0 if correct is None else correct,
            answers=[list(map(str, row)) for row in told.tolist()] if "answers" in needs else None,
            entropies=-sampler_logprobs if "entropies" in needs else None,
            history=[PromptHistory()] * len(rewards) if "history" in needs else None,
        )


def needs_of(objective: object) -> Sequence[str]:
    """What an objective declares in `needs`; a class of your own need not inherit from `Objective`."""
    return getattr(objective, "needs", ())


class Objective(ABC):
    """Base of all objectives. A subclass is final, frozen, and its constructor is its configuration.

    Laws, tested on every objective: advantages have the shape of the rewards and are finite; permuting the
    completions of a group permutes its advantages; float32 agrees with float64. Rewards come as floats without a
    gradient, whoever calls: see `as_floats`.

    A schedule drives the field `beta`, or else `k`, of a subclass, when it has one: it makes a copy of the objective
    with that field replaced by the value in force, a number or one of shape [P, 1].
    """

    needs: ClassVar[Sequence[str]] = ()
    """Which of `answers`, `entropies` and `history` the context has to hold; the others are not computed."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """The formula of every subclass sees rewards that went through `as_floats`."""
        super().__init_subclass__(**kwargs)
        formula = cls.__dict__.get("advantages")
        if formula is not None and not hasattr(formula, "__wrapped_formula__"):  # slots make a class a second time
            cls.advantages = _on_floats(formula)

    @abstractmethod
    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        """The advantage of each completion, from the rewards of its group."""

    def claim(
        self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int
    ) -> Float[Tensor, ""] | None:
        """What the objective maximises: J of one prompt whose M possible outcomes have these probabilities and rewards.

        Differentiable in `policy`; the audit compares the advantages with its gradient. `completions` is N, for claims
        that depend on it. None: the objective claims nothing.
        """
        return None


def _on_floats(formula: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(formula)
    def advantages(self: Objective, rewards: Tensor, context: AdvantageContext) -> Any:
        return formula(self, as_floats(rewards), context)

    advantages.__wrapped_formula__ = formula  # pyright: ignore[reportAttributeAccessIssue]
    return advantages


def as_floats(rewards: Tensor) -> Float[Tensor, "P N"]:
    """Rewards of any kind of number as floats: float64 stays float64, all others become float32.

    >>> as_floats(torch.tensor([[True, False]]))
    tensor([[1., 0.]])

    Raises:
        UserError: for a reward that is not finite.
    """
    rewards = rewards.detach().to(torch.promote_types(rewards.dtype, torch.float32))
    # In nearly all cases one sum is enough, at a fraction of the time.
    if not rewards.sum().isfinite() and not rewards.isfinite().all():
        wrong = rewards[~rewards.isfinite()][0].item()
        raise UserError(f"a reward is {wrong}, and objectives take finite numbers; make the reward return one")
    return rewards


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
            f"try k={at_most}, or a larger completions_per_prompt" if at_most > 0 else "use larger groups",
            completions_per_prompt="batching",
        )


def check_completions(rewards: Float[Tensor, "P N"], *, name: str) -> None:
    """Refuse groups of a single completion where the others are needed.

    Raises:
        UserError: naming the objective.
    """
    if rewards.shape[1] < 2:
        raise UserError(
            f"objective {name} compares a completion with the others of its group, and "
            f"completions_per_prompt={rewards.shape[1]} leaves none; use at least 2, or objective=Reinforce()",
            completions_per_prompt="batching",
        )


DEFINED_FOR = "is defined for"
"""In what is said of rewards that an objective refuses."""


def check_rewards(rewards: Float[Tensor, "P N"], allowed: str, *, name: str, instead: str) -> None:
    """Refuse rewards outside `allowed`: "binary", "[0, 1]" or "non-negative".

    `instead` is an objective that takes any.

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
            f"objective {name} {DEFINED_FOR} {kind} and got {rewards[wrong][0].item():g}; "
            f"change the reward, or use an objective for any reward, such as objective={instead}"
        )


def differ(rewards: Float[Tensor, "P N"]) -> Bool[Tensor, "P 1"]:
    """Whether the rewards of a group differ by more than rounding: 4 units in the last place of the largest.

    >>> differ(torch.tensor([[0.1 + 0.2, 0.3], [0.1, 0.3]], dtype=torch.float64)).tolist()
    [[False], [True]]
    """
    spread = rewards.amax(dim=1, keepdim=True) - rewards.amin(dim=1, keepdim=True)
    return spread > 4 * torch.finfo(rewards.dtype).eps * rewards.abs().amax(dim=1, keepdim=True)


def divide(numerator: Float[Tensor, "*a"], denominator: Float[Tensor, "*b"], eps: float) -> Float[Tensor, "*c"]:
    """numerator / (denominator + eps), and 0 where that would divide by 0: such a group has no advantage."""
    denominator = denominator + eps
    return torch.where(denominator == 0, 0.0, numerator / torch.where(denominator == 0, 1.0, denominator))
