"""How much of the train set has ever been solved: the paper's measure of exploration."""

from typing import Any

from rsgrpo.types import StepReport


class CumulativeSolveRate:
    """`cumulative_solve_rate`: |prompts with at least one correct rollout at any iteration so far| / |train set|, and
    `cumulative_solve_rate_visited`, the same over the prompts visited so far.

    Every group counts, those that a filter drops included. It remembers which prompts were visited and solved.
    """

    def __init__(self) -> None:
        self.visited: set[str] = set()
        self.solved: set[str] = set()

    def __call__(self, report: StepReport) -> dict[str, float]:
        for outcome in report.outcomes:
            self.visited.add(outcome.prompt_id)
            if outcome.num_correct:
                self.solved.add(outcome.prompt_id)
        return {
            "cumulative_solve_rate": len(self.solved) / report.train_set_size,
            "cumulative_solve_rate_visited": len(self.solved) / max(1, len(self.visited)),
        }

    def state_dict(self) -> dict[str, Any]:
        """The prompts that were visited and solved."""
        return {"visited": sorted(self.visited), "solved": sorted(self.solved)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the prompts of a checkpoint."""
        self.visited, self.solved = set(state["visited"]), set(state["solved"])
