"""The reward of the tree: the boxed path is climbed."""

from dataclasses import dataclass
from itertools import pairwise

from rsgrpo.rewards.base import TextReward, wrong
from rsgrpo.types import Completion, Problem, Prompt, Score
from rsgrpo.verification.boxes import last_boxed
from rsgrpo.verification.listed import boxed_numbers, whole_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeReward(TextReward):
    """1 when the last box holds the path from the goal, from child to parent, to the root; else 0.

    `parts` tells the failures apart: `no_box`, `malformed`, `wrong_start`, `no_such_edge`, `not_at_the_root`.
    """

    def judge(self, problem: Problem, text: str) -> Score:
        boxed = last_boxed(text)
        if boxed is None:
            return wrong("no_box")
        path = whole_numbers(boxed)
        if path is None:
            return wrong("malformed")
        edges = problem.facts["edges"]
        if path[0] != problem.facts["goal"]:
            return wrong("wrong_start")
        if not {(child, parent) for parent, child in edges}.issuperset(pairwise(path)):
            return wrong("no_such_edge")
        if path[-1] in {child for _, child in edges}:
            return wrong("not_at_the_root")
        return Score(value=1.0, correct=True)

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        """The path of the last box, a space between its nodes; None where it holds none."""
        path = boxed_numbers(completion.text)
        return None if path is None else " ".join(map(str, path))
