"""The benchmark of verdicts: its counts, a grader that hangs, dies or is not installed."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
CASES = Path(__file__).parents[1] / "verification" / "cases"

ECHO = """
import json, sys, time
print("null", flush=True)
for line in sys.stdin:
    response = json.loads(line)["response"]
    if "hang" in response: time.sleep(3600)
    if "die" in response: sys.exit(1)
    print("true" if "right" in response else "false", flush=True)
"""


@pytest.fixture
def graders(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    import graders  # pyright: ignore[reportMissingImports]

    return graders


@pytest.fixture
def verdicts(graders: Any) -> Any:
    import verdicts  # pyright: ignore[reportMissingImports]

    return verdicts


def test_a_grader_that_hangs_or_dies_is_replaced_and_the_next_verdict_stands(graders: Any) -> None:
    grader = graders.Grader("echo", deadline_s=5, command=[sys.executable, "-c", ECHO])
    said = [grader.right("1", response) for response in ("right", "hang", "right", "die", "wrong", "right")]
    grader.end()
    assert said == [True, None, True, None, False, True]


def test_a_grader_that_is_not_installed_says_what_to_install(graders: Any, tmp_path: Path) -> None:
    script = FOLDER / "graders.py"
    without = "import sys, runpy; sys.modules['math_verify'] = None; sys.argv = ['', 'math-verify']; "
    command = [sys.executable, "-c", without + f"runpy.run_path({str(script)!r}, run_name='__main__')"]
    grader = graders.Grader("math-verify", deadline_s=10, command=command)
    grader.end()
    assert grader.missing.startswith("math-verify is left out")
    assert grader.missing.endswith("pip install math-verify==0.9.0")


def test_ours_and_math_verify_answer_through_their_processes(verdicts: Any, tmp_path: Path) -> None:
    rows = [
        {"answer": "2ab", "response": r"\boxed{2}", "expected": 0.0, "kind": "letters"},
        {"answer": r"\frac{1}{2}", "response": r"so \boxed{0.5}", "expected": 1.0, "kind": "decimal"},
        {"gold": "x+1", "answer": "1+x", "expected": True, "why": "order of a sum"},
        {"gold": "1", "response": r"\boxed{2}", "expected": False, "why": "another", "convention": True},
    ]
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cases = verdicts.labelled(path)
    assert [case.kind for case in cases] == ["letters", "decimal", "some", "some"]
    assert [case.file for case in cases][2:] == ["tests/verification/cases", "tests/verification/cases, conventions"]
    found = verdicts.judge(cases, ["ours", "math-verify"], 60)
    assert found["ours"] == [False, True, True, False]
    assert found["math-verify"] == [True, True, True, False]
    line = verdicts.row("some", cases, found).split()
    assert line == ["some", "2", "2", "0", "/", "0", "1", "/", "0"]


def test_every_file_of_cases_can_be_read(verdicts: Any) -> None:
    assert all(verdicts.labelled(path) for path in CASES.glob("*.jsonl"))
