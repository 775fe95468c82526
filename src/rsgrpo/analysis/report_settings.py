"""The table of the settings in which the arms of a report differ."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rsgrpo.comparison.arms import POLICY

Record = Mapping[str, Any]


class SettingsTable(NamedTuple):
    """Keys as rows and arms as columns, or the other way round, whichever is narrower."""

    keys_are_rows: bool
    header: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    """The name of each, and its cells."""


def settings_that_differ(arms: Sequence[Record]) -> SettingsTable | None:
    """What tells the arms apart; None where nothing does.

    A policy that no run here has trained, the base for example, has a path and no settings of training: it makes none
    of those differ, and its cells are empty.

    >>> base, a, b = {"model.path": "base"}, {"beta": 2, "lr": 1}, {"beta": 4, "lr": 1}
    >>> table = settings_that_differ([{"arm": name, "settings": s} for name, s in zip("0ab", (base, a, b))])
    >>> table.header, table.rows
    (['model.path', 'beta'], [('0', ['base', '']), ('a', ['null', '2']), ('b', ['null', '4'])])
    """
    keys = [key for key in dict.fromkeys(key for arm in arms for key in arm["settings"]) if _differs(key, arms)]
    if not keys:
        return None
    cells = {key: [_cell(key, arm) for arm in arms] for key in keys}
    names = [arm["arm"] for arm in arms]
    by_arm = [(name, [cells[key][i] for key in keys]) for i, name in enumerate(names)]
    by_key = [(key, cells[key]) for key in keys]
    keys_are_rows = _width(names, by_key) <= _width(keys, by_arm)
    return SettingsTable(keys_are_rows, names if keys_are_rows else keys, by_key if keys_are_rows else by_arm)


def _differs(key: str, arms: Sequence[Record]) -> bool:
    return len({repr(arm["settings"].get(key)) for arm in arms if _has(key, arm)}) > 1


def _has(key: str, arm: Record) -> bool:
    """Whether an arm has this setting; a null of a trained arm is one."""
    return arm["settings"].get(POLICY) is None or arm["settings"].get(key) is not None


def _cell(key: str, arm: Record) -> str:
    value = arm["settings"].get(key)
    return "" if not _has(key, arm) else "null" if value is None else str(value)


def _width(header: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> int:
    """Characters."""
    columns = [[name, *(cells[i] for _, cells in rows)] for i, name in enumerate(header)]
    return max(len(name) for name, _ in rows) + sum(max(map(len, column)) for column in columns)
