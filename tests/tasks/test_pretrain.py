import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from rsgrpo.command_line.own_names import in_keys
from rsgrpo.composition.policy import load_policy
from rsgrpo.errors import UserError
from rsgrpo.pretraining.bases import SHIPPED, damage
from rsgrpo.tasks.pretrain import pretrain

ROOT = Path(__file__).parents[2]
QUICK = ("model.pretrain.steps=2", "model.pretrain.batch_size=2", "model.pretrain.num_layers=1")


def said(capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        pretrain(compose("config", ["task=pretrain", *overrides]))
    return capsys.readouterr().out.strip()


def test_it_says_where_the_shipped_base_lies(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cache = f"model.cache_dir={tmp_path / 'cache'}"
    assert said(capsys, cache, "model.pretrain.seed=2") == f"base model: {SHIPPED / 'countdown-2'}"
    assert not (tmp_path / "cache").exists()


def test_it_makes_a_base_in_a_folder_of_the_user_s(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    assert said(capsys, *QUICK, f"task.folder={folder}") == f"base model: {folder}"
    assert damage(folder) is None
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        policy = load_policy(compose("config", [f"model.path={folder}"]))
    assert policy.source == str(folder)
    assert len(policy.layers) == 1


def test_it_makes_a_shipped_base_anew_where_it_is_told_to(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Asked for a folder it trains, even though the package has that base."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as caught:
        said(capsys, f"task.folder={tmp_path / 'file' / 'base'}")
    assert re.search(r"cannot be written to .*file/base .* task\.folder=", in_keys(caught.value))


def test_a_folder_that_is_there_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task\.folder=.* exists already; name another folder"):
        said(capsys, *QUICK, f"task.folder={tmp_path}")
