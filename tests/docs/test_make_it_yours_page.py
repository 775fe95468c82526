"""docs/make_it_yours.md: each of its parts is as short as its table says, and trains together with the others."""

import re
import shlex
from pathlib import Path

import pytest

from rsgrpo.data.countdown import Countdown
from tests.processes import ROOT, python
from tests.runs import records

PAGE = (ROOT / "docs" / "make_it_yours.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (my_\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^    python run\.py (.*)$", PAGE, re.MULTILINE)

SMALL = (
    *("iterations=2", "batching.prompts_per_iteration=4", "batching.completions_per_prompt=4", "eval.every=100"),
    *("eval.validation_prompts=4", "eval.validation_completions=4", "eval.test_completions=4", "eval.k=[1,4]"),
)


def words(*names: str) -> list[str]:
    """The words of the page's commands that hold these names."""
    found = [next(command for command in COMMANDS if name in command) for name in names]
    return [word for command in found for word in shlex.split(command)]


def train(folder: Path, *overrides: str) -> tuple[dict[str, float], str]:
    """The last record of an iteration, and what was printed."""
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    given = (f"hydra.run.dir={folder}/run", *SMALL, *overrides)
    done = python(str(ROOT / "run.py"), *given, cwd=folder, variables={"PYTHONPATH": str(folder)})
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = [record for record in records(folder / "run" / "metrics.jsonl") if "train/loss" in record]
    return metrics[-1], done.stdout


@pytest.mark.parametrize(("part", "lines"), re.findall(r"^\| \[(\w+)\].*\| (\d+) \|$", PAGE, re.MULTILINE))
def test_a_part_is_as_short_as_the_table_says(part: str, lines: str) -> None:
    file = {"metric": "my_metrics.py"}.get(part, f"my_{part}.py")
    written = [line for line in FILES[file].splitlines() if line.strip()]
    assert len(written) == int(lines) <= 20


def test_the_parts_train_together(tmp_path: Path) -> None:
    given = words("my_metrics", "my_filter", "my_problems", "my_objective", "my_loss", "my_shaping", "my_callback")
    record, said = train(tmp_path, *given, "filter.most=0.4", "batching.epochs=2")
    assert 0 < record["train/completion_tokens_max"] <= 24
    assert record["train/groups_dropped/too_easy"] + record["train/groups_kept"] == 4
    assert 0.9 < record["train/gate_slope"] <= 1  # 1 at a ratio of 1
    assert 0.25 < record["train/forks"] <= 0.3
    assert "longest correct completion after iteration 2: " in said


@pytest.mark.slow
def test_the_other_parts_train_too(tmp_path: Path) -> None:
    given = words("my_reward", "my_schedule", "my_term", "my_correction", "my_order")
    record, _ = train(tmp_path, *given)
    assert record["train/beta"] == pytest.approx(2 + (8 - 2) / 5)
    assert record["train/reward/length_penalty"] == pytest.approx(0.002 * record["train/completion_tokens_mean"])
    assert record["train/correction_weight"] == pytest.approx(1, abs=1e-3)  # the hf engine samples from the policy
    visited = [visit["prompt"] for visit in records(tmp_path / "run" / "prompts.jsonl")]
    assert visited == [problem.id for problem in Countdown().split("train")[:8]]


@pytest.mark.slow
@pytest.mark.parametrize(("field", "values"), [("positive", (1.0, 0.1)), ("clip_high", (0.5, 0.28))])
def test_a_schedule_drives_the_field_that_it_is_told(tmp_path: Path, field: str, values: tuple[float, float]) -> None:
    train(tmp_path, *words(f"schedule.field={'loss.' if 'clip' in field else ''}{field}"), "filter=none")
    said = [
        record[f"train/{field}"] for record in records(tmp_path / "run" / "metrics.jsonl") if "train/loss" in record
    ]
    assert said == pytest.approx(values)
