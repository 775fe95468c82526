"""The reward of path star: the boxed path is walked."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rsgrpo.rewards.base import TextReward, wrong
from rsgrpo.types import Completion, Problem, Prompt, Score
from rsgrpo.verification.boxes import last_boxed
from rsgrpo.verification.listed import boxed_numbers, whole_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStarReward(TextReward):
    """1 when the last box holds a path from the start along the listed edges to the goal; else 0.

    `parts` tells the failures apart: `no_box`, `malformed`, `wrong_start`, `no_such_edge`, `wrong_goal`.
    """

    def judge(self, problem: Problem, text: str) -> Score:
        boxed = last_boxed(text)
        if boxed is None:
            return wrong("no_box")
        path = whole_numbers(boxed)
        if path is None:
            return wrong("malformed")
        if path[0] != problem.facts["start"]:
            return wrong("wrong_start")
        if not edges_of(problem.facts).issuperset(pairwise(path)):
            return wrong("no_such_edge")
        if path[-1] != int(problem.answer.split()[-1]):
            return wrong("wrong_goal")
        return Score(value=1.0, correct=True)

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        """The path of the last box, a space between its nodes; None where it holds none."""
        path = boxed_numbers(completion.text)
        return None if path is None else " ".join(map(str, path))


def edges_of(facts: Mapping[str, Any]) -> set[tuple[int, int]]:
    """The edges of the graph, each from its first node to its second."""
    return {edge for branch in facts["branches"] for edge in pairwise((facts["start"], *branch))}
