"""The reward through its worker processes."""

import math
import os
import signal
import threading
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgrpo.errors import FieldError
from rsgrpo.rewards.base import BackgroundReward, Reward
from rsgrpo.rewards.math_verify import MathVerifyReward
from rsgrpo.types import Problem, Score
from tests.rewards.hostile import HOSTILE
from tests.rewards.texts import asked, group, said
from tests.rewards.texts import score as score_by

RIGHT = Score(value=1.0, correct=True)


@pytest.fixture(scope="module")
def reward():
    service = MathVerifyReward(workers=2)
    yield service
    service.close()


def problem(gold: str) -> Problem:
    return Problem(id="p", text="?", answer=gold)


def score(reward: Reward, gold: str, text: str) -> Score:
    return score_by(reward, problem(gold), text)


def wrong(why: str) -> Score:
    return Score(value=0.0, correct=False, parts={why: 1.0})


def test_it_is_a_reward_that_works_in_the_background(reward: MathVerifyReward):
    assert isinstance(reward, Reward)
    assert isinstance(reward, BackgroundReward)


def test_equal_answers_score_1_and_others_0(reward: MathVerifyReward):
    for gold, answer in ((r"\frac{1}{2}", "0.5"), ("0.5", r"\frac12"), ("073", "73")):
        assert score(reward, gold, f"So it is \\boxed{{{answer}}}.") == RIGHT
    for gold, answer in ((r"\frac{1}{2}", "0.51"), (r"8\sqrt{10}", "8"), ("2ab", "2")):
        assert score(reward, gold, f"So it is \\boxed{{{answer}}}.") == wrong("wrong")


def test_without_a_box_the_right_number_scores_0(reward: MathVerifyReward):
    for text in ("", "2", "The answer is 2.", "$2$", r"\boxed", r"\boxed{2"):
        assert score(reward, "2", text) == wrong("no_box")


def test_the_last_box_is_the_answer(reward: MathVerifyReward):
    assert score(reward, "2", r"First \boxed{3}, but rather \boxed{2}. There are 7 days a week.") == RIGHT
    assert score(reward, "2", r"First \boxed{2}, but rather \boxed{3}.") == wrong("wrong")


def test_an_empty_box_is_no_answer(reward: MathVerifyReward):
    assert score(reward, "2", r"\boxed{}") == wrong("unparsed")


def test_a_box_longer_than_the_limit_is_not_read():
    short = MathVerifyReward(max_answer_chars=10, workers=1)
    assert score(short, "2", r"\boxed{" + "0" * 9 + "2}") == RIGHT
    assert score(short, "2", r"\boxed{" + "0" * 10 + "2}") == wrong("too_long")
    assert score(short, "2", "long " * 100 + r"\boxed{2}") == RIGHT
    short.close()


def test_a_truncated_completion_says_so_whatever_its_verdict(reward: MathVerifyReward):
    for text, parts in ((r"\boxed{2}", {}), (r"\boxed{3}", {"wrong": 1.0}), ("so far", {"no_box": 1.0})):
        assert reward(asked(problem("2")), said(text, finished=False)).parts == parts | {"truncated": 1.0}


def test_a_group_is_scored_in_the_order_of_its_completions(reward: MathVerifyReward):
    texts = [r"\boxed{1}", r"\boxed{2}", "none", r"\boxed{2.0}", r"\boxed{1}", r"\boxed{" + "9" * 2000 + "}"]
    scores = reward.begin(group(problem("2"), *texts))()
    assert [s.value for s in scores] == [0, 1, 0, 1, 0, 0]
    assert [next(iter(s.parts), "right") for s in scores] == ["wrong", "right", "no_box", "right", "wrong", "too_long"]


def test_beginning_does_not_wait(reward: MathVerifyReward):
    """Workers that are stopped cannot have answered: still the caller goes on."""
    for pending in [reward.begin(group(problem("2"), rf"\boxed{{{i}}}")) for i in range(8)]:
        pending()
    for pid in reward.process_ids:
        os.kill(pid, signal.SIGSTOP)
    pending = [reward.begin(group(problem("2"), rf"\boxed{{{i}}}")) for i in range(8)]
    for pid in reward.process_ids:
        os.kill(pid, signal.SIGCONT)
    assert [p()[0].correct for p in pending] == [i == 2 for i in range(8)]


