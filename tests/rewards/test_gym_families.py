"""The task families of reasoning-gym itself: their problems, and their verifiers on what a model may write."""

import ast
import inspect
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rsgrpo.data.reasoning_gym import ReasoningGym
from rsgrpo.data.reasoning_gym_generator import Share, Wanted, generate
from rsgrpo.data.source import Split
from rsgrpo.rewards.base import begin
from rsgrpo.rewards.reasoning_gym import ReasoningGymReward
from rsgrpo.types import Problem
from rsgrpo.verification.families import FLAWED, PLAIN, graded, is_plain, registry
from tests.gym import needs_gym, package  # noqa: F401  (a fixture)
from tests.rewards.texts import group
from tests.security.traps import python

pytestmark = [
    *(pytest.mark.slow, needs_gym, pytest.mark.usefixtures("package")),
    pytest.mark.filterwarnings("ignore"),  # of the package's own imports
]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SOME = (
    *("countdown", "knights_knaves", "shortest_path", "basic_arithmetic", "chain_sum", "spell_backward"),
    *("family_relationships", "propositional_logic", "word_sorting", "pool_matrix", "time_intervals", "word_ladder"),
)
NO_GOLD = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
"""Families with many right answers that name none."""

JUNK = (
    *(
        "",
        " ",
        "?",
        "[]",
        "{}",
        "()",
        "null",
        "true",
        "nan",
        "inf",
        "-1",
        "0",
        "1/0",
        "1e999",
        "9" * 5000,
        "\x00",
        "é六\u202e",
    ),
    *(
        "[1, 2, 3]",
        "[[1, 2], [3]]",
        '{"a": {"b": []}}',
        '[{"a": 1}]',
        "[" * 3000,
        "(" * 3000,
        "a,b",
        "a b\nc",
        "U R' F2 Z9",
    ),
    *(
        "1:2:3",
        "2024-13-45",
        "5 + x**",
        "x = 1",
        "A -> B -> A",
        "up up",
        "9**9**9**9",
        "(p and (q or",
        "A1+1 B2-",
        "_ Q",
    ),
)


EACH = 3


@pytest.fixture(scope="module")
def reward(package: None) -> Iterator[ReasoningGymReward]:  # noqa: F811
    service = ReasoningGymReward(timeout_s=5.0, workers=1, max_answer_chars=5000)
    yield service
    service.close()


@pytest.fixture(scope="module")
def problems(package: None) -> dict[str, list[Problem]]:  # noqa: F811
    """A few problems of every family."""
    names = [name for name in registry() if name not in FLAWED]
    assert len(names) > 100
    found: dict[str, list[Problem]] = {name: [] for name in names}
    for problem in ReasoningGym(task=names, train=EACH * len(names), validation=0, test=0).split("train"):
        found[problem.facts["dataset"]].append(problem)
    return found


def tagged(*answers: str) -> list[str]:
    return [f"<answer>{answer}</answer>" for answer in answers]


@pytest.mark.parametrize("family", SOME)
def test_splits(family: str) -> None:
    sizes: dict[str, Any] = {"train": 60, "validation": 20, "test": 30}
    data = ReasoningGym(task=family, **sizes)
    problems = [problem for name in SPLITS for problem in data.split(name)]
    assert len({problem.text for problem in problems}) == len({problem.id for problem in problems}) == 110
    assert all(problem.text.strip() for problem in problems)
    assert all("difficulty" in problem.facts for problem in problems)
    assert pickle.loads(pickle.dumps(problems)) == problems
    assert ReasoningGym(task=family, **sizes).split("test") == data.split("test")


def test_gold_answers_are_right(reward: ReasoningGymReward, problems: dict[str, list[Problem]]) -> None:
    assert {name for name, (problem, *_) in problems.items() if not problem.answer} == NO_GOLD
    golds = [problem for of_family in problems.values() for problem in of_family if problem.answer]
    scores = [begin(reward, group(problem, *tagged(problem.answer)))()[0] for problem in golds]
    wrong = [problem for problem, score in zip(golds, scores, strict=True) if not score.correct]
    assert all("Integral" in problem.answer for problem in wrong)
    assert len(wrong) <= EACH


