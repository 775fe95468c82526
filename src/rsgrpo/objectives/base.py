"""What every objective is: rewards of P groups of N completions -> their advantages.

An objective changes the advantage and nothing else: clipping, aggregation and filters have rooms of their own. The
convention is the mean one: the policy gradient of a prompt is (1/N) sum_i A_i grad log pi(y_i).

A new objective is one file here and one yaml in `conf/objective/`; tests find it through the yaml.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


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
    """

    @abstractmethod
    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        """The advantage of each completion, from the rewards of its group."""
