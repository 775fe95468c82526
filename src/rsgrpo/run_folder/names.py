"""Names of the files and folders of a run."""

import re
from pathlib import Path

FORMAT = 2
"""Version of the layout and of the records, written to `run.json`."""

RUN = "run.json"
CONFIG = "config.yaml"
OVERRIDES = "overrides.yaml"
SOURCE_DIFF = "source.diff"
OWN_CODE = "own_code"
METRICS = "metrics.jsonl"
PROMPTS = "prompts.jsonl"
ROLLOUTS = "rollouts.jsonl"
VALIDATION = "eval/validation.jsonl"
TEST = "eval/test.jsonl"
SAMPLES = "eval/{split}.samples.jsonl.gz"
CHECKPOINTS = "checkpoints"
STATE = "state.ckpt"
MANIFEST = "manifest.json"
BEST = "best.json"
POLICY = "policy"
POLICIES = "policies"
DONE = "done.json"
AUDIT = "audit.json"
BANDIT = "bandit.json"
LEMMAS = "lemmas.json"
PLAN = "plan.json"
DOCTOR = "doctor.json"
SCORES = "scores.jsonl"
COMPARE = "compare.json"
SWEEP = "sweep.json"
OUTPUT = "output.txt"
REPORT = "report.json"
REPORT_PAGE = "report.html"
FIGURES = "figures"
TABLES = "tables"

RECORDS = (METRICS, PROMPTS, ROLLOUTS, VALIDATION, TEST)
"""The JSON Lines files."""

LOGS = ("tensorboard", "csv", "wandb")
"""The folders of the loggers."""

EVALUATIONS = "eval"

FOLDERS = (CHECKPOINTS, POLICY, POLICIES, EVALUATIONS, OWN_CODE, *LOGS)
"""The folders in a run folder."""

UNFINISHED = ".unfinished"
"""Ends the name of what is being written or removed: never read, and dropped by `rewind`."""

REPLACED = ".replaced"
"""Ends the name of a checkpoint while another takes its place."""

_CHECKPOINT = re.compile(rf"iteration_(\d+)({re.escape(REPLACED)})?")


def checkpoint(run: Path, iteration: int) -> Path:
    """The folder of the checkpoint written after `iteration`."""
    return run / CHECKPOINTS / f"iteration_{iteration:06d}"


def exported_policy(run: Path, iteration: int) -> Path:
    """The Hugging Face folder of the policy after `iteration`."""
    return run / POLICIES / f"iteration_{iteration:06d}"


def state_of(checkpoint: Path) -> Path:
    """What Lightning resumes from: a file, or a folder of shards."""
    return checkpoint / STATE


def is_sharded(checkpoint: Path) -> bool:
    """Whether the state is a folder of shards, which only a sharding strategy reads, on any number of ranks."""
    return state_of(checkpoint).is_dir()


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run that were finished, oldest first; `damage` tells whether they are still whole.

    One that a kill caught between stepping aside and being replaced stands for its iteration.
    """
    found: dict[int, Path] = {}
    for path in sorted((run / CHECKPOINTS).glob("iteration_*")):
        if is_checkpoint(path) and path.is_dir():
            found.setdefault(iteration_of(path), path)  # the plain name sorts before its .replaced
    return [found[iteration] for iteration in sorted(found)]


def iteration_of(path: Path) -> int:
    """Iterations that were finished when the checkpoint at `path` was written."""
    match = _CHECKPOINT.fullmatch(path.name)
    assert match is not None, path
    return int(match[1])


def is_checkpoint(path: Path) -> bool:
    """Whether a path is named like a checkpoint, finished or stepping aside."""
    return _CHECKPOINT.fullmatch(path.name) is not None
