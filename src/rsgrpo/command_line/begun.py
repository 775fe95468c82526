"""Which run has begun with the settings of a configuration: what `ckpt=auto` finds for each job of a sweep.

Settings are compared, not words: a default that has changed, a file of settings with other contents, other words that
come to the same, and a reference to another key all count as what they come to.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsgrpo import checkpoints, run_folder
from rsgrpo.command_line.same_run import ENGINE, MAY_MOVE, NO_EXPERIMENT, differing, flat, is_at, may_change
from rsgrpo.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A run that has begun already."""

    run: Path
    finished: int | None
    """The iterations after which it was finished, where those are all that are wanted."""
    checkpoint: Path | None
    """The newest whole one, of a run that is not finished."""


@dataclass(slots=True)
class BegunRuns:
    """The runs in some folders, read once however many jobs look for theirs."""

    runs: Sequence[Path]
    """Newest first."""
    say: Callable[[str], None]
    """Is told of damaged folders and checkpoints, which are passed over."""
    _hashes: dict[Path, str | None] = field(default_factory=dict)
    _settings: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def find(self, digest: str, settings: Mapping[str, Any]) -> Begun | None:
        """The run with these settings: one that is finished, or else the newest with a checkpoint to go on from.

        A run whose `config_hash` is the same comes before one that differs only in what a resumed run may set anew, in
        `iterations` for example: that one is then extended.

        Args:
            digest: `config_hash` of the configuration.
            settings: its keys, dotted.
        """
        for is_same in (self._has_hash, self._has_settings):
            begun = [found for run in self.runs if (found := self._begun(run, is_same, digest, settings))]
            finished = [found for found in begun if found.finished is not None]
            if begun:
                return (finished or begun)[0]
        return None

    def _begun(
        self,
        run: Path,
        is_same: Callable[[Path, str, Mapping[str, Any]], bool],
        digest: str,
        settings: Mapping[str, Any],
    ) -> Begun | None:
        try:
            if not is_same(run, digest, settings):
                return None
            finished = run_folder.finished_iterations(run)
            if finished is not None and finished >= settings["iterations"]:
                return Begun(run=run, finished=finished, checkpoint=None)
            checkpoint, damaged = checkpoints.newest_whole(run)
        except UserError as error:
            self._pass_over(run, str(error))
            return None
        for message in damaged:
            self.say(f"ckpt=auto: {message}; passed over")
        return None if checkpoint is None else Begun(run=run, finished=None, checkpoint=checkpoint)

    def _has_hash(self, run: Path, digest: str, settings: Mapping[str, Any]) -> bool:
        if run not in self._hashes:
            self._hashes[run] = run_folder.read_json(run / run_folder.RUN).get("config_hash")
        return self._hashes[run] == digest

    def _has_settings(self, run: Path, digest: str, settings: Mapping[str, Any]) -> bool:
        if run not in self._settings:
            self._settings[run] = flat(run_folder.read_config(run))
        return all(_may_differ(key) for key in differing(self._settings[run], settings))

    def _pass_over(self, run: Path, message: str) -> None:
        if run in self.runs:
            self.say(f"ckpt=auto: {message}; passed over")
            self.runs = [other for other in self.runs if other != run]


def _may_differ(key: str) -> bool:
    """Whether a run that differs in a key may still be the one: another task, engine, model or data makes another."""
    if any(is_at(key, free) for free in NO_EXPERIMENT):
        return True
    return may_change(key) and not any(is_at(key, makes) for makes in (ENGINE, "task")) and not MAY_MOVE.fullmatch(key)


def runs_in(*places: Path) -> Iterator[Path]:
    """The runs in these folders, and in the sweeps below them."""
    for place in places:
        for depth in ("*", "*/*"):
            yield from (file.parent.resolve() for file in place.glob(f"{depth}/{run_folder.RUN}"))
