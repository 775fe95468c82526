"""The LightningModule: one iteration of RL with verifiable rewards."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from rsgrpo.batching.filters import reasons
from rsgrpo.distributed import ranks
from rsgrpo.distributed.sharding import full_tensor
from rsgrpo.errors import UserError, failures_name_their_place, fields_belong_to
from rsgrpo.evaluation.batches import SplitBatch
from rsgrpo.evaluation.evaluate import evaluate
from rsgrpo.evaluation.sampling import failures_name_the_engine, sampled_groups
from rsgrpo.losses.base import Loss, check_entropy, checked_loss, with_noticed_entropy
from rsgrpo.rewards.base import Pending, answers, begin
from rsgrpo.schedules.base import Schedule
from rsgrpo.seeds import derive_seed
from rsgrpo.training.clock import stage
from rsgrpo.training.lightning_trainer import SeesCompletions
from rsgrpo.training.rows import mean_entropies, rows_of_updates
from rsgrpo.training.run_module import RunModule
from rsgrpo.training.selection import Selection, advantage_context
from rsgrpo.training.update import BehaviourTotals, UpdateTotals, merge
from rsgrpo.types import Group, Outcome, PackedRow, Prompt, Sampling, ScoredGroup, StepReport


class RLModule(RunModule):
    """prompts -> sync -> rollouts -> rewards -> filter -> advantages -> packed rows -> updates -> report.

    Every rank samples, scores and trains its own share of the prompts. All ranks decide alike: each rank
    knows the outcomes of all groups, and filters, advantages, token weights and metrics are computed from those.

    Callbacks get the `StepReport` through the `outputs` of `on_train_batch_end`, the `ProblemResult`s of an evaluation
    through those of its batch-end hooks, and its completions if they have a method `on_evaluated`.
    """

    def training_step(self, prompts: list[Prompt], batch_idx: int) -> dict[str, StepReport]:
        """One iteration."""
        self.start_afresh()
        with self.all_or_none():
            self.sync()
            groups = self.score(self.rollout(prompts))
            outcomes = self.exchange(groups)
        selection = self.advantages(outcomes, self.filter(outcomes))
        self.observe(outcomes)
        updates, behaviour = self.old_logprobs(self.pack(groups, selection))
        epochs = range(self.recipe.batching.epochs)
        totals = [self.update(rows, selection.loss, behaviour) for _ in epochs for rows in updates if rows]
        self.iteration += 1
        return {"report": self.report(groups, selection, totals, behaviour)}

    def start_afresh(self) -> None:
        """Clock, metrics and generators: every iteration has its own, so that nothing earlier changes what it draws.

        The engines and the order of prompts have seeds of their own; the generators are for whatever else draws: an
        objective, a reward, dropout.
        """
        self.clock.restart()
        self.metrics = {}
        seed = derive_seed(self.recipe.seed, "iteration", self.iteration, ranks.index())
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 (the generator that other people's code draws from)
        torch.manual_seed(seed)

    @stage("rollout")
    @fields_belong_to("sampling", *Sampling.__dataclass_fields__)
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
        groups = sampled_groups(self.engine, prompts, self.recipe.sampling, num_completions=n, seeds=seeds)
        sampled = {places[i]: (group, begin(self.recipe.reward, group)) for i, group in groups}
        with failures_name_the_engine(self.engine, "make_room"):
            self.engine.make_room()
        return sampled

    @stage("reward")
    def score(self, groups: Mapping[int, tuple[Group, Pending]]) -> dict[int, ScoredGroup]:
        """The reward's verdict on every completion: what it has not finished yet is waited for."""
        return {place: ScoredGroup(group=groups[place][0], scores=groups[place][1]()) for place in sorted(groups)}

    def _outcome(self, scored: ScoredGroup) -> Outcome:
        """What all ranks learn of a group: the answers too, where the objective needs them."""
        if "answers" not in self.recipe.needs:
            return scored.outcome
        found = answers(self.recipe.reward, scored.group)
        return replace(scored.outcome, answers=found)

    def _entropy_of(self, row: PackedRow) -> Tensor:
        with torch.no_grad():
            return self.policy(row, self.recipe.sampling.temperature).entropy

    @stage("exchange")
    def exchange(self, groups: Mapping[int, ScoredGroup]) -> list[Outcome]:
        """The outcomes of all groups of all ranks, in the order of their places. The slowest rank is waited for."""
        mine = {place: self._outcome(group) for place, group in groups.items()}
        if "entropies" in self.recipe.needs:
            means = mean_entropies(groups, self.recipe, self.policy.device, self._entropy_of)
            mine = {place: replace(outcome, mean_entropies=means[place]) for place, outcome in mine.items()}
        everyones = {place: outcome for theirs in ranks.gather(mine) for place, outcome in theirs.items()}
        return [everyones[place] for place in sorted(everyones)]

    @stage("advantage")
    def filter(self, outcomes: Sequence[Outcome]) -> list[str | None]:
        """Why each group is dropped, None for those that are kept."""
        return reasons(self.recipe.filter, outcomes)

    @stage("advantage")
    def advantages(self, outcomes: Sequence[Outcome], dropped: Sequence[str | None]) -> Selection:
        """The advantages of the objective in force, all that an objective changes."""
        kept = [outcome for outcome, reason in zip(outcomes, dropped, strict=True) if reason is None]
        rewards, context = advantage_context(
            kept,
            iteration=self.iteration + 1,
            completions=self.recipe.batching.completions_per_prompt,
            history=self.history.of([o.prompt_id for o in kept]) if "history" in self.recipe.needs else None,
        )
        in_force = self.recipe.schedule.in_force(self.recipe.objective, context, self.recipe.loss)
        assert in_force.loss is not None
        return Selection(
            outcomes=outcomes,
            dropped=dropped,
            advantages=in_force.advantages(rewards, context) if kept else rewards,
            loss=in_force.loss,
            in_force=in_force.values,
        )

    @stage("advantage")
    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """What was learnt of each prompt, those of dropped groups too, for its next visit."""
        with failures_name_their_place("schedule", self.recipe.schedule, "observe", like=Schedule.observe):
            self.recipe.schedule.observe([o.prompt_id for o in outcomes], [o.accuracy for o in outcomes])
        if "history" in self.recipe.needs:
            self.history.observe(outcomes, self.iteration + 1)

    @stage("pack")
    def pack(self, groups: Mapping[int, ScoredGroup], selection: Selection) -> list[list[PackedRow]]:
        """This rank's packed rows of each update of an epoch."""
        return rows_of_updates(groups, selection, self.recipe, self.policy.device)

    @stage("old_logprobs")
    def old_logprobs(self, updates: list[list[PackedRow]]) -> tuple[list[list[PackedRow]], BehaviourTotals]:
        """The rows with what the policy that was sampled from says of their tokens.

        With several updates this takes a forward pass of its own. With a single one the policy of the update is the
        policy of the rollout, whose log-probs its own forward pass gives: the rows stay without.
        """
        behaviour = BehaviourTotals()
        if sum(bool(rows) for rows in updates) * self.recipe.batching.epochs == 1:
            return updates, behaviour

        def seen(row: PackedRow) -> PackedRow:
            tokens = self.policy(row, self.recipe.sampling.temperature)
            behaviour.add(row, tokens)
            return replace(row, old_logprobs=tokens.logprobs)

        with torch.no_grad():
            return [[seen(row) for row in rows] for rows in updates], behaviour

    @stage("update")
    def update(self, rows: Sequence[PackedRow], loss: Loss, behaviour: BehaviourTotals) -> UpdateTotals:
        """One optimiser step on the sum of all ranks' losses, whose token weights make it one big batch."""
        optimizer = cast(LightningOptimizer, self.optimizers())
        schedule = cast(LRScheduler, self.lr_schedulers())
        optimizer.zero_grad(set_to_none=True)
        totals = UpdateTotals()
        for row in rows:
            tokens = self.policy(row, self.recipe.sampling.temperature, entropy_gradient=loss.entropy_gradient)
            old_logprobs = row.old_logprobs
            if old_logprobs is None:
                behaviour.add(row, tokens)
                old_logprobs = tokens.logprobs.detach()
            tokens = with_noticed_entropy(loss, tokens)
            output = checked_loss(loss, tokens, old_logprobs, row)
            row_loss = (row.weights * output.per_token).sum()
            self.manual_backward(row_loss)
            check_entropy(loss, tokens)
            totals.add(row, row_loss.detach(), output)
        grad_norm = full_tensor(
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.recipe.optimizer.grad_clip)
        )
        if not grad_norm.isfinite():
            raise UserError(
                f"the gradient of iteration {self.iteration + 1} is {grad_norm}; try smaller rewards, or a smaller "
                f"learning rate than lr={self.recipe.optimizer.lr}",
                lr="optimizer",
            )
        totals.grad_norm, totals.learning_rate = float(grad_norm), optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
        self.optimizer_steps += 1
        return totals

    def report(
        self,
        groups: Mapping[int, ScoredGroup],
        selection: Selection,
        totals: Sequence[UpdateTotals],
        behaviour: BehaviourTotals,
    ) -> StepReport:
        """The frozen record of the iteration that callbacks see, the same on every rank but for its own groups."""
        everyones = ranks.gather((totals, behaviour, self.stop_signals.received))
        of_updates, of_behaviour, signals = zip(*everyones, strict=True)
        trained = BehaviourTotals.merge(of_behaviour)
        self.stopped_by = next((name for name in signals if name), None)
        return StepReport(
            iteration=self.iteration,
            iterations=self.recipe.iterations,
            optimizer_steps=self.optimizer_steps,
            policy_version=self.iteration,
            train_set_size=self.train_set_size,
            outcomes=tuple(selection.outcomes),
            dropped=tuple(selection.dropped),
            groups=groups,
            advantages=selection.advantages,
            in_force=selection.in_force,
            updates=tuple(merge(update) for update in zip(*of_updates, strict=True)),
            entropy=trained.entropy,
            logprob_gap=trained.logprob_gap,
            seconds=self.clock.read(),
            stopped_by=self.stopped_by,
        )

    def validation_step(self, batch: SplitBatch, batch_idx: int) -> dict[str, Any] | None:
        """Sample a split that is due; the same random numbers at every iteration, so that curves compare."""
        training = self.trainer.state.fn == TrainerFn.FITTING
        plan = self.recipe.evaluation
        if training and not plan.is_due(batch.split, self.iteration, self.recipe.iterations):
            return None
        return self._evaluate(batch)

    def test_step(self, batch: SplitBatch, batch_idx: int) -> dict[str, Any]:
        """Sample the test problems."""
        return self._evaluate(batch)

    def _evaluate(self, batch: SplitBatch) -> dict[str, Any]:
        """Split, seconds, and the results of all problems, of which each rank samples its share."""
        places = range(ranks.index(), len(batch.prompts), ranks.count())
        callbacks = cast(Any, self.trainer).callbacks
        observers = [callback for callback in callbacks if isinstance(callback, SeesCompletions)]

        def see(index: int, scored: ScoredGroup) -> None:
            for observer in observers:
                observer.on_evaluated(batch.split, self.iteration, places[index], scored)

        begun = time.perf_counter()
        with self.all_or_none():
            self.sync()
            mine = evaluate(
                self.engine,
                self.recipe.reward,
                [batch.prompts[place] for place in places],
                self.recipe.evaluation.sampling,
                num_completions=lambda index: self._completions_of(batch, places[index]),
                seed_of=lambda index: self._seed_of(batch, places[index]),
                see=see if observers else None,
            )
            everyones = ranks.gather(mine)
        results = [everyones[i % ranks.count()][i // ranks.count()] for i in range(len(batch.prompts))]
        return {
            "split": batch.split,
            "seconds": time.perf_counter() - begun,
            "results": [*batch.known, *results],
        }

    def _completions_of(self, batch: SplitBatch, place: int) -> int:
        if batch.numbers is not None:
            return batch.numbers[place]
        dataset = batch.prompts[place].problem.facts.get("dataset")
        during_training = 0 < self.iteration < self.recipe.iterations
        return self.recipe.evaluation.completions_for(batch.split, dataset, curve=during_training)

    def _seed_of(self, batch: SplitBatch, place: int) -> int:
        """Of the run, the problem, and the samples that came before."""
        start = 0 if batch.starts is None else batch.starts[place]
        return derive_seed(self.recipe.seed, batch.split, batch.prompts[place].id, *([start] if start else []))