def test_it_scores_from_any_thread(reward: MathVerifyReward):
    """A verifier that needs the main thread scores everything 0 elsewhere."""
    found: list[Score] = []
    threads = [
        threading.Thread(target=lambda: found.append(score(reward, r"\frac{1}{2}", r"\boxed{0.5}"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [RIGHT] * 4


def test_golds_that_cannot_be_compared_with(reward: MathVerifyReward):
    golds = ["2", "", r"\frac{1}{2}", r"\kappa^{<\kappa}", "Yes", "((", "2"]
    found = reward.unreadable([problem(gold) for gold in golds])
    assert [why is not None for why in found] == [False, True, False, True, False, True, False]
    assert all(found[i] for i in (1, 3, 5)), "a reason in words"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("timeout_s", 0, "timeout_s=0 must be at least 0.1; try timeout_s=4.0"),
        ("max_answer_chars", 0, "max_answer_chars=0 must be at least 1; try max_answer_chars=1"),
        ("workers", 0, "workers=0 must be at least 1; try workers=1"),
    ],
)
def test_limits_out_of_range_are_refused(field: str, value: int, says: str):
    with pytest.raises(FieldError, match=says):
        MathVerifyReward(**{field: value})


def test_ranks_share_the_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(12)))
    assert MathVerifyReward()._pool.count == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert MathVerifyReward()._pool.count == 3
    assert MathVerifyReward(workers=2)._pool.count == 2


GARBAGE = [
    "\ud800", "1\udfff2", "\x00", "2\x002", "\\", "\\\\", "^^", "__", "\\frac", "\\frac{}{}", "\\frac{1}{0}", "1/0",
    "%", "$", "$$", "\\left(", "\\text{}", "\\infty", "nan", "None", "[1,2", "0.1.2", "," * 500, "\\sqrt" * 100, "=",
    "\n\n", "\u202e", "\u0663", "\u00b2", "\U0001f642", "\u2205", "\\begin{pmatrix}1", "\\int", "\\sum_{n=1}^{}",
    "{}{}", "#", "&&",
]  # fmt: skip


def test_garbage_scores_0_as_answer_and_as_gold(reward: MathVerifyReward):
    for garbage in GARBAGE:
        for gold, answer in (("2", garbage), (garbage, "17")):
            result = score(reward, gold, f"\\boxed{{{answer}}}")
            assert (result.value, result.correct) == (0.0, False), garbage
            assert set(result.parts) <= {"no_box", "wrong", "unparsed", "error"}
    assert score(reward, "2", r"\boxed{2}") == RIGHT


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\\boxed{" * 200_000, id="boxes without end"),
        pytest.param("$" * 1_000_000, id="a megabyte of dollars"),
        pytest.param("\x00" * 1_000_000 + "\ud800", id="a megabyte of NUL"),
        pytest.param("\\boxed{" + "(" * 5_000 + "2" + ")" * 5_000 + "}", id="5,000 brackets"),
        pytest.param("\\boxed{" + "7" * 1_000_000 + "}", id="a million digits"),
    ],
)
def test_megabyte_texts_score_0(reward: MathVerifyReward, text: str):
    result = score(reward, "2", text)
    assert (result.value, result.correct) == (0.0, False)
    assert set(result.parts) <= {"no_box", "too_long"}


@settings(max_examples=60)
@given(st.text(st.characters(codec=None), max_size=30), st.text(st.characters(codec=None), max_size=30))
def test_any_text_and_any_gold_get_a_score(reward: MathVerifyReward, text: str, gold: str):
    for given_text in (text, f"\\boxed{{{text}}}"):
        result = score(reward, gold, given_text)
        assert math.isfinite(result.value)
        assert result.value == float(result.correct)
        assert result.correct != bool(result.parts)


@pytest.mark.slow
@pytest.mark.parametrize("what", HOSTILE)
def test_each_adversarial_answer_scores_0_and_the_next_one_is_right(reward: MathVerifyReward, what: str):
    begun = time.monotonic()
    result = score(reward, "5", HOSTILE[what])
    print(f"{what}: {result.value} {dict(result.parts)} in {time.monotonic() - begun:.2f} s")
    assert (result.value, result.correct) == (0.0, False)
    assert score(reward, "2", r"\boxed{2}") == RIGHT


@pytest.mark.slow
def test_ten_hanging_answers_among_a_thousand_lose_nothing(reward: MathVerifyReward):
    hanging = {i * 100 + 37 for i in range(10)}
    pending = [
        reward.begin(group(problem(str(i)), r"\boxed{9^{9^{9^{9}}}}" if i in hanging else rf"\boxed{{{i + i % 2}}}"))
        for i in range(1000)
    ]
    parts = [next(iter(p()[0].parts), "right") for p in pending]
    assert {i for i, part in enumerate(parts) if part == "timeout"} == hanging
    even = {i for i in range(1000) if i % 2 == 0 and i not in hanging}
    assert {i for i, part in enumerate(parts) if part == "right"} == even
    assert Counter(parts) == {"right": 500, "wrong": 490, "timeout": 10}
