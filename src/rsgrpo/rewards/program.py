"""The reward of the programs: the boxed rules are run on the tests."""

from dataclasses import dataclass

from rsgrpo.fields import check_fields
from rsgrpo.rewards.base import TextReward, wrong
from rsgrpo.types import Completion, Problem, Prompt, Score
from rsgrpo.verification.boxes import last_boxed
from rsgrpo.verification.rewriting import passed, program_in, written


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramReward(TextReward):
    """1 when the program of the last box passes all tests, else 0; with `graded`, the share that it passes.

    `parts` tells the failures apart: `no_box`, `malformed`, `failed_tests`. What is correct is the same in both.
    """

    graded: bool = False

    def __post_init__(self) -> None:
        check_fields(self)

    def judge(self, problem: Problem, text: str) -> Score:
        boxed = last_boxed(text)
        if boxed is None:
            return wrong("no_box")
        program = program_in(boxed)
        if program is None:
            return wrong("malformed")
        tests = problem.facts["tests"]
        share = passed(program, tests) / len(tests)
        if share < 1:
            return wrong("failed_tests", share if self.graded else 0.0)
        return Score(value=1.0, correct=True)

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        """The program of the last box, written one way; None where it holds none."""
        boxed = last_boxed(completion.text)
        program = None if boxed is None else program_in(boxed)
        return None if program is None else written(program)
