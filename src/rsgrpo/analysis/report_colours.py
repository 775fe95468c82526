"""One colour for each arm, the same in every figure of a report, legible on white and on black."""

from collections.abc import Mapping, Sequence
from typing import Any

from rsgrpo.comparison.arms import policy_of

GREY = "#808080"
"""Of the base."""

COLOURS = ("#1f77c4", "#d9601a", "#159a6c", "#c05a9e", "#b8860b", "#7a68c9", "#2aa5b8", "#c0392b")

DASHES = ("", "6 3", "2 2")
"""One for each round through the colours."""


def arms_of(content: Mapping[str, Any], figure: str = "training") -> list[str]:
    """The arms of a figure in the order of the report's table, the base first; of temperatures, the policies."""
    drawn_as = {"curves": "curves", "answers": "curves", "temperatures": "temperatures"}.get(figure)
    if drawn_as is not None:
        return [line["arm"] for line in content[drawn_as][0]["lines"]]
    names = [row["arm"] for row in content["comparison"]["rows"]]
    names += [arm["arm"] for arm in content["comparison"]["arms"]]
    return [*dict.fromkeys(names)]


def colours(arms: Sequence[str], base: str) -> dict[str, tuple[str, str]]:
    """(colour, dashes) of each arm."""
    trained = [arm for arm in arms if policy_of(arm) != base]
    found = {arm: (COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]) for i, arm in enumerate(trained)}
    return {arm: found.get(arm, (GREY, "5 3")) for arm in dict.fromkeys([base, *arms])}
