"""A section of a configuration -> its object: what a class of one's own is held to."""

from dataclasses import dataclass

import pytest
from omegaconf import OmegaConf

from rsgrpo.composition.build import build
from rsgrpo.errors import UserError
from rsgrpo.objectives.base import AdvantageContext, Objective


@dataclass(frozen=True, kw_only=True)
class Mine(Objective):
    """An objective as the docs show them: a dataclass that checks nothing itself."""

    tau: float = 1.0
    share: int = 2

    def advantages(self, rewards, context: AdvantageContext):
        return rewards / self.tau


def built(**settings: object) -> Mine:
    cfg = OmegaConf.create({"objective": {"_target_": f"{__name__}.Mine", **settings}})
    return build(cfg, "objective")


def test_a_dataclass_of_ones_own_gets_its_settings() -> None:
    assert built(tau=2, share=3) == Mine(tau=2, share=3)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tau": "high"}, r"objective\.tau=high must be a number; try objective\.tau=1"),
        ({"tau": True}, r"objective\.tau=True must be a number"),
        ({"share": 1.5}, r"objective\.share=1\.5 must be a whole number; try objective\.share=2"),
    ],
)
def test_a_setting_is_checked_against_its_annotation(settings: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        built(**settings)
