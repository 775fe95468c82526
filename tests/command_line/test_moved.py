"""Configurations of earlier versions hold names that are others today."""

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from rsgrpo.command_line.moved import MODULES, NAMES, current_name, use_current_names
from rsgrpo.command_line.trust import is_ours


@pytest.mark.parametrize("old", NAMES)
def test_what_took_the_place_of_a_class_is_there_and_needs_no_word(old: str) -> None:
    assert get_object(current_name(old)) is not None
    assert is_ours(current_name(old))


@pytest.mark.parametrize(("old", "name"), zip(MODULES, ("checkpoint.Checkpoint", "Pretraining", "FSDP2"), strict=True))
def test_a_module_moved_with_all_that_is_in_it(old: str, name: str) -> None:
    assert get_object(current_name(f"{old}.{name}")) is not None


def test_names_are_replaced_wherever_they_stand_and_nothing_else_is() -> None:
    cfg = OmegaConf.create(
        {
            "trainer": {
                "strategy": {"_target_": "rsgrpo.training.strategy.FSDP2", "note": "rsgrpo.training.strategy.X"}
            },
            "objective": {"_target_": "???", "beta": "${iterations}"},
            "reward": {"_target_": "my_module.callbacks"},
            "iterations": 3,
        }
    )
    OmegaConf.set_struct(cfg, True)
    use_current_names(cfg)
    assert cfg.trainer.strategy._target_ == "rsgrpo.distributed.strategy.FSDP2"
    assert cfg.trainer.strategy.note == "rsgrpo.training.strategy.X"
    assert cfg.reward._target_ == "my_module.callbacks"
    assert OmegaConf.is_missing(cfg.objective, "_target_")
    assert cfg.objective.beta == 3
