"""A class of another kind than its group is made of is refused by name, whatever it takes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from rsgrpo.composition.asking import build_source
from rsgrpo.composition.members import MEMBERS, check_members
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.errors import UserError

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def composed() -> Iterator[DictConfig]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield compose("config")


@pytest.mark.parametrize("group", sorted(MEMBERS.keys() - {"data", "rollout"}))
def test_a_recipe_is_made_of_the_right_kinds(composed: DictConfig, group: str) -> None:
    composed[group]._target_ = "builtins.dict"
    with pytest.raises(UserError, match=rf"^{group}\._target_=builtins\.dict has no \w+; give it all of rsgrpo\."):
        build_recipe(composed)


def test_so_is_its_data(composed: DictConfig) -> None:
    check_members(composed, "data", build_source(composed))
    composed.data._target_ = "builtins.dict"
    with pytest.raises(UserError, match=r"^data\._target_=builtins\.dict has no max_prompt_tokens; give it all of"):
        check_members(composed, "data", build_source(composed))


def test_the_groups_of_conf_are_of_their_kinds(composed: DictConfig) -> None:
    assert build_recipe(composed).iterations == composed.iterations
