"""Which policies `task=evaluate` is about."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.composition.evaluation import jobs_of
from rsgrpo.errors import UserError


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A sweep of two runs, one of which has exported policies on the way."""
    for name in ("10_grpo", "9_rs_grpo"):
        (tmp_path / "sweep" / name).mkdir(parents=True)
        run_folder.write_json(tmp_path / "sweep" / name / run_folder.RUN, {})
    for iteration in (20, 40):
        folder = tmp_path / "sweep" / "10_grpo" / run_folder.POLICIES / f"iteration_{iteration:06d}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    return tmp_path


def policies(path: object, temperature: object = None) -> list[tuple[str, str | None]]:
    cfg = OmegaConf.create({"model": {"path": path}, "eval": {"temperature": temperature, "sampling": {}}})
    assert isinstance(cfg, DictConfig)
    return [(name, job.model.path) for name, job in jobs_of(cfg)]


def test_a_sweep_and_a_pattern_stand_for_their_runs(outputs: Path):
    both = [f"{outputs}/sweep/9_rs_grpo", f"{outputs}/sweep/10_grpo"]
    assert [path for _, path in policies(f"{outputs}/sweep")] == both
    assert [path for _, path in policies(f"{outputs}/sweep/*_grpo")] == both
    assert policies(f"{outputs}/sweep/9*") == [("", both[0])]
    assert [name for name, _ in policies([None, f"{outputs}/sweep"])] == ["base", "9_rs_grpo", "10_grpo"]
    assert [path for _, path in policies([f"{outputs}/sweep", both[1]])] == both, "each once"


def test_a_pattern_of_exported_policies_stands_for_them(outputs: Path):
    found = policies(f"{outputs}/sweep/10_grpo/policies/*")
    assert [name for name, _ in found] == ["iteration_000020", "iteration_000040"]


def test_any_other_name_is_what_it_is(outputs: Path):
    for name in (f"{outputs}/sweep/10_grpo", "Qwen/Qwen3-4B", f"{outputs}/nowhere", None):
        assert policies(name) == [("", name)]


def test_a_pattern_that_matches_nothing_is_named(outputs: Path):
    with pytest.raises(UserError, match=r"model\.path: \S+/none\* matches nothing"):
        policies(f"{outputs}/none*")


def test_each_policy_has_a_folder_for_each_temperature(outputs: Path):
    names = [name for name, _ in policies(f"{outputs}/sweep", [0.6, 1])]
    assert names == [
        *("9_rs_grpo_temperature0.6", "9_rs_grpo_temperature1", "10_grpo_temperature0.6", "10_grpo_temperature1")
    ]


@pytest.mark.parametrize("temperature", [-1, 0, [1, 1000]])
def test_a_temperature_out_of_range_is_refused_under_the_key_that_was_typed(temperature: object):
    with pytest.raises(
        UserError, match=r"^eval\.temperature=\S+ must be between 0\.001 and 100; try eval\.temperature=1"
    ):
        policies(None, temperature)
