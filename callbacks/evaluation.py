"""pass@k of the validation and test splits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning

from rsgrpo import run_folder
from rsgrpo.distributed.terminal import say
from rsgrpo.evaluation.evaluate import ProblemResult, merged
from rsgrpo.measures.pass_at_k import mean_pass_at_k, standard_errors
from rsgrpo.training.module import RLModule
from rsgrpo.training.recipe import Recipe

FILES = {"validation": run_folder.VALIDATION, "test": run_folder.TEST}

NO_VERDICT = ("timeout", "error")
"""Parts of a reward that mark what its workers did not come to the end of."""


class PassAtK(lightning.Callback):
    """Logs `eval/<split>/pass@k` (unbiased) with its standard error over problems (`eval/<split>/pass@k_stderr`), over
    all problems and by dataset where there are several (`eval/test/aime24/pass@32`), the mean of each part of the
    reward (`eval/test/reward/timeout`) and the seconds it took (`time/eval_test_s`), and appends every problem's counts
    to `eval/<split>.jsonl`.

    A k is estimated from the problems that have k completions. Completions that the reward gave no verdict on are said
    on the terminal, the first time.
    """

    def __init__(self, k: Sequence[int]) -> None:
        self.k = list(k)
        self.results: dict[str, list[ProblemResult]] = {}
        self.seconds: dict[str, float] = {}
        self.told = False

    def check(self, recipe: Recipe) -> None:
        """Refuse a k that the completions of an evaluation cannot estimate.

        Raises:
            FieldError: with those that they can.
        """
        replace(recipe.evaluation, k=self.k)

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if outputs is not None:  # the split was due
            split = outputs["split"]
            self.results[split] = merged(self.results.get(split, []), outputs["results"])
            self.seconds[split] = self.seconds.get(split, 0.0) + outputs["seconds"]

    def on_test_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self.on_validation_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        for split in list(self.results):
            self._write(trainer, pl_module, split, self.results.pop(split))
            pl_module.write_metrics()  # a record for each split: a resumed run may owe one of them only

    def on_test_epoch_end(self, trainer: lightning.Trainer, pl_module: RLModule) -> None:
        self.on_validation_epoch_end(trainer, pl_module)

    def _passed(self, results: Sequence[ProblemResult]) -> dict[str, float]:
        counts = [(result.n, result.correct) for result in results]
        errors = {f"{name}_stderr": error for name, error in standard_errors(counts, self.k).items()}
        return mean_pass_at_k(counts, self.k) | errors

    def _write(
        self, trainer: lightning.Trainer, module: RLModule, split: str, results: Sequence[ProblemResult]
    ) -> None:
        module.log_metrics({f"eval/{split}/{name}": value for name, value in self._passed(results).items()})
        datasets = sorted({result.facts["dataset"] for result in results if "dataset" in result.facts})
        for dataset in datasets if len(datasets) > 1 else ():
            passed = self._passed([result for result in results if result.facts.get("dataset") == dataset])
            module.log_metrics({f"eval/{split}/{dataset}/{name}": value for name, value in passed.items()})
        self._write_parts(module, split, results)
        module.log_metrics({f"time/eval_{split}_s": self.seconds.pop(split)})
        if trainer.is_global_zero:
            records = [{"iteration": module.iteration, **result.record()} for result in results]
            run_folder.append(Path(trainer.default_root_dir) / FILES[split], records)

    def _write_parts(self, module: RLModule, split: str, results: Sequence[ProblemResult]) -> None:
        total, sums = sum(result.n for result in results), Counter[str]()
        for result in results:
            sums.update(result.parts)
        module.log_metrics({f"eval/{split}/reward/{name}": sums[name] / total for name in sorted(sums)})
        lost = {name: count for name, count in sorted(sums.items()) if name.rpartition("/")[2] in NO_VERDICT}
        if lost and not self.told:
            self.told = True
            counts = ", ".join(f"{name} on {count:,.0f}" for name, count in lost.items())
            say(
                f"note: of {total:,} completions the reward gave no verdict on some, which score 0: {counts}; "
                f"eval/{split}/reward/ has their shares"
            )
