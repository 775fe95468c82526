"""What this machine lacks is said before anything slow, and an engine that lacks a method before weights are read."""

from functools import partial
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from rsgrpo.composition.machine import check_machine
from rsgrpo.composition.members import check_methods
from rsgrpo.errors import UserError
from rsgrpo.rollouts.hf import HFEngine

CONF = Path(__file__).parents[2] / "conf"


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def test_a_logger_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = composed("logger=wandb", "logger.name=x", "logger.save_dir=x")
    monkeypatch.setattr("rsgrpo.composition.machine.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^logger=wandb needs .* pip install 'rsgrpo\[wandb\]'$"):
        check_machine(cfg)
    monkeypatch.setattr("rsgrpo.composition.machine.find_spec", lambda name: name)
    check_machine(cfg)


def test_an_engine_that_lacks_a_method_is_refused_as_a_class() -> None:
    class Half:
        def generate(self) -> None: ...

    cfg = composed("rollout=custom", "rollout._target_=my.Half")
    with pytest.raises(UserError, match=r"rollout\._target_=my\.Half has no load_policy; give it all of"):
        check_methods(cfg, "rollout", partial(Half))
    check_methods(cfg, "rollout", partial(HFEngine))
