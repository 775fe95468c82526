"""What an evaluation logs beside pass@k."""

import pytest

from callbacks.evaluation import PassAtK
from rsgrpo.evaluation.evaluate import ProblemResult


class Logs:
    """Stands for the module."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def log_metrics(self, metrics: dict[str, float]) -> None:
        self.metrics |= metrics


def result(**parts: float) -> ProblemResult:
    return ProblemResult(problem_id="p", n=4, correct=0, mean_tokens=1.0, truncated=0, parts=parts)


def test_parts_of_the_reward_are_logged_as_shares(capfd: pytest.CaptureFixture[str]) -> None:
    callback, logs = PassAtK(k=[1]), Logs()
    results = [result(timeout=2.0), result(**{"mine/error": 1.0, "no_box": 4.0})]
    callback._write_parts(logs, "test", results)  # type: ignore[arg-type]
    assert logs.metrics == {
        "eval/test/reward/mine/error": 1 / 8,
        "eval/test/reward/no_box": 4 / 8,
        "eval/test/reward/timeout": 2 / 8,
    }
    assert "of 8 completions" in (said := capfd.readouterr().err)
    assert "mine/error on 1, timeout on 2" in said
    callback._write_parts(logs, "test", results)  # type: ignore[arg-type]
    assert capfd.readouterr().err == ""


def test_wrong_answers_are_no_lost_ones(capfd: pytest.CaptureFixture[str]) -> None:
    PassAtK(k=[1])._write_parts(Logs(), "validation", [result(wrong=4.0), result()])  # type: ignore[arg-type]
    assert capfd.readouterr().err == ""
