"""Evaluating with an engine that says what it is told to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jaxtyping
import pytest
import torch

from rsgrpo.errors import FieldError
from rsgrpo.evaluation.evaluate import EvaluationPlan, ProblemResult, evaluate
from rsgrpo.rewards.base import Reward, begin
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.types import Completion, Group, Problem, Prompt, Sampling, Score, ScoredGroup

SAMPLING = Sampling(max_new_tokens=8)


@dataclass
class ScriptedEngine:
    """Answers each prompt with the texts written for it, one token a letter; the last prompt comes first."""

    script: dict[str, list[str]]
    asked: list[tuple[Sampling, int, list[int]]] = field(default_factory=list)

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, num_completions: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Group]]:
        self.asked.append((sampling, num_completions, list(seeds)))
        for index in reversed(range(len(prompts))):
            texts = self.script[prompts[index].id][:num_completions]
            yield index, Group(prompt=prompts[index], completions=tuple(completion(text) for text in texts))

    def load_policy(self, weights, *, version: int) -> None: ...

    parity = None

    def make_room(self) -> None: ...

    def close(self) -> None: ...


class SaysTheAnswer:
    """Correct when the text is the gold answer; half a point for an answer in the wrong case."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        problem, text = prompt.problem, completion.text
        return Score(
            value=1.0 if text == problem.answer else 0.5 * (text.lower() == problem.answer),
            correct=text == problem.answer,
        )


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No runtime type checks, as in a real run: the class itself has to refuse a value of the wrong kind."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def completion(text: str) -> Completion:
    """A completion that ran out of room when its text ends in an ellipsis."""
    size = len(text)
    return Completion(
        token_ids=tuple(map(ord, text)),
        logprobs=torch.zeros(size),
        text=text,
        finished=not text.endswith("…"),
        policy_version=0,
    )


def prompt(name: str, answer: str) -> Prompt:
    return Prompt(problem=Problem(id=name, text=name, answer=answer), token_ids=(1,))


def test_the_scripted_parts_are_what_evaluation_asks_for():
    assert isinstance(ScriptedEngine({}), RolloutEngine)
    assert isinstance(SaysTheAnswer(), Reward)


def test_results_count_each_problem_in_the_order_of_the_prompts():
    engine = ScriptedEngine({"x": ["yes", "no", "yes", "ye…"], "y": ["a", "A", "bbbbbb…", "cc…"], "z": ["1"] * 4})
    prompts = [prompt("x", "yes"), prompt("y", "a"), prompt("z", "2")]
    got = evaluate(
        engine, SaysTheAnswer(), prompts, SAMPLING, num_completions=4, seed_of=lambda place: ord(prompts[place].id)
    )
    # "A" has half a point and is not correct.
    assert got == [
        ProblemResult(problem_id="x", n=4, correct=2, mean_tokens=11 / 4, truncated=1),  # 3 + 2 + 3 + 3
        ProblemResult(problem_id="y", n=4, correct=1, mean_tokens=12 / 4, truncated=2),  # 1 + 1 + 7 + 3
        ProblemResult(problem_id="z", n=4, correct=0, mean_tokens=1.0, truncated=0),
    ]


def test_the_engine_is_asked_once_with_the_seed_of_every_prompt():
    engine = ScriptedEngine({"x": ["yes"] * 4, "y": ["a"] * 4})
    prompts = [prompt("y", "a"), prompt("x", "yes")]
    evaluate(
        engine, SaysTheAnswer(), prompts, SAMPLING, num_completions=2, seed_of=lambda place: ord(prompts[place].id)
    )
    assert engine.asked == [(SAMPLING, 2, [ord("y"), ord("x")])]


def test_the_same_problem_may_be_asked_twice():
    engine = ScriptedEngine({"x": ["yes", "no"]})
    got = evaluate(engine, SaysTheAnswer(), [prompt("x", "yes")] * 2, SAMPLING, num_completions=2, seed_of=lambda p: 0)
    assert [result.correct for result in got] == [1, 1]


def test_no_prompts_have_no_results():
    assert evaluate(ScriptedEngine({}), SaysTheAnswer(), [], SAMPLING, num_completions=2, seed_of=lambda p: 0) == []


