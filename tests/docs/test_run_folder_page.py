"""docs/run_folder.md: its table of metrics is what a run logs."""

import json
import re
from pathlib import Path

import pytest

from tests.runs import ROOT, SETTINGS, RunPy, records

PAGE = (ROOT / "docs" / "run_folder.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in PAGE.partition("\n## Metrics\n")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| `")
]
NAMES = {name: row for row in ROWS for name in re.findall(r"`([^`]+/[^`]+)`", row[0])}

ELSEWHERE = {"train/completions"}
"""In TensorBoard only."""

pytestmark = pytest.mark.slow


def pattern(name: str) -> str:
    """A name of the table as a regular expression: `<part>` is any word, k a number."""
    return re.sub(r"<\w+>", r"[^/]+", re.escape(name)).replace("pass@k", r"pass@\d+")


def words(row: str) -> set[str]:
    """The single words that the explanation of a metric quotes."""
    return set(re.findall(r"`(\w+)`", NAMES[row][2]))


@pytest.fixture(scope="module")
def logged(run_py: RunPy, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every metric of two small runs on several test sets: one with beta by prompt, one with k and all that is off."""
    folder = tmp_path_factory.mktemp("metrics")
    of_beta = ("schedule=adaptive", "schedule.hardest=10", "shaping=entropy_advantage")
    adaptive = run_py(folder / "beta", *of_beta, settings=settings(folder))
    terms = ("+term/kl=k3", "+term/entropy=target", "correction=token_truncate", "shaping=clip_cov")
    of_k = ("objective=maxpo", "objective.k=2", "iterations=1", "loss.dual_clip=3", "batching.max_refills=1", *terms)
    best_of = run_py(folder / "k", *of_k, settings=tuple(s for s in settings(folder) if "beta" not in s))
    return {name for run in (adaptive, best_of) for record in records(run / "metrics.jsonl") for name in record}


def settings(folder: Path) -> tuple[str, ...]:
    """A small run on files of several sets, with a reward that leaves nothing out."""
    files = {name: folder / f"{name}.jsonl" for name in ("train", "one", "other")}
    for place, file in enumerate(files.values()):
        lines = [{"question": f"{i + 100 * place} + 1 =", "answer": f"#### {i + 1 + 100 * place}"} for i in range(32)]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return (
        *(s for s in SETTINGS if not s.startswith(("reward", "data."))),
        "data=gsm8k",
        f"data.path={files['train']}",
        f"data.tests.gsm8k_test.path={files['one']}",
        "+dataset@data.tests.other=gsm8k_test",
        "data.tests.other.name=other",
        f"data.tests.other.path={files['other']}",
        "data.validation=4",
        "data.suffix=''",
        "reward=custom",
        "reward._target_=tests.docs.mixed_reward.mixed",
        "callbacks.checkpoint.every=6",
    )


def test_every_metric_that_is_logged_is_in_the_table(logged: set[str]) -> None:
    patterns = [pattern(name) for name in NAMES]
    assert [name for name in sorted(logged - {"iteration"}) if not any(re.fullmatch(p, name) for p in patterns)] == []


def test_every_metric_of_the_table_is_logged(logged: set[str]) -> None:
    assert len(NAMES) > 25
    not_here = ELSEWHERE | {name for name, row in NAMES.items() if "not on a CPU" in row[2]}
    assert not_here - ELSEWHERE == {"memory/<stage>_gib"}
    assert [n for n in NAMES if n not in not_here and not any(re.fullmatch(pattern(n), name) for name in logged)] == []


def test_what_is_in_tensorboard_only_says_so() -> None:
    assert {name for name, row in NAMES.items() if "TensorBoard only" in row[2]} == ELSEWHERE


@pytest.mark.parametrize("name", ["time/<stage>_s", "train/groups_dropped/<reason>"])
def test_the_words_that_a_metric_is_made_of_are_listed(logged: set[str], name: str) -> None:
    made = re.compile(pattern(name).replace("[^/]+", "(.+)"))
    found = {match[1] for metric in logged - NAMES.keys() if (match := made.fullmatch(metric))}
    assert found - {"step"} == words(name)
