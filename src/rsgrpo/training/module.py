"""The LightningModule: one iteration of RL with verifiable rewards."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch.optim.lr_scheduler import LRScheduler

from rsgrpo.batching.filters import reasons
from rsgrpo.data.order import Order
from rsgrpo.data.stream import PromptStream
from rsgrpo.distributed import ranks
from rsgrpo.errors import failures_name_their_place, fields_belong_to
from rsgrpo.evaluation.sampling import sampled_groups
from rsgrpo.losses.base import Loss
from rsgrpo.rewards.base import Pending, begin
from rsgrpo.schedules.base import Schedule
from rsgrpo.seeds import derive_seed
from rsgrpo.terms.base import Term
from rsgrpo.training.clock import stage
from rsgrpo.training.evaluating import EvaluatingModule
from rsgrpo.training.outcomes import outcomes_of
from rsgrpo.training.rows import rows_of_updates
from rsgrpo.training.selection import Collected, Selection, advantage_context
from rsgrpo.training.shaping import shaped_updates
from rsgrpo.training.total_loss import TotalLoss
from rsgrpo.training.update import BehaviourTotals, UpdateTotals, clipped_norm, merge
from rsgrpo.types import Group, Outcome, PackedRow, Prompt, Sampling, ScoredGroup, StepReport, TokenStatistics


class RLModule(EvaluatingModule):
    """prompts -> sync -> rollouts -> rewards -> filter -> advantages -> packed rows -> shaping -> updates -> report.

    Every rank samples, scores and trains its own share of the prompts. All ranks decide alike: each rank
    knows the outcomes of all groups, and filters, advantages, token weights and metrics are computed from those.

    Callbacks get the `StepReport` through the `outputs` of `on_train_batch_end`, the `ProblemResult`s of an evaluation
    through those of its batch-end hooks, and its completions if they have a method `on_evaluated`.
    """

    def training_step(self, prompts: PromptStream, batch_idx: int) -> dict[str, StepReport]:
        """One iteration."""
        self.start_afresh()
        with self.all_or_none():
            self.sync()
            collected = self.collect(prompts)
        selection = self.advantages(collected)
        self.observe(collected.outcomes)
        updates, behaviour = self.old_logprobs(self.pack(collected.groups, selection))
        updates = self.shape(updates, selection)
        epochs = range(self.recipe.batching.epochs)
        totals = [self.update(rows, selection.loss, behaviour) for _ in epochs for rows in updates if rows]
        self.iteration += 1
        return {"report": self.report(collected, selection, totals, behaviour)}

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

    def collect(self, prompts: PromptStream) -> Collected:
        """Groups, their outcomes and why some are dropped: of one draw of prompts, or of refills for dropped groups.

        Every draw is as large as what is missing. What is missing after `max_refills` draws stays away.
        """
        plan, collected = self.recipe.batching, Collected()
        while True:
            drawn = self.rollout(prompts.take(collected.missing(plan)), first=len(collected.outcomes))
            groups = self.score(drawn)
            outcomes = self.exchange(groups)
            with failures_name_their_place("order", self.recipe.order, "observe", like=Order.observe):
                self.recipe.order.observe(outcomes)
            collected.add(groups, outcomes)
            collected.dropped = self.filter(collected.outcomes)
            if not collected.missing(plan) or collected.refills == plan.max_refills:
                self.drawn = prompts.drawn
                return collected
            collected.refills += 1
            self.load()

    @stage("rollout")
    @fields_belong_to("sampling", *Sampling.__dataclass_fields__)
    def rollout(self, prompts: Sequence[Prompt], *, first: int) -> dict[int, tuple[Group, Pending]]:
        """N completions of each of this rank's prompts, by place in the batch, seeded by (run, iteration, place).

        Each group goes to the reward as soon as it is finished, which may work on it while others are sampled.
        `first` is the place of the first prompt of all ranks.
        """
        places = [first + ranks.index() + i * ranks.count() for i in range(len(prompts))]
        seeds = [
            derive_seed(self.recipe.seed, "rollout", self.iteration, place, prompt.id)
            for place, prompt in zip(places, prompts, strict=True)
        ]
        n = self.recipe.batching.completions_per_prompt
        groups = sampled_groups(self.engine, prompts, self.recipe.sampling, num_completions=n, seeds=seeds)
        sampled = {places[i]: (group, begin(self.recipe.reward, group)) for i, group in groups}
        self.make_room()
        return sampled

    @stage("reward")
    def score(self, groups: Mapping[int, tuple[Group, Pending]]) -> dict[int, ScoredGroup]:
        """The reward's verdict on every completion: what it has not finished yet is waited for."""
        return {place: ScoredGroup(group=groups[place][0], scores=groups[place][1]()) for place in sorted(groups)}

    @stage("exchange")
    def exchange(self, groups: Mapping[int, ScoredGroup]) -> list[Outcome]:
        """The outcomes of all groups of all ranks, in the order of their places. The slowest rank is waited for."""
        mine = outcomes_of(groups, self.recipe, self.policy.device, self.seen)
        everyones = {place: outcome for theirs in ranks.gather(mine) for place, outcome in theirs.items()}
        return [everyones[place] for place in sorted(everyones)]

    @torch.no_grad()
    def seen(self, row: PackedRow, terms: Mapping[str, Term]) -> tuple[PackedRow, TokenStatistics]:
        """A row with what the reference says of it, where one of the `terms` needs that, and what the policy says."""
        if self.reference is not None and any(term.needs_reference for term in terms.values()):
            row = replace(row, reference_logprobs=self.reference.logprobs(row, self.recipe.sampling.temperature))
        return row, self.policy(row, self.recipe.sampling.temperature)

    @stage("advantage")
    def filter(self, outcomes: Sequence[Outcome]) -> list[str | None]:
        """Why each group is dropped, None for those that are kept."""
        return reasons(self.recipe.filter, outcomes)

    @stage("advantage")
    def advantages(self, collected: Collected) -> Selection:
        """The advantages of the objective in force, all that an objective changes."""
        kept = collected.kept
        rewards, context = advantage_context(
            kept,
            iteration=self.iteration + 1,
            completions=self.recipe.batching.completions_per_prompt,
            history=self.history.of([o.prompt_id for o in kept]) if "history" in self.recipe.needs else None,
        )
        in_force = self.recipe.schedule.in_force(self.recipe.objective, context, self.recipe.loss)
        assert in_force.loss is not None
        return Selection(
            outcomes=collected.outcomes,
            dropped=collected.dropped,
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
        """The rows with what the policy that was sampled from says of their tokens, and the reference if it is needed.

        With several updates this takes a forward pass of its own, and so it does where advantages are shaped. With a
        single one the policy of the update is the policy of the rollout, whose log-probs its own forward pass gives:
        the rows stay without.
        """
        behaviour, terms, shapes = BehaviourTotals(), self.recipe.terms_of("loss"), not self.recipe.shaping.off
        if any(term.needs_reference for term in terms.values()):
            assert self.reference is not None
            temperature = self.recipe.sampling.temperature
            updates = [
                [replace(row, reference_logprobs=self.reference.logprobs(row, temperature)) for row in rows]
                for rows in updates
            ]
        if sum(bool(rows) for rows in updates) * self.recipe.batching.epochs == 1 and not shapes:
            return updates, behaviour

        def seen(row: PackedRow) -> PackedRow:
            tokens = self.policy(row, self.recipe.sampling.temperature)
            behaviour.add(row, tokens)
            return replace(row, old_logprobs=tokens.logprobs, old_entropy=tokens.entropy if shapes else None)

        with torch.no_grad():
            return [[seen(row) for row in rows] for rows in updates], behaviour

    @stage("advantage")
    def shape(self, updates: list[list[PackedRow]], selection: Selection) -> list[list[PackedRow]]:
        """The rows with an advantage for each token, out of its completion's and what the sampled policy says of it."""
        if self.recipe.shaping.off:
            return updates
        with self.all_or_none():  # ranks see different tokens, so one of them may fail alone
            return shaped_updates(updates, selection.outcomes, self.recipe, iteration=self.iteration)

    @stage("update")
    def update(self, rows: Sequence[PackedRow], surrogate: Loss, behaviour: BehaviourTotals) -> UpdateTotals:
        """One optimiser step on the sum of all ranks' losses, whose token weights make it one big batch."""
        optimizer = cast(LightningOptimizer, self.optimizers())
        schedule = cast(LRScheduler, self.lr_schedulers())
        totals, terms = UpdateTotals(), self.recipe.terms_of("loss")
        loss = TotalLoss(surrogate, terms, self.correction, self.recipe.shaping)
        for row in rows:
            tokens = self.policy(row, self.recipe.sampling.temperature, entropy_gradient=loss.entropy_gradient)
            old_logprobs = row.old_logprobs
            if old_logprobs is None:
                behaviour.add(row, tokens)
                old_logprobs = tokens.logprobs.detach()
            output = loss(tokens, old_logprobs, row)
            row_loss = (row.weights * output.per_token).sum()
            self.manual_backward(row_loss)
            loss.check_backward()
            totals.add(row, row_loss.detach(), output)
        totals.grad_norm = clipped_norm(self.policy.parameters(), self.recipe.optimizer.grad_clip)
        totals.learning_rate = float(optimizer.param_groups[0]["lr"])
        if self.bad_updates.is_sound(totals, self.recipe.optimizer, iteration=self.iteration + 1):
            optimizer.step()
            schedule.step()
            self.optimizer_steps += 1
        optimizer.zero_grad(set_to_none=True)  # now: the engine wakes before the next update, and needs the memory
        return totals

    def report(
        self,
        collected: Collected,
        selection: Selection,
        totals: Sequence[UpdateTotals],
        behaviour: BehaviourTotals,
    ) -> StepReport:
        """The frozen record of the iteration that callbacks see, the same on every rank but for its own groups."""
        everyones = ranks.gather((totals, behaviour, self.stop_signals.received))
        of_updates, of_behaviour, signals = zip(*everyones, strict=True)
        trained = BehaviourTotals.merge(of_behaviour)
        self.stopped_by = next((name for name in signals if name), None)
        report = StepReport(
            iteration=self.iteration,
            iterations=self.recipe.iterations,
            optimizer_steps=self.optimizer_steps,
            policy_version=self.iteration,
            train_set_size=self.train_set_size,
            outcomes=tuple(selection.outcomes),
            dropped=tuple(selection.dropped),
            groups=collected.groups,
            refills=collected.refills,
            advantages=selection.advantages,
            in_force=selection.in_force,
            updates=tuple(merge(update) for update in zip(*of_updates, strict=True)),
            entropy=trained.entropy,
            logprob_gap=trained.logprob_gap,
            sampler_gap=trained.sampler_gap,
            seconds=self.clock.read(),
            gpu_bytes=self.clock.gpu_bytes(),
            stopped_by=self.stopped_by,
        )
        for name, term in self.recipe.terms.items():
            with failures_name_their_place(f"term.{name}", term, "observe", like=Term.observe):
                term.observe(report)
        return report
