"""The evaluations of a run: a split sampled by the policy, as it is now."""

import time
from abc import ABC
from typing import Any, cast

from lightning.pytorch.trainer.states import TrainerFn

from rsgrpo.distributed import ranks
from rsgrpo.evaluation.batches import SplitBatch
from rsgrpo.evaluation.evaluate import evaluate
from rsgrpo.seeds import derive_seed
from rsgrpo.training.lightning_trainer import SeesCompletions
from rsgrpo.training.run_module import RunModule
from rsgrpo.types import ScoredGroup


class EvaluatingModule(RunModule, ABC):
    """What `trainer.validate` and `trainer.test` do, and the validations of a fit."""

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
                right_answers=self.recipe.evaluation.right_answers,
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
