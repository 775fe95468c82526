"""What happened in many runs side by side: recorded while they go on, read when they have ended."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

PULLS_KEPT = 2**23
"""Up to this many pulls in all, every reward is kept and crossings are looked for at every pull; beyond, at updates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectories:
    """What happened in V values x S seeds runs, recorded at M moments."""

    values: tuple[float | None, ...]
    pulls: Int[Tensor, " M"]
    """Pulls before each moment."""
    reward: Float[Tensor, "V S M"]
    """Moving average of the reward over the window that begins at the moment."""
    entropy: Float[Tensor, "V S M"]
    """Of the policy, in nats."""
    policies: Float[Tensor, "V M K"]
    """The policy of the first seed."""
    final_reward: Float[Tensor, "V S"]
    """Of the last window."""
    final_entropy: Float[Tensor, "V S"]
    crossings: dict[float, Float[Tensor, "V S"]]
    """First pull from which the moving average is at least this: nan where that never happens."""
    resolution: int
    """Pulls to which crossings are known."""


def entropy_of(policy: Float[Tensor, "P K"]) -> Float[Tensor, " P"]:
    """-sum_a pi log pi, in nats."""
    return torch.special.entr(policy).sum(dim=1)


class Recorder:
    """Rewards of every pull or of every update, and the policy at some moments."""

    def __init__(
        self, rows: int, moments: Int[Tensor, " M"], *, arms: int, pulls: int, batch: int, window: int
    ) -> None:
        self.keeps_pulls = rows * pulls <= PULLS_KEPT
        self.resolution = 1 if self.keeps_pulls else batch
        self.window = window // self.resolution
        self.batch = batch
        records = pulls if self.keeps_pulls else pulls // batch
        self.rewards = torch.empty(records, rows, dtype=torch.float64 if self.keeps_pulls else torch.float32)
        self.moments = {int(update): i for i, update in enumerate(moments)}
        self.entropy = torch.empty(rows, len(moments), dtype=torch.float64)
        self.policies = torch.empty(rows, len(moments), arms, dtype=torch.float64)

    def add_policy(self, update: int, policy: Float[Tensor, "P K"]) -> None:
        """The policy that an update draws from, if it is one of the moments."""
        if update in self.moments:
            self.entropy[:, self.moments[update]] = entropy_of(policy)
            self.policies[:, self.moments[update]] = policy

    def add_rewards(self, update: int, rewards: Float[Tensor, "P N"]) -> None:
        """The rewards of an update."""
        if self.keeps_pulls:
            self.rewards[update * self.batch : (update + 1) * self.batch] = rewards.T
        else:
            self.rewards[update] = rewards.mean(dim=1)

    def averages(self) -> Iterator[Float[Tensor, " T"]]:
        """Moving average of each run in turn: entry i is the mean over the window that begins with record i."""
        for row in range(self.rewards.shape[1]):
            sums = torch.nn.functional.pad(self.rewards[:, row].double(), (1, 0)).cumsum(0)
            yield (sums[self.window :] - sums[: -self.window]) / self.window

    def crossing(self, average: Float[Tensor, " T"], threshold: float) -> float:
        """First pull at which the moving average is at least `threshold`, nan if it never is."""
        above = average >= threshold
        return int(above.int().argmax()) * self.resolution if above.any() else math.nan