def test_a_group_is_scored_completion_by_completion():
    group = Group(prompt=prompt("y", "a"), completions=(completion("A"), completion("a"), completion("b")))
    scored = ScoredGroup(group=group, scores=begin(SaysTheAnswer(), group)())
    assert scored.group is group
    assert scored.outcome.rewards == (0.5, 1.0, 0.0)
    assert scored.outcome.num_correct == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"k": [1, 65]}, "k"),  # validation draws 32, a test 64
        ({"k": [1, 33], "test_completions": 16}, "k"),
        ({"k": [4], "completions": 2}, "completions"),
        ({"test_every": 0}, "test_every"),
        ({"curve_completions": 0}, "curve_completions"),
        ({"curve_completions_of": {"math500": 0}}, "curve_completions_of"),
        ({"k": [0]}, "k"),
        ({"k": []}, "k"),
        ({"k": [1.5]}, "k"),
        ({"every": 0}, "every"),
        ({"validation_prompts": 0}, "validation_prompts"),
        ({"validation_completions": 0}, "validation_completions"),
        ({"test_completions": 2.5}, "test_completions"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_with_its_field(unchecked, change: dict[str, Any], field: str):
    with pytest.raises(FieldError) as refused:
        EvaluationPlan(sampling=SAMPLING, **change)
    assert refused.value.name == field


def test_k_as_large_as_the_fewest_completions_is_fine():
    plan = EvaluationPlan(sampling=SAMPLING, k=[1, 16], validation_completions=16, validation_prompts=None)
    assert list(plan.k) == [1, 16]


def test_the_parts_of_a_reward_are_added_up_by_problem():
    def counts(prompt: Prompt, completion: Completion) -> Score:
        return Score(value=0.0, correct=False, parts={"timeout": 1.0} if completion.text == "slow" else {"e": 0.5})

    engine = ScriptedEngine({"x": ["slow", "slow", "?"], "y": ["?", "?", "?"]})
    prompts = [prompt("x", "1"), prompt("y", "1")]
    results = evaluate(engine, counts, prompts, SAMPLING, num_completions=3, seed_of=lambda _: 0)
    assert [result.parts for result in results] == [{"e": 0.5, "timeout": 2.0}, {"e": 1.5}]


def test_how_many_completions_a_problem_gets():
    plan = EvaluationPlan(
        sampling=SAMPLING,
        test_completions=1024,
        test_completions_of={"math500": 32},
        curve_completions_of={"math500": 8},
        k=(1, 1024),
    )
    assert plan.completions_for("test", "aime24") == 1024
    assert plan.completions_for("test", "math500") == 32
    assert plan.completions_for("test", "aime24", curve=True) == 32
    assert plan.completions_for("test", "math500", curve=True) == 8
    assert plan.completions_for("validation", "math500", curve=True) == 32
    assert replace(plan, completions=64).completions_for("test", "aime24") == 64
    assert replace(plan, completions=64).completions_for("test", "math500") == 32


def test_when_splits_are_due():
    plan = EvaluationPlan(sampling=SAMPLING, every=10, test_every=15)
    due = {split: [i for i in range(1, 61) if plan.is_due(split, i, 60)] for split in ("validation", "test")}
    assert due == {"validation": [10, 20, 30, 40, 50, 60], "test": [15, 30, 45]}  # the last one is tested anyway
    assert not EvaluationPlan(sampling=SAMPLING).is_due("test", 10, 60)


def test_problems_may_differ_in_their_completions():
    prompts = [prompt("x", "a"), prompt("y", "b"), prompt("x", "a")]
    engine = ScriptedEngine({"x": ["a", "b", "a"], "y": ["b"]})
    got = evaluate(
        engine,
        SaysTheAnswer(),
        prompts,
        SAMPLING,
        num_completions=lambda place: 3 if prompts[place].id == "x" else 1,
        seed_of=lambda p: 0,
    )
    assert [(result.problem_id, result.n) for result in got] == [("x", 3), ("y", 1), ("x", 3)]
