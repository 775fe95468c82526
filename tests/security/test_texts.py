"""What a model writes is read as an answer and never run as code."""

from pathlib import Path

import pytest

from rsgrpo.rewards.arithmetic import ArithmeticReward
from rsgrpo.rewards.base import begin, close
from rsgrpo.rewards.countdown import CountdownReward
from rsgrpo.rewards.many_answers import ManyAnswersReward
from rsgrpo.rewards.math_verify import MathVerifyReward
from rsgrpo.rewards.path_star import PathStarReward
from rsgrpo.rewards.program import ProgramReward
from rsgrpo.rewards.tree import TreeReward
from rsgrpo.types import Problem
from tests.rewards.texts import group
from tests.security.traps import python

FACTS = {
    "numbers": (1, 1),
    "target": 2,
    "digits": (1, 1),
    "start": 1,
    "branches": ((3, 2),),
    "goal": 24,
    "edges": ((5, 24),),
    "tests": (((1,), (2,)),),
}
PROBLEM = Problem(id="p", text="?", answer="2", facts=FACTS)
KINDS = [
    *(ArithmeticReward, CountdownReward, ManyAnswersReward, MathVerifyReward, PathStarReward, ProgramReward),
    TreeReward,
]


@pytest.mark.parametrize("kind", KINDS)
def test_code_in_a_completion_is_not_run(kind: type, tmp_path: Path) -> None:
    reward = kind()
    codes = python(tmp_path / "victim")
    texts = [form.format(code) for code in codes for form in ("{}", "\\boxed{{{}}}", "\\boxed{{\\text{{{}}}}}")]
    assert not any(score.correct for score in begin(reward, group(PROBLEM, *texts))())
    close(reward)
    assert list(tmp_path.iterdir()) == []
