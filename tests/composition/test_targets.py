"""A `_target_` that names nothing is answered with the nearest name, or with what is wrong with its module."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rsgrpo.composition.build import build
from rsgrpo.composition.targets import unknown_target
from rsgrpo.errors import UserError


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("rsgrpo.objectives.rs_grpo.RSGRP", "rsgrpo.objectives.rs_grpo.RSGRPO"),
        ("rsgrpo.objectives.rs_grpo.rsgrpo", "rsgrpo.objectives.rs_grpo.RSGRPO"),
        ("rsgrpo.objectives.rs_gpro.RSGRPO", "rsgrpo.objectives.rs_grpo.RSGRPO"),
        ("tests.command_line.own_rewards.brif", "tests.command_line.own_rewards.brief"),
        ("rsgrpo.metrics.timming.stage_times", "rsgrpo.metrics.timing.stage_times"),
    ],
)
def test_the_nearest_name_is_said(target: str, meant: str) -> None:
    with pytest.raises(UserError, match=rf"_target_={target} cannot be imported; did you mean {meant}\?"):
        build(OmegaConf.create({"reward": {"_target_": target}}), "reward")


def test_nothing_is_near() -> None:
    said = unknown_target("reward._target_", "no_such_module_here.brief")
    assert said.startswith("reward._target_=no_such_module_here.brief cannot be imported; check its name")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = 1\nimport no_such_package", r"No module named 'no_such_package' \(.*mine_{}\.py, line 2\); install that"),
        (
            "x = 1 / 0",
            r"raised ZeroDivisionError\('division by zero'\) \(.*mine_{}\.py, line 1\); fix that",
        ),
    ],
)
def test_a_module_that_does_not_load_says_why(
    code: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"mine_{len(code)}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=says.format(len(code))):
        build(OmegaConf.create({"reward": {"_target_": f"{name}.brief"}}), "reward")
