"""The LightningModule: one iteration of RL with verifiable rewards."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import lightning
import numpy as np
import torch
from jaxtyping import Float
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from rsgrpo.batching.filters import reasons
from rsgrpo.batching.packing import empty_row, pack, sequences_of
from rsgrpo.batching.plan import deal
from rsgrpo.checkpoints.saving import SavesOnFailure
from rsgrpo.distributed import ranks
from rsgrpo.distributed.sharding import Sharding, full_tensor, full_tensors
from rsgrpo.distributed.signals import StopSignals
from rsgrpo.errors import UserError, failures_name_their_place
from rsgrpo.evaluation.evaluate import ProblemResult, evaluate
from rsgrpo.loggers.followers import show
from rsgrpo.losses.aggregation import token_weights
from rsgrpo.losses.clip import checked_loss
from rsgrpo.models.policy import Policy
from rsgrpo.objectives.base import AdvantageContext
from rsgrpo.rewards.base import Pending, begin
from rsgrpo.rollouts.engine import EngineLost, RolloutEngine, complete
from rsgrpo.seeds import derive_seed
from rsgrpo.training.clock import StageClock, stage
from rsgrpo.training.parity import check_parity
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.update import Behaviour, BehaviourTotals, UpdateTotals, merge
from rsgrpo.types import Group, Outcome, PackedRow, Prompt, ScoredGroup, StepReport


class RLModule(lightning.LightningModule):
    """prompts -> sync -> rollouts -> rewards -> filter -> advantages -> packed rows -> updates -> report.

    Every rank samples, scores and trains its own share of the prompts. What decides is decided by all alike: each rank
    knows the outcomes of all groups, and filters, advantages, token weights and metrics are computed from those.

    Manual optimisation: one iteration may hold several optimiser updates. Iterations and optimiser steps are counted
    here, since Lightning counts optimiser steps only. Callbacks get the `StepReport` through the `outputs` of
    `on_train_batch_end`, and the `ProblemResult`s of an evaluation through those of its batch-end hooks.
    """

    def __init__(
        self,
        policy: Policy,
        engine: RolloutEngine,
        recipe: Recipe,
        *,
        train_set_size: int,
        sharding: Sharding | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy, self.engine, self.recipe = policy, engine, recipe
        self.sharding = sharding or Sharding()
        self.train_set_size = train_set_size
        self.iteration = 0
        self.synced: int | None = None
        self.optimizer_steps = 0
        self.clock = StageClock()
        self.stop_signals = StopSignals()
        self.stopped_by: str | None = None
        self.pending_metrics: dict[str, float] = {}

    def configure_model(self) -> None:
        """Lightning calls this before each of its loops: the weights are laid out over the ranks at the first."""
        self.sharding.apply(self.policy, self.device_mesh)

    def training_step(self, prompts: list[Prompt], batch_idx: int) -> dict[str, StepReport]:
        """One iteration."""
        self.begin()
        with self.all_or_none():
            self.sync()
            groups = self.score(self.rollout(prompts))
            outcomes = self.exchange(groups)
        dropped = self.filter(outcomes)
        advantages, in_force = self.advantages(outcomes, dropped)
        self.observe(outcomes)
        updates = self.pack(groups, outcomes, dropped, advantages)
        behaviour = self.old_logprobs(updates)
        totals = [self.update(rows, behaviour) for _ in range(self.recipe.batching.epochs) for rows in updates if rows]
        self.iteration += 1
        return {"report": self.report(groups, outcomes, dropped, advantages, in_force, totals, behaviour)}

    def begin(self) -> None:
        """Every iteration starts from generators of its own, so that nothing before it can change what it draws.

        The engines and the order of prompts have seeds of their own; this is for whatever else draws: an objective,
        a reward, dropout.
        """
        self.clock.restart()
        seed = derive_seed(self.recipe.seed, "iteration", self.iteration, ranks.index())
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 (the generator that other people's code draws from)
        torch.manual_seed(seed)

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """What fails inside on one rank fails on all of them, after what was finished before is saved.

        For engines and rewards, which run alone on each rank: the others would wait for its outcomes for ever.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, EngineLost):
                raise  # other ranks wait inside the engine, and hear nothing
            if not isinstance(error, ranks.OtherRankFailed):
                ranks.fail(error)
            for callback in self.trainer.checkpoint_callbacks if self.iteration else ():
                if isinstance(callback, SavesOnFailure):
                    callback.save_on_failure(self.trainer, self)
            raise

    @stage("sync")
    def sync(self) -> None:
        """Before anything is sampled the engine has the policy's weights, those of a resumed run for example.

        Raises:
            UserError: when the engine then samples from something else.
        """
        if self.synced == self.iteration:
            return
        first, weights = self.synced is None, full_tensors(self.policy.model)
        try:
            self.engine.load_policy(weights, version=self.iteration)
        except Exception:
            for _ in weights:
                pass  # the other ranks go on gathering
            raise
        ranks.barrier()
        self.synced = self.iteration
        if self.engine.parity and (first or self.iteration % self.engine.parity.every == 0):
            check_parity(self.policy, self.engine, self.recipe.sampling.temperature)

    @stage("rollout")
    def rollout(self, prompts: Sequence[Prompt]) -> dict[int, tuple[Group, Pending]]:
        """N completions of each of this rank's prompts, by place in the batch, seeded by (run, iteration, place).

        Each group goes to the reward as soon as it is finished, which may work on it while others are sampled.
        """
        places = [ranks.index() + i * ranks.count() for i in range(len(prompts))]
        seeds = [
            derive_seed(self.recipe.seed, "rollout", self.iteration, place, prompt.id)
            for place, prompt in zip(places, prompts, strict=True)
        ]
        n = self.recipe.batching.completions_per_prompt
        groups = self.engine.generate(prompts, self.recipe.sampling, num_completions=n, seeds=seeds)
        groups = complete(groups, prompts, n)
        sampled = {places[i]: (group, begin(self.recipe.reward, group)) for i, group in groups}
        self.engine.make_room()
        return sampled

    @stage("reward")
    def score(self, groups: Mapping[int, tuple[Group, Pending]]) -> dict[int, ScoredGroup]:
        """The reward's verdict on every completion: what it has not finished yet is waited for."""
        return {place: ScoredGroup(group=groups[place][0], scores=groups[place][1]()) for place in sorted(groups)}

    @stage("exchange")
    def exchange(self, groups: Mapping[int, ScoredGroup]) -> list[Outcome]:
        """The outcomes of all groups of all ranks, in the order of their places. The slowest rank is waited for."""
        mine = {place: group.outcome for place, group in groups.items()}
        everyones = {place: outcome for theirs in ranks.gather(mine) for place, outcome in theirs.items()}
        return [everyones[place] for place in sorted(everyones)]

    @stage("advantage")
    def filter(self, outcomes: Sequence[Outcome]) -> list[str | None]:
        """Why each group is dropped, None for those that are kept."""
        return reasons(self.recipe.filter, outcomes)

    @stage("advantage")
    def advantages(
        self, outcomes: Sequence[Outcome], dropped: Sequence[str | None]
    ) -> tuple[Float[Tensor, "P_kept N"], Mapping[str, float]]:
        """The objective's advantages, all that an objective changes, and its scheduled value in force."""
        kept = [outcome for outcome, reason in zip(outcomes, dropped, strict=True) if reason is None]
        n = self.recipe.batching.completions_per_prompt
        # float64: the numbers are few, and rewards that are large and close together keep what tells them apart.
        rewards = torch.tensor([outcome.rewards for outcome in kept], dtype=torch.float64).view(-1, n)
        context = AdvantageContext(
            iteration=self.iteration + 1,
            prompt_ids=[outcome.prompt_id for outcome in kept],
            sampler_logprobs=torch.tensor([outcome.mean_logprobs for outcome in kept], dtype=rewards.dtype).view(-1, n),
        )
        accuracies = torch.tensor([outcome.accuracy for outcome in kept], dtype=rewards.dtype)
        schedule = self.recipe.schedule
        with failures_name_their_place("schedule", schedule, "advantages" if kept else "in_force"):
            if not kept:
                return rewards, schedule.in_force(self.recipe.objective, context, accuracies)
            return schedule.advantages(self.recipe.objective, rewards, context, accuracies)

    @stage("advantage")
    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """The schedule learns how difficult each prompt was, those of dropped groups too, for its next visit."""
        with failures_name_their_place("schedule", self.recipe.schedule, "observe"):
            self.recipe.schedule.observe([o.prompt_id for o in outcomes], [o.accuracy for o in outcomes])

    @stage("pack")
    def pack(
        self,
        groups: Mapping[int, ScoredGroup],
        outcomes: Sequence[Outcome],
        dropped: Sequence[str | None],
        advantages: Float[Tensor, "P_kept N"],
    ) -> list[list[PackedRow]]:
        """This rank's packed rows of each update of an epoch; an update that got no group has no rows.

        A token's weight counts the tokens of all ranks. Ranks with fewer rows than others get empty ones: forward and
        backward are collectives, and all have to take part in each.
        """
        batching = self.recipe.batching
        kept = [place for place, reason in enumerate(dropped) if reason is None]
        advantages_of = dict(zip(kept, advantages.tolist(), strict=True))
        updates = []
        for hand in deal(kept, batching.updates_per_epoch):
            weights = iter(
                token_weights(
                    [length for place in hand for length in outcomes[place].lengths],
                    self.recipe.loss.aggregation,
                    max_new_tokens=self.recipe.sampling.max_new_tokens,
                )
            )
            weights_of = {place: [next(weights) for _ in outcomes[place].lengths] for place in hand}
            mine = [place for place in hand if place in groups]
            updates.append(
                pack(
                    [s for place in mine for s in sequences_of(groups[place].group, advantages_of[place])],
                    [weight for place in mine for weight in weights_of[place]],
                    row_tokens=batching.row_tokens,
                    device=self.policy.device,
                )
            )
        most = [max(numbers) for numbers in zip(*ranks.gather([len(rows) for rows in updates]), strict=True)]
        return [
            rows + [empty_row(self.policy.device)] * (number - len(rows))
            for rows, number in zip(updates, most, strict=True)
        ]

    @stage("old_logprobs")
    def old_logprobs(self, updates: Sequence[Sequence[PackedRow]]) -> Behaviour:
        """What the policy that was sampled from says of every row.

        With several updates this takes a forward pass of its own, over the same rows as the updates. With a single
        one the policy of the update is the policy of the rollout: its own forward pass fills the log-probs in.
        """
        behaviour = Behaviour()
        if sum(bool(rows) for rows in updates) * self.recipe.batching.epochs > 1:
            with torch.no_grad():
                for row in (row for rows in updates for row in rows):
                    behaviour.record(row, self.policy(row, self.recipe.sampling.temperature))
        return behaviour

    @stage("update")
    def update(self, rows: Sequence[PackedRow], behaviour: Behaviour) -> UpdateTotals:
        """One optimiser step on the sum of all ranks' losses, whose token weights make it one big batch."""
        optimizer = cast(LightningOptimizer, self.optimizers())
        schedule = cast(LRScheduler, self.lr_schedulers())
        optimizer.zero_grad(set_to_none=True)
        totals = UpdateTotals()
        for row in rows:
            tokens = self.policy(row, self.recipe.sampling.temperature)
            old_logprobs = behaviour.logprobs_of(row, tokens)
            loss_per_token, clipped = checked_loss(self.recipe.loss, tokens.logprobs, old_logprobs, row.advantages)
            loss = (row.weights * loss_per_token).sum()
            self.manual_backward(loss)
            totals.add(row, loss.detach(), clipped)
        grad_norm = full_tensor(
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.recipe.optimizer.grad_clip)
        )
        if not grad_norm.isfinite():
            raise UserError(
                f"the gradient of iteration {self.iteration + 1} is {grad_norm}; try a smaller optimizer.lr, or "
                "smaller rewards"
            )
        totals.grad_norm, totals.learning_rate = float(grad_norm), optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
        self.optimizer_steps += 1
        return totals

    def report(
        self,
        groups: Mapping[int, ScoredGroup],
        outcomes: Sequence[Outcome],
        dropped: Sequence[str | None],
        advantages: Float[Tensor, "P_kept N"],
        in_force: Mapping[str, float],
        totals: Sequence[UpdateTotals],
        behaviour: Behaviour,
    ) -> StepReport:
        """The frozen record of the iteration that callbacks see, the same on every rank but for its own groups."""
        everyones = ranks.gather((totals, behaviour.totals, self.stop_signals.received))
        of_updates, of_behaviour, signals = zip(*everyones, strict=True)
        trained = BehaviourTotals.merge(of_behaviour)
        self.stopped_by = next((name for name in signals if name), None)
        return StepReport(
            iteration=self.iteration,
            iterations=self.recipe.iterations,
            optimizer_steps=self.optimizer_steps,
            policy_version=self.iteration,
            train_set_size=self.train_set_size,
            outcomes=tuple(outcomes),
            dropped=tuple(dropped),
            groups=groups,
            advantages=advantages,
            in_force=in_force,
            updates=tuple(merge(update) for update in zip(*of_updates, strict=True)),
            entropy=trained.entropy,
            logprob_gap=trained.logprob_gap,
            seconds=self.clock.read(),
            stopped_by=self.stopped_by,
        )

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log for a callback. What all of them log becomes one record at the current iteration.

        Lightning's own `log` repeats the last value of a metric that an iteration does not have (the entropy of an
        iteration that trained nothing), so it only gets the metrics for what monitors them, such as early stopping.
        """
        self.pending_metrics |= metrics
        self.log_dict(dict(metrics), logger=False)

    def write_metrics(self) -> None:
        """Hand the collected record to every logger: at the latest in the module's hooks, after all callbacks."""
        metrics, self.pending_metrics = self.pending_metrics, {}
        if metrics:
            show(self.loggers, metrics, self.iteration)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End the run after its last iteration; a resumed run may have more of them."""
        self.write_metrics()
        if outputs["report"].is_last:
            self.trainer.should_stop = True
        if self.stopped_by:
            self.trainer.limit_val_batches = 0  # a run that was told to stop does not evaluate first

    def on_validation_epoch_end(self) -> None:
        self.write_metrics()

    def on_test_epoch_end(self) -> None:
        self.write_metrics()

    def validation_step(self, prompts: list[Prompt], batch_idx: int) -> dict[str, list[ProblemResult]]:
        """Sample the validation problems; the same random numbers at every iteration, so that curves compare."""
        return {"results": self._evaluate(prompts, "validation", self.recipe.evaluation.validation_completions)}

    def test_step(self, prompts: list[Prompt], batch_idx: int) -> dict[str, list[ProblemResult]]:
        """Sample the test problems."""
        return {"results": self._evaluate(prompts, "test", self.recipe.evaluation.test_completions)}

    def _evaluate(self, prompts: Sequence[Prompt], split: str, num_completions: int) -> list[ProblemResult]:
        """The results of all problems, of which each rank samples its share."""
        with self.all_or_none():
            self.sync()
            mine = evaluate(
                self.engine,
                self.recipe.reward,
                prompts[ranks.index() :: ranks.count()],
                self.recipe.evaluation.sampling,
                num_completions=num_completions,
                seed_of=lambda prompt: derive_seed(self.recipe.seed, split, prompt.id),
            )
            results = ranks.gather(mine)
        return [results[place % ranks.count()][place // ranks.count()] for place in range(len(prompts))]

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer, schedule = self.recipe.optimizer.build(self.policy.parameters())
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_validation_start(self) -> None:
        if self.trainer.state.fn != TrainerFn.FITTING:
            self.stop_signals.let_through()

    def on_test_start(self) -> None:
        self.stop_signals.let_through()

    def on_train_start(self) -> None:
        """Hear signals here: Lightning's own handlers hang on several ranks and save nothing on one."""
        self.stop_signals.listen()
        if self.iteration >= self.recipe.iterations:  # a run that ended between its last checkpoint and its end
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["rsgrpo"] = {
            "iteration": self.iteration,
            "optimizer_steps": self.optimizer_steps,
            "parts": self.recipe.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        self.iteration = checkpoint["rsgrpo"]["iteration"]
        self.optimizer_steps = checkpoint["rsgrpo"]["optimizer_steps"]
        self.recipe.load_state_dict(checkpoint["rsgrpo"]["parts"])
