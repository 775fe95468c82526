"""How much of the train set was ever solved: the paper's measure of exploration."""

from typing import Any

import lightning

from rsgrpo.evaluation.statistics import SolveTracker
from rsgrpo.training.module import RLModule


class CumulativeSolveRate(lightning.Callback):
    """Logs `train/cumulative_solve_rate` (over the train set) and `train/cumulative_solve_rate_visited`.

    Every group counts, those that a filter drops included. The solved set is part of the checkpoint.
    """

    def __init__(self) -> None:
        self.tracker = SolveTracker()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: RLModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        report = outputs["report"]
        self.tracker.add(report.outcomes)
        pl_module.log_metrics(
            {
                "train/cumulative_solve_rate": self.tracker.rate(report.train_set_size),
                "train/cumulative_solve_rate_visited": self.tracker.rate_of_visited(),
            },
        )

    def state_dict(self) -> dict[str, Any]:
        return {"visited": sorted(self.tracker.visited), "solved": sorted(self.tracker.solved)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.tracker = SolveTracker(visited=set(state_dict["visited"]), solved=set(state_dict["solved"]))
