"""Keys that the chosen configuration has not, and where they are."""

from pathlib import Path

import pytest

from rsgrpo.command_line.keys import unknown_key

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize(
    ("key", "chosen", "says"),
    [
        ("objective.estimator", "objective=grpo", "objective=mahdavi, objective=pkpo and objective=rs_grpo have it"),
        ("objective.beta", "objective=grpo", "objective=entropic and objective=rs_grpo have it"),
        ("reward.buffer", "reward=custom", "reward=overlong has it"),
        ("rollout.max_gap", "rollout=hf", "rollout=vllm has it"),
        ("schedule.curve", "schedule=constant", "schedule=adaptive has it"),
    ],
)
def test_the_choices_that_have_a_key_are_named(key: str, chosen: str, says: str) -> None:
    assert unknown_key(key, CONF, [chosen]) == f"{key}: {says}, the chosen one has not; leave it out"
