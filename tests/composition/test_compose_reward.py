"""`reward=`: classes, plain functions, and several together, as the command line names them."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from rsgrpo.composition.reward import build_reward
from rsgrpo.errors import UserError
from rsgrpo.rewards.countdown import CountdownReward
from rsgrpo.rewards.isolated import IsolatedReward
from rsgrpo.rewards.weighted import WeightedSum
from rsgrpo.types import Problem
from tests.rewards.texts import score

CONF = Path(__file__).parents[2] / "conf"
PROBLEM = Problem(id="p", text="?", answer="2")


def built(*overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_reward(compose("config", [*overrides]))


def test_a_class():
    assert built("reward=countdown") == CountdownReward()
    assert built("reward=countdown", "reward.graded=true") == CountdownReward(graded=True)


def test_a_plain_function():
    reward = built("reward=custom", "reward._target_=tests.command_line.own_rewards.even")
    assert [score(reward, PROBLEM, text).value for text in ("11", "1")] == [1, 0]


def test_a_plain_function_with_a_setting():
    reward = built("reward=custom", "reward._target_=tests.command_line.own_rewards.brief", "+reward.scale=3")
    assert score(reward, PROBLEM, "").value == 1.5


def test_a_plain_function_in_worker_processes():
    reward = built(
        "reward=custom",
        "reward._target_=tests.command_line.own_rewards.brief",
        "+reward.scale=3",
        "reward.isolated=true",
        "reward.isolation.timeout_s=20",
        "reward.isolation.workers=1",
    )
    assert isinstance(reward, IsolatedReward)
    assert (reward.timeout_s, reward.workers) == (20, 1)
    assert score(reward, PROBLEM, "").value == 1.5
    reward.close()


def test_one_of_several_in_worker_processes():
    reward = built(
        "reward=weighted",
        "+reward@reward.rewards.mine=custom",
        "reward.rewards.mine._target_=tests.command_line.own_rewards.even",
        "reward.rewards.mine.isolated=true",
    )
    assert isinstance(reward, WeightedSum)
    assert isinstance(reward.rewards["mine"], IsolatedReward)
    assert score(reward, PROBLEM, "11").parts["mine"] == 1.0
    reward.close()


def test_several_with_weights():
    reward = built(
        "reward=weighted",
        "+reward@reward.rewards.brief=custom",
        "reward.rewards.brief._target_=tests.command_line.own_rewards.brief",
        "+reward@reward.rewards.length=overlong",
        "+reward.weights.brief=0.5",
        "sampling.max_new_tokens=10",
    )
    assert isinstance(reward, WeightedSum)
    assert list(reward.rewards) == ["math_verify", "brief", "length"]
    result = score(reward, PROBLEM, r"\boxed{2}")
    assert result.value == 1 + 0.5 * 0.5
    assert result.parts == {"math_verify": 1.0, "brief": 0.5, "length": 0.0}
    reward.close()


def test_what_a_function_returns_is_checked():
    reward = built(
        "reward=weighted",
        "~reward.rewards.math_verify",
        "+reward@reward.rewards.mine=custom",
        "reward.rewards.mine._target_=tests.command_line.own_rewards.plain_number",
    )
    with pytest.raises(UserError, match="reward: plain_number returned float; return rsgrpo"):
        score(reward, PROBLEM, "2")


ISOLATED = ("reward=custom", "reward._target_=tests.command_line.own_rewards.brief", "reward.isolated=true")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["reward=custom"], "reward._target_ is not set; give it on the command line: reward._target_="),
        (["reward=custom", "reward._target_=no.such.thing"], "reward._target_=no.such.thing cannot be imported"),
        (
            ["reward=custom", "reward._target_=tests.command_line.own_rewards.brief", "+reward.scal=2"],
            "reward.scal: brief has the settings scale; fix the name",
        ),
        (
            ["reward=custom", "reward._target_=tests.command_line.own_rewards.even", "+reward.x=2"],
            "even has no settings",
        ),
        ([*ISOLATED, "+reward.scal=2"], "reward.scal: brief has the settings scale; fix the name"),
        (
            [*ISOLATED, "reward._target_=rsgrpo.rewards.overlong.OverlongPenalty", "+reward.max_new_tokens=0"],
            "reward.max_new_tokens=0 must be at least 1; try reward.max_new_tokens=1",
        ),
        ([*ISOLATED, "reward.isolated=maybe"], "reward.isolated=maybe must be true or false; try reward.isolated=true"),
        (
            [*ISOLATED, "reward.isolation.timeout_s=0"],
            "reward.isolation.timeout_s=0 must be at least 0.1; try reward.isolation.timeout_s=10.0",
        ),
        (
            [*ISOLATED, "reward.isolation=3"],
            r"reward\.isolation=3: it has keys of its own; try reward\.isol",
        ),
        (
            [*ISOLATED, "+reward.isolation.foo=3"],
            r"reward\.isolation\.foo: no such key, .*; remove reward\.iso",
        ),
        (
            [*ISOLATED, "reward.isolated=false", "reward.isolation.workers=2"],
            r"reward\.isolation\.workers=2 means nothing without .*; add reward\.isolated=true",
        ),
        (
            ["reward=countdown", "+reward.isolation.memory_gib=1"],
            r"reward\.isolation\.memory_gib=1 means nothing without .*; add \+reward\.isolated=true",
        ),
        (
            ["reward=weighted", "+reward.weights.other=1"],
            r"reward\.weights=.* has 'other', which is not one of the rewards",
        ),
        (
            ["reward=weighted", "reward.correct=other"],
            "reward.correct=other is not one of the rewards; choose one of math_verify",
        ),
        (
            ["reward=math_verify", "reward.timeout_s=0"],
            "reward.timeout_s=0 must be at least 0.1; try reward.timeout_s=4.0",
        ),
    ],
)
def test_mistakes_name_their_key(overrides: list[str], says: str):
    with pytest.raises(UserError, match=says):
        built(*overrides)
