"""Policy gradient on a bandit: many runs side by side, each a softmax policy over K arms."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rsgrpo.bandit.landscape import Landscape
from rsgrpo.bandit.streams import Stream
from rsgrpo.bandit.trajectories import Recorder, Trajectories, entropy_of
from rsgrpo.errors import FieldError, UserError, failures_name_their_place
from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, needs_of
from rsgrpo.objectives.checked import checked_advantages
from rsgrpo.schedules.base import Schedule
from rsgrpo.schedules.driven import replaced, scheduled_field

RECORDS = 250
"""Moments of a run at which the curves of figures are recorded."""

MOST_NUMBERS = 2**30
"""Rewards, or probabilities of arms, that are held at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandit:
    """One experiment: landscape, random numbers, optimiser, and how long.

    Raises:
        FieldError: for values outside their range.
    """

    landscape: Landscape
    stream: Stream
    optimizer: Callable[..., torch.optim.Optimizer]
    """A partial of a torch optimiser, waiting for its parameters."""
    values: Sequence[float] | None
    """Values of the objective's beta (or k) that are run side by side; None: its own."""
    pulls: int = 400_000
    batch: int = 16
    """Pulls per update, a group for the objective."""
    gradient: Literal["sampled", "exact"] = "sampled"
    """`exact` follows the gradient of what the objective claims to maximise, without sampling."""
    precision: Literal[64, 32] = 64
    """Bits of a number; 64 follows the released code, 32 takes half of the time."""
    window: int = 10_000
    """Pulls of the moving average of the reward."""
    escaped_above: float = 0.9
    """A run has escaped the local optimum when its moving average ends at or above this."""

    def __post_init__(self) -> None:
        check_fields(self, pulls=(1, math.inf), batch=(2, 2**16), window=(1, math.inf))
        if self.values is not None and not self.values:
            raise FieldError("values", [], "names no value", "try values=[2], or values=null for the objective's own")
        if self.pulls % self.batch:
            whole = max(1, self.pulls // self.batch) * self.batch
            raise FieldError("pulls", self.pulls, f"must be a multiple of batch={self.batch}", f"try pulls={whole}")
        if self.window % self.batch or self.window > self.pulls:
            whole = max(1, min(self.window, self.pulls) // self.batch) * self.batch
            raise FieldError(
                "window", self.window, f"must be a multiple of batch={self.batch}, at most pulls", f"try window={whole}"
            )
        runs, arms = self.stream.seeds * len(self.values or [None]), len(self.landscape.rewards())
        if runs * arms > MOST_NUMBERS:
            raise UserError(
                f"bandit: {runs:,} runs with {arms:,} arms each are more than memory should be asked for; try "
                "stream.seeds=10 landscape.arms=100",
                **{"stream.seeds": "bandit", "landscape.arms": "bandit"},
            )
        if runs * self.updates > MOST_NUMBERS:
            fits = max(1, MOST_NUMBERS // runs) * self.batch
            raise FieldError(
                "pulls", self.pulls, f"of {runs:,} runs are more than memory should be asked for", f"try pulls={fits}"
            )

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.precision == 64 else torch.float32

    @property
    def updates(self) -> int:
        return self.pulls // self.batch


def play(
    bandit: Bandit,
    objective: Objective,
    schedule: Schedule,
    *,
    thresholds: Sequence[float] = (0.5, 0.7, 0.9),
    progress: Callable[[int], None] = lambda update: None,
) -> Trajectories:
    """Run every value and seed side by side. A schedule counts updates.

    The gradient by the logits is (1/N) sum_i A_i (onehot(a_i) - pi): Eq. 3 of the paper for a softmax policy.

    Raises:
        UserError: when the objective refuses the rewards, or has nothing that `values` could set.
    """
    if bandit.gradient == "exact" and schedule.changes_value:
        raise UserError("gradient=exact follows one claim throughout; use schedule=Constant()", gradient="bandit")
    values, seeds = bandit.values, bandit.stream.seeds
    rows = seeds * (1 if values is None else len(values))
    objective = objective if values is None else with_values(objective, values, seeds, bandit.dtype)
    step = _Step(bandit, objective, schedule, rows)
    moments = torch.linspace(0, bandit.updates - bandit.window // bandit.batch, RECORDS).long().unique()
    recorder = Recorder(
        rows,
        moments,
        arms=len(bandit.landscape.rewards()),
        pulls=bandit.pulls,
        batch=bandit.batch,
        window=bandit.window,
    )
    progress_every = max(1, bandit.updates // 100)
    with torch.inference_mode(bandit.gradient == "sampled"):
        for update, uniforms in enumerate(bandit.stream.uniforms(bandit.updates, bandit.batch, bandit.dtype)):
            policy = step.logits.softmax(dim=1)
            recorder.add_policy(update, policy)
            recorder.add_rewards(update, step(update + 1, policy, uniforms))
            if update % progress_every == 0:
                progress(update)
    shape = (-1, seeds)
    at_moments, final, crossings = [], [], []
    for average in recorder.averages():
        at_moments.append(average[moments * (bandit.batch // recorder.resolution)])
        final.append(average[-1])
        crossings.append([recorder.crossing(average, threshold) for threshold in thresholds])
    crossed = torch.tensor(crossings, dtype=torch.float64)
    return Trajectories(
        values=(None,) if values is None else tuple(values),
        pulls=moments * bandit.batch,
        reward=torch.stack(at_moments).view(*shape, len(moments)),
        entropy=recorder.entropy.view(*shape, len(moments)),
        policies=recorder.policies.view(*shape, *recorder.policies.shape[1:])[:, 0],
        final_reward=torch.stack(final).view(shape),
        final_entropy=entropy_of(step.logits.softmax(dim=1)).double().view(shape),
        crossings={t: crossed[:, i].view(shape) for i, t in enumerate(thresholds)},
        resolution=recorder.resolution,
    )


def with_values(objective: Objective, values: Sequence[float], seeds: int, dtype: torch.dtype) -> Objective:
    """The objective with a column of values in its beta or k, each repeated for every seed.

    Raises:
        UserError: when it has neither.
    """
    name = scheduled_field(objective)
    if name is None:
        raise UserError(f"{type(objective).__name__} has no beta and no k; use values=None", values="bandit")
    if name == "k" and any(value != int(value) or value < 1 for value in values):
        raise UserError(
            f"values={list(values)}: k takes whole numbers of at least 1; try values=[2,4,8]", values="bandit"
        )
    kind = torch.int64 if name == "k" else dtype
    return replaced(objective, name, torch.tensor(values, dtype=kind).repeat_interleave(seeds)[:, None])


def draw(policy: Float[Tensor, "P K"], uniforms: Float[Tensor, "S N"]) -> Int[Tensor, "P N"]:
    """The arm of each uniform number u: how many of the policy's partial sums are at most u.

    The rows of the policy repeat the S rows of the uniforms in turn. A bisection without branches, since most of what
    `torch.searchsorted` does on many short rows is to guess them wrong.

    >>> draw(torch.tensor([[0.25, 0.5, 0.25]]), torch.tensor([[0.0, 0.25, 0.7, 0.99]])).tolist()
    [[0, 1, 1, 2]]
    """
    sums = policy.cumsum(dim=1)
    totals = sums[:, -1].view(-1, len(uniforms), 1)
    thresholds = (totals * uniforms).view(len(policy), -1)
    arms = torch.zeros(thresholds.shape, dtype=torch.int64)
    left = policy.shape[1] - 1  # the last sum is 1: the arm after all others
    while left > 0:
        half = (left + 1) // 2
        arms.add_(sums[:, half - 1 :].gather(1, arms) <= thresholds, alpha=half)
        left -= half
    return arms


class _Step:
    """One update of all runs."""

    def __init__(self, bandit: Bandit, objective: Objective, schedule: Schedule, rows: int) -> None:
        self.bandit, self.objective, self.schedule = bandit, objective, schedule
        self.means = bandit.landscape.rewards().to(bandit.dtype)
        self.best = int(self.means.argmax())
        first = bandit.landscape.logits().to(bandit.dtype)
        self.logits = torch.nn.Parameter(first.repeat(rows, 1), requires_grad=False)
        self.optimizer = bandit.optimizer([self.logits])
        self.noise = torch.Generator().manual_seed(bandit.stream.seed)
        self.prompt_ids = [f"run/{i}" for i in range(rows)]
        self.plain = not schedule.changes_value and schedule.rescale == "none"
        self.needs = needs_of(objective)

    def __call__(
        self, iteration: int, policy: Float[Tensor, "P K"], uniforms: Float[Tensor, "S N"]
    ) -> Float[Tensor, "P N"]:
        """Draw, learn, and return the rewards. The same seed draws the same numbers for every value."""
        arms = draw(policy, uniforms)
        rewards = self.means[arms]
        if self.bandit.landscape.noise:
            normals = torch.randn(uniforms.shape, generator=self.noise, dtype=rewards.dtype)
            rewards = rewards + self.bandit.landscape.noise * normals.repeat(len(policy) // len(uniforms), 1)
        if self.bandit.gradient == "exact":
            self.logits.grad = -self._claimed(policy)
        else:
            self.logits.grad = self._loss_gradient(iteration, policy, arms, rewards)
        self.optimizer.step()
        return rewards

    def _loss_gradient(
        self,
        iteration: int,
        policy: Float[Tensor, "P K"],
        arms: Int[Tensor, "P N"],
        rewards: Float[Tensor, "P N"],
    ) -> Float[Tensor, "P K"]:
        context = AdvantageContext.of_one_token(
            self.prompt_ids,
            rewards,
            policy.gather(1, arms).log(),
            iteration=iteration,
            correct=arms == self.best,
            needs=self.needs,
        )
        if self.plain:
            advantages = checked_advantages(self.objective, rewards, context)
        else:
            advantages = self.schedule.in_force(self.objective, context).advantages(rewards, context)
            with failures_name_their_place("schedule", self.schedule, "observe", like=Schedule.observe):
                self.schedule.observe(self.prompt_ids, context.accuracies.tolist())
        shares = advantages / self.bandit.batch
        # In place: the policy is not needed any more, and the next array would push it out of the cache.
        return policy.mul_(shares.sum(dim=1, keepdim=True)).scatter_add_(1, arms, shares.neg_())

    def _claimed(self, policy: Float[Tensor, "P K"]) -> Float[Tensor, "P K"]:
        """Autograd of the claim of every run, by its logits."""
        logits = policy.log().requires_grad_()
        with failures_name_their_place("objective", self.objective, "claim", like=Objective.claim):
            claims = [
                objective.claim(row.softmax(0), self.means, self.bandit.batch)
                for objective, row in zip(self._objectives(), logits, strict=True)
            ]
        known = [claim for claim in claims if claim is not None]
        if len(known) < len(claims):
            raise UserError(
                f"gradient=exact: {type(self.objective).__name__} does not say what it maximises; give it a "
                "method claim(policy, rewards, completions), or use gradient=sampled",
                gradient="bandit",
            )
        return torch.autograd.grad(torch.stack(known).sum(), logits)[0]

    def _objectives(self) -> list[Objective]:
        """One objective per run, with its own number in the scheduled field."""
        name = scheduled_field(self.objective)
        value: Any = None if name is None else getattr(self.objective, name)
        if name is None or not isinstance(value, Tensor):
            return [self.objective] * len(self.logits)
        return [replaced(self.objective, name, number) for number in value[:, 0].tolist()]