def test_answers_that_a_problem_without_a_gold_names_are_right(
    reward: ReasoningGymReward, problems: dict[str, list[Problem]]
) -> None:
    for family, key in (("propositional_logic", "example_answer"), ("rubiks_cube", "example_correct_answer")):
        for problem in problems[family]:
            (score,) = begin(reward, group(problem, *tagged(problem.facts["entry"]["metadata"][key])))()
            assert score.correct


def test_junk_costs_its_score_and_nothing_more(reward: ReasoningGymReward, problems: dict[str, list[Problem]]) -> None:
    """That some of it is right by chance, `0` or `[]`, is no fault."""
    for family, (problem, *_) in problems.items():
        scores = begin(reward, group(problem, *tagged(*JUNK)))()
        lost = [text for text, score in zip(JUNK, scores, strict=True) if {"timeout", "error"} & score.parts.keys()]
        assert lost == (["9**9**9**9"] if family.endswith(("_integration", "_multiplication")) else []), family
        assert sum(score.correct for score in scores) <= 2, family


def test_the_answer_of_another_problem_is_wrong(reward: ReasoningGymReward, problems: dict[str, list[Problem]]) -> None:
    """Where answers are long enough not to agree by chance."""
    for family, (one, other, *_) in problems.items():
        if min(len(one.answer), len(other.answer)) > 12 and one.answer != other.answer:
            assert not begin(reward, group(one, *tagged(other.answer)))()[0].correct, family


def test_code_in_an_answer_is_run_by_none_of_their_verifiers(
    reward: ReasoningGymReward, problems: dict[str, list[Problem]], tmp_path: Path
) -> None:
    codes = python(tmp_path / "victim")
    for family, (problem, *_) in problems.items():
        assert not any(score.correct for score in begin(reward, group(problem, *tagged(*codes)))()), family
    assert list(tmp_path.iterdir()) == []


def test_what_is_said_of_flawed_families_is_so(package: None) -> None:  # noqa: F811
    def first(family: str) -> list[dict[str, Any]]:
        ((entries, _),) = generate(Wanted("train", 0, [Share(family, {}, 2)], frozenset()))
        return [dict(entry) for entry in entries]

    one, other = first("puzzle24")
    assert one["metadata"]["numbers"] != other["metadata"]["numbers"]
    assert graded("puzzle24", {}, one, other["answer"]) == 1
    assert graded("game_of_life_halting", {}, first("game_of_life_halting")[0], "?") == 1
    flip = first("coin_flip")[0]
    assert graded("coin_flip", {}, flip, flip["answer"][:1]) == 1


EVALUATES = {
    "eval",
    "exec",
    "parse_expr",
    "sympy.parse_expr",
    "sp.parse_expr",
    "sympify",
    "sympy.sympify",
    "sp.sympify",
}
ITS_OWN = {"basic_arithmetic", "bitwise_arithmetic", "codeio", "number_sorting", "propositional_logic"}
"""Families that evaluate what they have written themselves, or by a parser of their own."""


def test_the_families_whose_verifiers_evaluate_answers_are_known() -> None:
    found = set()
    for family, (kind, _) in registry().items():
        source = inspect.getsource(sys.modules[kind.__module__])
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        if EVALUATES & {ast.unparse(call.func) for call in calls}:
            found.add(family)
    assert found == (PLAIN.keys() - {"complex_arithmetic"}) | ITS_OWN


def test_gold_answers_have_the_form_that_is_let_through() -> None:
    names = [name for name in PLAIN if name not in FLAWED]
    for problem in ReasoningGym(task=names, train=30 * len(names), validation=0, test=0).split("train"):
        assert is_plain(problem.facts["dataset"], problem.answer) or "Integral" in problem.answer


def test_the_order_of_sets_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("isomorphic_strings", "knight_swap", "polynomial_multiplication", "ransom_note", "word_ladder")
    wanted = Wanted("train", 0, [Share(name, {}, 5) for name in names], frozenset())
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    one = generate(wanted)
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    assert generate(wanted) == one
