"""What a change has to pass, here and on a public host, calls targets that the Makefile has."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPT = ROOT / ".ci" / "run"
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def jobs(workflow: Path) -> dict[str, Any]:
    return yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]


def commands(workflow: Path) -> list[str]:
    return [step["run"] for job in jobs(workflow).values() for step in job["steps"] if "run" in step]


def targets(commands: list[str]) -> list[str]:
    """The targets of each `make` of these commands."""
    made = [line.split()[1:] for command in commands for line in command.splitlines() if line.startswith("make ")]
    return [word for words in made for word in words if "=" not in word]


def test_the_workflow_is_found() -> None:
    assert [workflow.name for workflow in WORKFLOWS] == ["ci.yml"]


@pytest.mark.parametrize("commands", [*map(commands, WORKFLOWS), SCRIPT.read_text(encoding="utf-8").splitlines()])
def test_lint_types_and_tests_are_called_in_this_order(commands: list[str]) -> None:
    called = targets(commands)
    assert set(called) <= TARGETS
    assert called[:3] == ["lint", "types", "test"]


def test_every_workflow_runs_on_the_pythons_that_are_supported() -> None:
    tests = jobs(ROOT / ".github" / "workflows" / "ci.yml")["tests"]
    assert tests["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_docs_are_built() -> None:
    assert targets([step.get("run", "") for step in jobs(WORKFLOWS[0])["docs"]["steps"]]) == ["docs"]
