"""Tree: which nodes lie between a leaf and the root? Known steps, composed deeper than any demonstration.

A tree has three nodes in every layer. A prompt lists its edges, from parent to child, in random order, and a node of
the deepest layer: `5 13 ; 13 24 ; 5 18 ; ... => 24 =`. A demonstration climbs to the root, `\\boxed{ 24 13 5 }`. Each
step looks up the parent of the node before it; what tempts is the largest label of the next layer, wherever the edge
leads. The later a step, the more demonstrations get it wrong, and the fifth is always wrong.

The nodes of layer i are labelled 10 i to 10 i + 9. Those on the way are never the largest of their layer. The level
says how many steps have to withstand temptation: at level 0 one, at level 4 five.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import ClassVar

from rsgrpo.data.generated import NUM_PROBLEMS, SPLIT_SIZES, LevelledSource, boxed, cut
from rsgrpo.fields import check_fields, check_numbers
from rsgrpo.types import Problem

WIDTH = 3
"""Nodes in each layer below the root."""

DEPTHS = (2, 3, 4, 5, 6)
"""Of each level: layers below the root."""

ROOTS = range(1, 10)

_SPLIT_SEED = 20255
"""Fixes the problems and which is in which split: they are part of the task, not of a run."""


def climb(parents: Mapping[int, int], node: int) -> list[int]:
    """The nodes from this one to the root.

    >>> climb({24: 13, 13: 5}, 24)
    [24, 13, 5]
    """
    path = [node]
    while path[-1] in parents:
        path.append(parents[path[-1]])
    return path


@cache
def problems() -> tuple[Problem, ...]:
    """The problems, in a fixed order, the same number of each level; `facts` hold the level, the goal and the edges."""
    rng, found, known = random.Random(_SPLIT_SEED), list[Problem](), set[tuple[object, ...]]()
    while len(found) < NUM_PROBLEMS:
        level = len(found) % len(DEPTHS)
        layers = [[rng.choice(ROOTS)]]
        layers += [[10 * depth + n for n in rng.sample(range(10), WIDTH)] for depth in range(1, DEPTHS[level] + 1)]
        parents = {node: rng.choice(above) for above, layer in pairwise(layers) for node in layer}
        goal = rng.choice(layers[-1])
        path = climb(parents, goal)
        edges = sorted((parent, child) for child, parent in parents.items())
        content = (goal, *edges)
        if content in known or any(node == max(layer) for node, layer in zip(path[1:-1], layers[-2:0:-1], strict=True)):
            continue
        known.add(content)
        listed = " ; ".join(f"{parent} {child}" for parent, child in rng.sample(edges, len(edges)))
        found.append(
            Problem(
                id=f"tree/{len(found)}",
                text=f"{listed} => {goal} =",
                answer=" ".join(map(str, path)),
                facts={"level": level, "goal": goal, "edges": tuple(edges)},
            )
        )
    return tuple(found)


@cache
def splits() -> dict[str, tuple[Problem, ...]]:
    """The four disjoint splits by name: `train`, `validation`, `test` and `pretrain`."""
    return cut(problems(), SPLIT_SIZES, seed=_SPLIT_SEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree(LevelledSource):
    """The data source behind `data=tree`."""

    num_levels: ClassVar[int] = len(DEPTHS)
    levels: Sequence[int] = (0, 1, 2, 3, 4)

    def everything(self) -> Mapping[str, Sequence[Problem]]:
        return splits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """The pretraining corpus: climbs of which each step slips, ever more often, to the largest label of its layer."""

    slip_rates: Sequence[float] = (0.3, 0.5, 0.8, 0.95, 1.0)
    """Share of slips at the first to the fifth step; the step to the root is always right."""
    max_tokens: int = 10
    """Room for a completion of the tiny policy, the end token included."""

    def __post_init__(self) -> None:
        check_numbers("slip_rates", self.slip_rates, len(DEPTHS), "[0, 1]", example=[0.3, 0.5, 0.8, 0.95, 1])
        check_fields(self, max_tokens=(1, math.inf))

    def problems(self) -> Sequence[Problem]:
        """The pretraining split."""
        return splits()["pretrain"]

    def draw(self, problem: Problem, rng: random.Random) -> str:
        """One demonstration for `problem`: its text, without the end-of-sequence token."""
        parents, path = {child: parent for parent, child in problem.facts["edges"]}, [problem.facts["goal"]]
        for step in range(problem.facts["level"] + 1):
            right = parents[path[-1]]
            others = [node for node in parents if node // 10 == path[-1] // 10 - 1 and node != right]
            path.append(max(others) if rng.random() < self.slip_rates[step] else right)
        return boxed([*path, parents[path[-1]]])
