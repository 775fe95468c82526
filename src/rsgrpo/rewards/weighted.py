"""Several rewards added up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields
from rsgrpo.rewards.base import Pending, ReadsGolds, Reward, answers, begin, close, has_one_right_answer
from rsgrpo.types import Completion, Group, Problem, Prompt, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedSum:
    """value = sum_j weights[j] value_j; the reward that `correct` names decides what is correct.

    `parts` holds the value of each reward under its name, and their own parts as `<name>/<part>`.

    Raises:
        FieldError: for a weight or a `correct` that names no reward.
    """

    rewards: Mapping[str, Reward]
    weights: Mapping[str, float] = field(default_factory=dict)
    """A reward that is not named has weight 1."""
    correct: str | None = None
    """The reward that says what is correct; null: the first."""

    def __post_init__(self) -> None:
        if isinstance(self.weights, Mapping):
            self._check_weights()
        check_fields(self)
        if not self.rewards:
            raise FieldError("rewards", {}, "names no reward", "add one: rewards.NAME=...")
        if self.correct is not None and self.correct not in self.rewards:
            raise FieldError(
                "correct", self.correct, "is not one of the rewards", f"choose one of {', '.join(self.rewards)}"
            )

    def _check_weights(self) -> None:
        for name, weight in self.weights.items():
            if name not in self.rewards:
                raise FieldError(
                    "weights",
                    dict(self.weights),
                    f"has {name!r}, which is not one of the rewards",
                    f"choose one of {', '.join(self.rewards)}",
                )
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise FieldError(f"weights.{name}", weight, "must be a number", f"try weights.{name}=1")

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return self.begin(Group(prompt=prompt, completions=(completion,)))()[0]

    def begin(self, group: Group) -> Pending:
        """Start every reward on the group; those that work in the background do so at the same time."""
        pending = {name: begin(reward, group) for name, reward in self.rewards.items()}

        def scores() -> tuple[Score, ...]:
            by_name = {name: scores() for name, scores in pending.items()}
            return tuple(
                self._sum({name: scores[i] for name, scores in by_name.items()}) for i in range(len(group.completions))
            )

        return scores

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        """As the reward finds it that says what is correct."""
        return answers(self.rewards[self._judge], Group(prompt=prompt, completions=(completion,)))[0]

    @property
    def one_right_answer(self) -> bool:
        """Whether that reward knows only one."""
        return has_one_right_answer(self.rewards[self._judge])

    def close(self) -> None:
        """End what the rewards have started."""
        for reward in self.rewards.values():
            close(reward)

    def unreadable(self, problems: Sequence[Problem]) -> list[str | None]:
        """Why each gold answer cannot be compared with, as the first reward that cannot says; None where all can."""
        found = [reward.unreadable(problems) for reward in self.rewards.values() if isinstance(reward, ReadsGolds)]
        return [next(filter(None, column), None) for column in zip([None] * len(problems), *found, strict=True)]

    @property
    def _judge(self) -> str:
        return self.correct if self.correct is not None else next(iter(self.rewards))

    def _sum(self, scores: Mapping[str, Score]) -> Score:
        parts = {name: score.value for name, score in scores.items()}
        parts |= {f"{name}/{part}": value for name, score in scores.items() for part, value in score.parts.items()}
        return Score(
            value=sum(self.weights.get(name, 1.0) * score.value for name, score in scores.items()),
            correct=scores[self._judge].correct,
            parts=parts,
        )
