"""The LightningModule: one iteration of RL with verifiable rewards."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import lightning
import torch
from jaxtyping import Float
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from rsgrpo.batching.packing import pack
from rsgrpo.batching.plan import deal
from rsgrpo.evaluation.evaluate import ProblemResult, evaluate
from rsgrpo.losses.aggregation import token_weights
from rsgrpo.models.policy import Policy
from rsgrpo.objectives.base import AdvantageContext
from rsgrpo.rewards.base import Pending, begin
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.seeds import derive_seed
from rsgrpo.training.clock import StageClock, stage
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.update import BehaviourStatistics, UpdateTotals
from rsgrpo.types import Group, PackedRow, Prompt, ScoredGroup, StepReport, TrainingSequence, UpdateReport, UserError


class RLModule(lightning.LightningModule):
    """prompts -> rollouts -> rewards -> filter -> advantages -> packed rows -> updates -> publish -> report.

    Manual optimisation: one iteration may hold several optimiser updates. Iterations and optimiser steps are counted
    here, since Lightning counts optimiser steps only. Callbacks get the `StepReport` through the `outputs` of
    `on_train_batch_end`, and the `ProblemResult`s of an evaluation through those of its batch-end hooks.
    """

    def __init__(self, policy: Policy, engine: RolloutEngine, recipe: Recipe, *, train_set_size: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy, self.engine, self.recipe = policy, engine, recipe
        self.train_set_size = train_set_size
        self.iteration = 0
        self.optimizer_steps = 0
        self.clock = StageClock()
        self.pending_metrics: dict[str, float] = {}

    def training_step(self, prompts: list[Prompt], batch_idx: int) -> dict[str, StepReport]:
        """One iteration."""
        self.clock.restart()
        groups = self.score(self.rollout(prompts))
        dropped = self.filter(groups)
        kept = [group for group, reason in zip(groups, dropped, strict=True) if reason is None]
        advantages, in_force = self.advantages(kept)
        self.observe(groups)
        updates = self.pack(kept, advantages)
        behaviour = self.old_logprobs(updates)
        reports = [self.update(rows, behaviour) for _ in range(self.recipe.batching.epochs) for rows in updates if rows]
        self.publish()
        return {"report": self.report(groups, dropped, advantages, in_force, reports, behaviour)}

    @stage("rollout")
    def rollout(self, prompts: Sequence[Prompt]) -> list[tuple[Group, Pending]]:
        """N completions of every prompt, in prompt order, seeded by (run, iteration, prompt, sample).

        Each group goes to the reward as soon as it is finished, which may work on it while others are sampled.
        """
        seeds = [derive_seed(self.recipe.seed, "rollout", self.iteration, i, p.id) for i, p in enumerate(prompts)]
        groups = self.engine.generate(
            prompts, self.recipe.sampling, num_completions=self.recipe.batching.completions_per_prompt, seeds=seeds
        )
        by_index = {i: (group, begin(self.recipe.reward, group)) for i, group in groups}
        return [by_index[i] for i in range(len(prompts))]

    @stage("reward")
    def score(self, groups: Sequence[tuple[Group, Pending]]) -> list[ScoredGroup]:
        """The reward's verdict on every completion: what it has not finished yet is waited for."""
        return [ScoredGroup(group=group, scores=scores()) for group, scores in groups]

    @stage("advantage")
    def filter(self, groups: Sequence[ScoredGroup]) -> list[str | None]:
        """Why each group is dropped, None for those that are kept."""
        return self.recipe.filter(groups)

    @stage("advantage")
    def advantages(self, groups: Sequence[ScoredGroup]) -> tuple[Float[Tensor, "P N"], Mapping[str, float]]:
        """The objective's advantages, all that an objective changes, and its scheduled value in force."""
        if not groups:
            return torch.zeros(0, self.recipe.batching.completions_per_prompt), {}
        context = AdvantageContext(
            iteration=self.iteration + 1,
            prompt_ids=[group.group.prompt.id for group in groups],
            sampler_logprobs=torch.stack([c.logprobs.mean() for g in groups for c in g.group.completions]).view(
                len(groups), -1
            ),
        )
        rewards = torch.tensor([group.rewards for group in groups])
        accuracies = torch.tensor([group.accuracy for group in groups])
        return self.recipe.schedule.advantages(self.recipe.objective, rewards, context, accuracies)

    @stage("advantage")
    def observe(self, groups: Sequence[ScoredGroup]) -> None:
        """The schedule learns how difficult each prompt was, those of dropped groups too, for its next visit."""
        self.recipe.schedule.observe([g.group.prompt.id for g in groups], [g.accuracy for g in groups])

    @stage("pack")
    def pack(self, groups: Sequence[ScoredGroup], advantages: Float[Tensor, "P N"]) -> list[list[PackedRow]]:
        """The packed rows of each update of an epoch; an update that got no group has no rows."""
        batching = self.recipe.batching
        per_group = [_sequences(group.group, row) for group, row in zip(groups, advantages.tolist(), strict=True)]
        updates = []
        for hand in deal(per_group, batching.updates_per_epoch):
            sequences = [sequence for group in hand for sequence in group]
            weights = token_weights(
                [len(s.completion_ids) for s in sequences],
                self.recipe.loss.aggregation,
                max_new_tokens=self.recipe.sampling.max_new_tokens,
            )
            updates.append(pack(sequences, weights, row_tokens=batching.row_tokens, device=self.policy.device))
        return updates

    @stage("old_logprobs")
    def old_logprobs(self, updates: Sequence[Sequence[PackedRow]]) -> BehaviourStatistics:
        """What the policy that was sampled from says of every row.

        With several updates this takes a forward pass of its own, over the same rows as the updates. With a single
        one the policy of the update is the policy of the rollout: its own forward pass fills the statistics in.
        """
        statistics = BehaviourStatistics()
        if sum(bool(rows) for rows in updates) * self.recipe.batching.epochs > 1:
            with torch.no_grad():
                for row in (row for rows in updates for row in rows):
                    statistics.record(row, self.policy(row, self.recipe.sampling.temperature))
        return statistics

    @stage("update")
    def update(self, rows: Sequence[PackedRow], behaviour: BehaviourStatistics) -> UpdateReport:
        """One optimiser step on the sum of the rows' losses, whose token weights make it one big batch."""
        optimizer = cast(LightningOptimizer, self.optimizers())
        schedule = cast(LRScheduler, self.lr_schedulers())
        optimizer.zero_grad(set_to_none=True)
        totals = UpdateTotals()
        for row in rows:
            tokens = self.policy(row, self.recipe.sampling.temperature)
            old_logprobs = behaviour.logprobs_of(row, tokens)
            loss_per_token, clipped = self.recipe.loss(tokens.logprobs, old_logprobs, row.advantages)
            loss = (row.weights * loss_per_token).sum()
            self.manual_backward(loss)
            totals.add(row, loss.detach(), clipped)
        grad_norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.recipe.optimizer.grad_clip)
        if not grad_norm.isfinite():
            raise UserError(
                f"the gradient of iteration {self.iteration + 1} is {grad_norm}; try a smaller optimizer.lr"
            )
        learning_rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
        self.optimizer_steps += 1
        return totals.report(grad_norm=float(grad_norm), learning_rate=learning_rate)

    @stage("publish")
    def publish(self) -> None:
        """Hand the new weights to the engine: the iteration is over."""
        self.iteration += 1
        self.engine.load_policy(self.policy.model.named_parameters(), version=self.iteration)

    def report(
        self,
        groups: Sequence[ScoredGroup],
        dropped: Sequence[str | None],
        advantages: Float[Tensor, "P N"],
        in_force: Mapping[str, float],
        updates: Sequence[UpdateReport],
        behaviour: BehaviourStatistics,
    ) -> StepReport:
        """The frozen record of the iteration that callbacks see."""
        return StepReport(
            iteration=self.iteration,
            iterations=self.recipe.iterations,
            optimizer_steps=self.optimizer_steps,
            policy_version=self.iteration,
            train_set_size=self.train_set_size,
            groups=tuple(groups),
            dropped=tuple(dropped),
            advantages=advantages,
            in_force=in_force,
            updates=tuple(updates),
            entropy=behaviour.entropy,
            logprob_gap=behaviour.logprob_gap,
            seconds=self.clock.read(),
        )

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log for a callback. What all of them log becomes one record at the current iteration.

        Lightning's own `log` repeats the last value of a metric that an iteration does not have (the entropy of an
        iteration that trained nothing), so it only gets the metrics for what monitors them, such as early stopping.
        """
        self.pending_metrics |= metrics
        self.log_dict(dict(metrics), logger=False)

    def _write_metrics(self) -> None:
        """Hand the collected record to every logger: called in the module's hooks, which follow the callbacks'."""
        metrics, self.pending_metrics = self.pending_metrics, {}
        for logger in self.loggers if metrics else ():
            logger.log_metrics(metrics, step=self.iteration)
            logger.save()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End the run after its last iteration; a resumed run may have more of them."""
        self._write_metrics()
        if self.iteration >= self.recipe.iterations:
            self.trainer.should_stop = True

    def on_validation_epoch_end(self) -> None:
        self._write_metrics()

    def on_test_epoch_end(self) -> None:
        self._write_metrics()

    def validation_step(self, prompts: list[Prompt], batch_idx: int) -> dict[str, list[ProblemResult]]:
        """Sample the validation problems; the same random numbers at every iteration, so that curves compare."""
        return {"results": self._evaluate(prompts, "validation", self.recipe.evaluation.validation_completions)}

    def test_step(self, prompts: list[Prompt], batch_idx: int) -> dict[str, list[ProblemResult]]:
        """Sample the test problems."""
        return {"results": self._evaluate(prompts, "test", self.recipe.evaluation.test_completions)}

    def _evaluate(self, prompts: Sequence[Prompt], split: str, num_completions: int) -> list[ProblemResult]:
        return evaluate(
            self.engine,
            self.recipe.reward,
            prompts,
            self.recipe.evaluation.sampling,
            num_completions=num_completions,
            seed_of=lambda prompt: derive_seed(self.recipe.seed, split, prompt.id),
        )

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer, schedule = self.recipe.optimizer.build(self.policy.parameters())
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_fit_start(self) -> None:
        """A resumed policy reaches the engine before the first prompt does."""
        self.engine.load_policy(self.policy.model.named_parameters(), version=self.iteration)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["rsgrpo"] = {
            "iteration": self.iteration,
            "optimizer_steps": self.optimizer_steps,
            "schedule": self.recipe.schedule.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        self.iteration = checkpoint["rsgrpo"]["iteration"]
        self.optimizer_steps = checkpoint["rsgrpo"]["optimizer_steps"]
        self.recipe.schedule.load_state_dict(checkpoint["rsgrpo"]["schedule"])


def _sequences(group: Group, advantages: Sequence[float]) -> list[TrainingSequence]:
    return [
        TrainingSequence(
            prompt_ids=group.prompt.token_ids,
            completion_ids=completion.token_ids,
            advantage=advantage,
            sampler_logprobs=completion.logprobs,
        )
        for completion, advantage in zip(group.completions, advantages, strict=True)
    ]
