"""docs/objectives.md: every objective and schedule has its place, and its example does what the page says."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from rsgrpo.audit.report import several
from tests.objectives.cases import composed
from tests.processes import ROOT, python
from tests.runs import SETTINGS

PAGE = (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")
OBJECTIVES = sorted(file.stem for file in (ROOT / "conf" / "objective").glob("*.yaml") if file.stem != "custom")
SCHEDULES = sorted(file.stem for file in (ROOT / "conf" / "schedule").glob("*.yaml") if file.stem != "custom")
OWN = PAGE[PAGE.index("## Your own objective") :]


def own_class() -> str:
    """The file that the page shows."""
    found = re.search(r"```python\n(# my_objective\.py\n.*?)```", OWN, re.DOTALL)
    assert found
    return found[1]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command of the page, in an empty folder, with the user's file on PYTHONPATH."""
    (folder / "my_objective.py").write_text(own_class(), encoding="utf-8")
    return python(str(ROOT / "run.py"), *words, cwd=folder, variables={"PYTHONPATH": str(folder)})


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_has_a_section_with_its_knobs(objective: str) -> None:
    section = re.search(rf"^### {objective}\n(.*?)(?=^##)", PAGE, re.DOTALL | re.MULTILINE)
    assert section
    text = (ROOT / "conf" / "objective" / f"{objective}.yaml").read_text(encoding="utf-8")
    if "defaults:" not in text:  # a yaml that sets values of another objective has its knobs there
        for knob in re.findall(r"^(\w+):", text, re.MULTILINE):
            assert knob == "_target_" or knob in section[1], knob


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_has_a_row(schedule: str) -> None:
    assert f"| `{schedule}` |" in PAGE


def test_what_is_said_of_where_mass_goes_is_what_the_audit_finds() -> None:
    text = " ".join(PAGE[PAGE.index("### Where the mass goes") :].split("## What the weights")[0].split())
    of = {name: several(composed(name), 16) for name in ("grpo", "rs_grpo", "pkpo", *LOOK_AT_MORE)}
    of = {name: found for name, found in of.items() if found is not None}
    flow, spread = of["grpo"]["flow"], of["grpo"]["spread"]
    assert f"gets {short(flow[0])} of what right answers gain and the rarest {short(flow[2])}" in text
    assert f"their entropy falls by {short(-spread)} nats" in text
    for name in LOOK_AT_MORE:
        credit = of[name]["credit"][2] / of[name]["credit"][0]
        assert re.search(rf"`{name}` (gives the rarest )?{credit:.2f} .*?{short(-of[name]['spread'])}", text), name
    for name in ("grpo", "rs_grpo", "pkpo"):
        share = short(of[name]["noise_among_right"])
        assert re.search(rf"{share} (of the variance )?for `{name}`", text), name


LOOK_AT_MORE = ("uniqueness", "darling", "ucpo", "unlikeliness")


def short(number: float) -> str:
    return f"{number:.2f}".removeprefix("0")


def test_every_figure_that_is_shown_exists() -> None:
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", PAGE)
    assert len(shown) == 7
    for figure in shown:
        assert (ROOT / "docs" / figure).is_file()


def test_the_example_has_at_most_a_dozen_lines_of_code() -> None:
    code = [line for line in own_class().splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) <= 12


@pytest.mark.parametrize("task", ["audit", pytest.param("train", marks=pytest.mark.slow)])
def test_the_example_is_audited_and_trained_as_the_page_says(task: str, tmp_path: Path, random_policy: Path) -> None:
    commands = [shlex.split(line)[2:] for line in re.findall(r"^    (python run\.py .*)$", OWN, re.MULTILINE)]
    (words,) = (words for words in commands if ("task=audit" in words) == (task == "audit"))
    small = [] if task == "audit" else [f"model.path={random_policy}", *(s for s in SETTINGS if "beta" not in s)]
    assert "+objective.tau=0.5" in words
    if task == "train":
        small = ["iterations=2" if word.startswith("iterations=") else word for word in small]
        small = [word for word in small if not word.startswith("reward")]  # that reward lies in the repository
    finished = run(tmp_path, *words, *small, f"hydra.run.dir={tmp_path / 'run'}")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    if task == "audit":
        assert "MedianBaseline" in finished.stdout
        assert (tmp_path / "run" / "figures" / "weight.png").is_file()
    else:
        assert (tmp_path / "run" / "policy" / "model.safetensors").is_file()
