"""A choice of another group is refused with the word of the group that the run began with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from rsgrpo import run_folder
from rsgrpo.command_line.same_run import check_same_run
from rsgrpo.errors import UserError

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def hydra_is_there() -> Iterator[None]:
    """As inside a run."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def resumed(run: Path, began: list[str], now: list[str]) -> DictConfig:
    """The configuration of a run that was begun with some words and is resumed with others."""
    OmegaConf.save(began, run / run_folder.OVERRIDES)
    for words in (began, now):
        cfg = compose("config", words, return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        if words is began:
            OmegaConf.save(cfg, run / run_folder.CONFIG, resolve=True)
    return cfg


@pytest.mark.usefixtures("hydra_is_there")
@pytest.mark.parametrize(
    ("began", "now", "says"),
    [
        ([], ["objective=grpo"], r"objective was rs_grpo and is grpo now; keep it as it was \(objective=rs_grpo\)"),
        (["objective.beta=4"], ["objective=grpo"], r"\(objective=rs_grpo objective\.beta=4\)"),
        ([], ["reward=arithmetic"], r"\(reward=countdown\)"),
        (["schedule=linear", "schedule.start=8"], ["schedule=cosine"], r"\(schedule=linear schedule\.start=8\)"),
        (["filter=none"], [], r"\(filter=none\)"),
        ([], ["data=arithmetic"], r"\(data=countdown\)"),
        ([], ["model=qwen3_0_6b"], r"\(model=tiny\)"),
        (
            [],
            ["objective.beta=3"],
            r"objective\.beta was 2\.0 and is 3 now; .* \(objective\.beta=2\.0\)",
        ),
    ],
)
def test_the_cure_is_the_word_that_the_run_began_with(
    tmp_path: Path, began: list[str], now: list[str], says: str
) -> None:
    cfg = resumed(tmp_path, began, now)
    with pytest.raises(UserError, match=says):
        check_same_run(tmp_path, cfg)


@pytest.mark.usefixtures("hydra_is_there")
def test_another_engine_is_no_other_run(tmp_path: Path) -> None:
    check_same_run(tmp_path, resumed(tmp_path, [], ["rollout=vllm", "logger=csv"]))


ADDED_SINCE = ("lr_schedule", "lr_schedule_args", "system", "few_shot", "chat_template_kwargs", "deterministic")
"""Keys that run folders of earlier versions lack."""


@pytest.mark.usefixtures("hydra_is_there")
@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("seed=0", None),
        ("trainer.deterministic=true", None),
        ("optimizer.lr_schedule=linear", r"optimizer\.lr_schedule was constant and is linear now"),
        ("data.system=Hi", r"data\.system was null and is Hi now"),
        ('data.few_shot=[{question:"1",answer:"1"}]', r"data\.few_shot was null and is \["),
        ("++model.chat_template_kwargs.enable_thinking=false", r"enable_thinking was null and is False now"),
    ],
)
def test_a_run_of_an_earlier_version_goes_on_as_it_was(tmp_path: Path, word: str, says: str | None) -> None:
    cfg = resumed(tmp_path, [], [word])
    file = tmp_path / run_folder.CONFIG
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if line.strip().split(":")[0] not in ADDED_SINCE))
    assert len(file.read_text().splitlines()) == len(lines) - len(ADDED_SINCE)
    if says is None:
        check_same_run(tmp_path, cfg)
        return
    with pytest.raises(UserError, match=says):
        check_same_run(tmp_path, cfg)
