"""What the policy that a run starts from was measured at before, by a run that drew the very same samples.

The runs of a sweep that share base and seed sample it once. Everything that could change a sample or its verdict is in
the name of the file, which lies in `eval.cache_dir`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.command_line.same_run import flat, is_at
from rsgrpo.command_line.trust import OURS, targets
from rsgrpo.distributed import ranks
from rsgrpo.distributed.terminal import say
from rsgrpo.errors import UserError
from rsgrpo.evaluation.evaluate import ProblemResult
from rsgrpo.run_folder.provenance import PACKAGE, machine, versions

SAMPLED_BY = ("seed", "model", "data", "reward", "rollout", "trainer", "eval")
"""Sections that samples of the base and their verdicts follow from."""

NOT_SAMPLED_BY = (
    *("model.path", "model.cache_dir", "data.cache_dir", "eval.cache_dir", "rollout.cache_dir"),
    *("eval.every", "eval.test_every", "eval.curve_completions", "eval.curve_completions_of", "eval.k"),
)
"""Keys of theirs that change none: weights and problems are known by their hashes."""

SEES = ("callbacks", *SAMPLED_BY)
"""Sections in which a class of the user's own may see samples, or decide on them, in ways that no hash tells."""

NO_VERDICT = ("timeout", "error")
"""Last words of the parts of a score that say that a completion was never judged."""

Results = dict[str, list[ProblemResult]]
"""By split."""


def file_of_base(run: Path, cfg: DictConfig) -> Path | None:
    """Where the results of this run's base are kept; None where they are not, or code of the user's own takes part.

    The run folder has to be described (`run.json`).
    """
    if cfg.eval.get("cache_dir") is None:
        return None
    resolved = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    named = [target for section in SEES for _, target in targets({section: resolved.get(section)})]
    if any(target.partition(".")[0] not in (OURS, "lightning") for target in named):
        return None
    described = run_folder.read_json(run / run_folder.RUN)
    settings = flat({name: resolved.get(name) for name in SAMPLED_BY})
    facts = {
        "settings": {key: v for key, v in settings.items() if not any(is_at(key, free) for free in NOT_SAMPLED_BY)},
        "weights": described["base"],
        "problems": {split: described["data"][split] for split in ("validation", "test")},
        "ranks": ranks.count(),
        "machine": machine(),
        "versions": versions(),
        "code": _hash_of_package(),
    }
    name = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()
    return Path(cfg.eval.cache_dir).expanduser() / f"{name}.json"


def read_base(file: Path, splits: Sequence[str]) -> Results | None:
    """The results of each split; None where there are none, or where the file is damaged, which the user is told.

    Rank 0 alone reads: an exception here would leave the others waiting for it.
    """
    try:
        if not file.exists():
            return None
        content = run_folder.read_json(file)
        return {split: [ProblemResult(**result) for result in content[split]] for split in splits}
    except (UserError, KeyError, TypeError, AttributeError, OSError):
        say(f"{file} is damaged or cannot be read; the base is measured anew")
        return None


def write_base(file: Path, run: Path, splits: Sequence[str]) -> None:
    """Keep what a run has just measured, unless completions got no verdict: that may have been one slow moment.

    What is not kept is said. Rank 0 alone writes, so a disk that refuses ends no run.
    """
    files = {"validation": run_folder.VALIDATION, "test": run_folder.TEST}
    content = {}
    for split in splits:
        records = [dict(record) for record in run_folder.read(run / files[split]) if record.pop("iteration") == 0]
        content[split] = [asdict(ProblemResult(**record)) for record in records]
    if lost := _without_verdict(content):
        counts = " and ".join(f"{count:g} {why}" for why, count in lost.items())
        say(f"test: base policy, not kept for other runs: completions without a verdict ({counts})")
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        run_folder.write_json(file, content, indent=None)
    except (OSError, UserError) as error:
        refused = error.__cause__ if isinstance(error, UserError) else error
        say(f"test: base policy, not kept for other runs: {file} cannot be written ({refused})")


def _without_verdict(content: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    """How many completions have each part of a score that stands for a verdict that never came, alone or in a sum.

    >>> _without_verdict({"test": [{"parts": {"wrong": 3.0, "math/timeout": 1.0}}, {"parts": {"math/timeout": 1.0}}]})
    {'timeout': 2.0}
    """
    found: dict[str, float] = {}
    for result in (result for results in content.values() for result in results):
        for part, count in result["parts"].items():
            if count and (why := part.rpartition("/")[2]) in NO_VERDICT:
                found[why] = found.get(why, 0.0) + count
    return found


def _hash_of_package() -> str:
    """Of the code that runs: a change of any of it measures anew."""
    content = hashlib.blake2b(digest_size=16)
    for file in sorted(PACKAGE.rglob("*.py")):
        content.update(file.relative_to(PACKAGE).as_posix().encode() + file.read_bytes())
    return content.hexdigest()
