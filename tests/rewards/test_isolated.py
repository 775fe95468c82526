"""Rewards of one's own in real worker processes."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from rsgrpo.errors import UserError
from rsgrpo.rewards.base import BackgroundReward, Reward, answers, begin, has_one_right_answer
from rsgrpo.rewards.isolated import IsolatedReward
from rsgrpo.types import Problem, Prompt, Score
from tests.rewards.bad_rewards import RIGHT, Counts, Finds, bad
from tests.rewards.texts import group

PROBLEM = Problem(id="p", text="?", answer="2")


def zero(why: str) -> Score:
    return Score(value=0.0, correct=False, parts={why: 1.0})


@pytest.fixture(scope="module")
def reward() -> Iterator[IsolatedReward]:
    isolated = IsolatedReward(reward=bad, timeout_s=3.0, memory_gib=1.0, workers=1)
    yield isolated
    isolated.close()


def scores(reward: Reward, *texts: str) -> list[Score]:
    return list(begin(reward, group(PROBLEM, *texts))())


def test_it_works_in_the_background_and_closes(reward: IsolatedReward) -> None:
    assert isinstance(reward, BackgroundReward)
    assert scores(reward, "fine", "fine") == [RIGHT, RIGHT]
    assert len(reward.process_ids) == 1


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("hangs", zero("timeout")),
        ("hangs with a child", zero("timeout")),
        ("exits", zero("error")),
        ("eats memory", zero("error")),
        ("forks", RIGHT),
    ],
)
def test_what_costs_a_worker_costs_that_score_and_no_other(reward: IsolatedReward, text: str, score: Score) -> None:
    assert scores(reward, "fine", text, "fine", "fine") == [RIGHT, score, RIGHT, RIGHT]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("exits", "reward: bad ended its worker process on 3 of its first 3 completions and has scored none; fix"),
        ("hangs", r"reward: bad hung beyond timeout_s=0\.1 on 3 of its first 3 completions"),
    ],
)
def test_a_reward_that_never_gives_a_verdict_is_refused(monkeypatch: pytest.MonkeyPatch, text: str, says: str) -> None:
    monkeypatch.setattr("rsgrpo.rewards.isolated.GIVE_UP_AFTER", 3)
    monkeypatch.setattr("rsgrpo.workers.pool.ATTEMPTS", 1)
    isolated = IsolatedReward(reward=bad, timeout_s=0.1 if text == "hangs" else 60.0, workers=1)
    assert scores(isolated, *[text] * 2) == [zero("timeout" if text == "hangs" else "error")] * 2
    with pytest.raises(UserError, match=says):
        scores(isolated, text)
    isolated.close()


def test_a_reward_that_has_given_a_verdict_may_lose_any_number_of_workers(
    reward: IsolatedReward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsgrpo.rewards.isolated.GIVE_UP_AFTER", 1)
    assert scores(reward, "fine", "hangs", "hangs") == [RIGHT, zero("timeout"), zero("timeout")]


def test_closing_waits_for_no_completion() -> None:
    isolated = IsolatedReward(reward=bad, timeout_s=1000.0, workers=1)
    pending = isolated.begin(group(PROBLEM, "fine", "hangs", "hangs"))
    while not isolated.process_ids:
        time.sleep(0.1)
    isolated.close()
    with pytest.raises(CancelledError):
        pending()


def test_what_a_reward_has_started_ends_with_its_worker(reward: IsolatedReward) -> None:
    scores(reward, "hangs with a child", "fine")
    (worker,) = reward.process_ids
    deadline = time.monotonic() + 600
    while others := [pid for pid in _workers() if pid != worker]:
        assert time.monotonic() < deadline, others
        time.sleep(0.1)


def _workers() -> list[int]:
    """Processes of this file's workers: they have its parent, or the parent of an orphan."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"rsgrpo.rewards.isolated_worker" in command and parent in (os.getpid(), 1):
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("raises", r"reward: bad raised KeyError\('numbers'\) on a completion of p \(.*bad_rewards\.py, line 30\);"),
        ("leaves", r"reward: bad raised SystemExit\(0\) on a completion of p"),
        ("nothing", r"reward: bad returned NoneType; return rsgrpo\.types\.Score"),
    ],
)
def test_a_bug_ends_in_the_same_sentence_as_without_workers(reward: IsolatedReward, text: str, says: str) -> None:
    for each in (reward, bad):
        with pytest.raises(UserError, match=says):
            scores(each, "fine", text)
    assert scores(reward, "fine") == [RIGHT]


def test_what_is_printed_comes_under_the_name_of_the_reward(
    reward: IsolatedReward, capfd: pytest.CaptureFixture[str]
) -> None:
    for each in (reward, bad):
        assert scores(each, "prints") == [RIGHT]
        assert capfd.readouterr() == ("", "reward bad printed: one\nreward bad printed: two\n")


def test_a_reward_that_never_stops_printing_is_cut_short(capfd: pytest.CaptureFixture[str]) -> None:
    def talkative(prompt: Prompt, completion: object) -> Score:
        print("again")
        return RIGHT

    scores(talkative, *["text"] * 30)
    said = capfd.readouterr().err.splitlines()
    assert said == ["reward talkative printed: again"] * 20 + [
        "reward talkative has printed 20 lines; the rest is left out"
    ]


def test_a_class_with_a_state_of_its_own() -> None:
    isolated = IsolatedReward(reward=Counts(), workers=1)
    assert [s.parts for s in scores(isolated, "a", "b")] == [{"seen": 1.0}, {"seen": 2.0}]
    isolated.close()


def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(UserError, match=r"reward: <lambda> cannot be sent to another process \(.*; make it a function"):
        IsolatedReward(reward=lambda prompt, completion: RIGHT)


def test_answers_are_found_in_the_workers(capfd: pytest.CaptureFixture[str]) -> None:
    finds = IsolatedReward(reward=Finds(), timeout_s=2.0, workers=1)
    try:
        assert answers(finds, group(PROBLEM, "4", "", "hangs", "7")) == ("4", None, None, "7")
        assert has_one_right_answer(finds)
        assert "looked at 7" in capfd.readouterr().err
    finally:
        finds.close()


def test_a_reward_that_finds_no_answers_is_named(reward: IsolatedReward) -> None:
    with pytest.raises(UserError, match=r"the objective needs answers, and bad has no method answer"):
        answers(reward, group(PROBLEM, "4"))
    assert not has_one_right_answer(reward)
