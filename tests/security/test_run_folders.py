"""A run folder that came from someone else: its words are settings, its checkpoint is weights, and no more."""

import pickle
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch.distributed.checkpoint import state_dict_saver

from rsgrpo import run_folder
from rsgrpo.checkpoints.unpickling import check_weights_only
from rsgrpo.command_line.resume import with_settings_of_run
from rsgrpo.command_line.trust import check_targets, is_ours, words_to_repeat
from rsgrpo.errors import UserError
from tests.run_folders import write_checkpoint
from tests.security.traps import Trap

CONF = Path(__file__).parents[2] / "conf"
OWN = "tests.command_line.own_rewards.brief"


def run_with(folder: Path, *words: str) -> Path:
    """A run folder whose run was started with these words."""
    run = folder / "run"
    write_checkpoint(run, 2)
    (run / run_folder.OVERRIDES).write_text("".join(f"- {word!r}\n" for word in words), encoding="utf-8")
    return run


def resume(run: Path, *words: str) -> None:
    """What `python run.py ckpt=RUN WORDS` does before anything of its configuration is built."""
    given = [f"ckpt={run}", *words]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = [*with_settings_of_run(given), "logger.save_dir=null"]  # Hydra's own to tell, once it runs
        check_targets(compose("config", settings), given, CONF)


# Classes


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["objective._target_=runpy.run_path", "+objective.path_name=/tmp/a.py"], id="of Python"),
        pytest.param(["filter._target_=rsgrpo.main.os.system"], id="through a module of ours"),
        pytest.param(["objective._target_=rsgrpo.composition.machine.Path.touch"], id="a method that ours imports"),
        pytest.param(["+sampling.more={_target_: os.system, command: ls}"], id="within a value"),
        pytest.param(["+sampling.more=[{_target_: os.system}]"], id="within a list"),
        pytest.param(["+word=os.system", "filter._target_=${word}"], id="by reference"),
        pytest.param(["reward=custom", f"reward._target_={OWN}"], id="a reward of somebody's own"),
    ],
)
def test_a_class_that_only_the_folder_names_is_refused(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(UserError, match=r"its settings name \S+, which is not a class of this project") as caught:
        resume(run_with(tmp_path, *words))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", [["reward=custom", f"reward._target_={OWN}"], [f"filter._target_={OWN}"]])
def test_a_class_that_the_command_line_names_too_is_taken(tmp_path: Path, words: list[str]) -> None:
    run = run_with(tmp_path, *words)
    with pytest.raises(UserError) as caught:
        resume(run)
    cure = shlex.split(str(caught.value).rpartition("name it again: ")[2])
    assert cure == [f"ckpt={run}", words[-1]]
    resume(run, *cure[1:])
    assert words_to_repeat(words) == [words[-1]]


def test_another_class_than_the_one_that_was_named_is_refused(tmp_path: Path) -> None:
    run = run_with(tmp_path, "filter._target_=os.system", "objective._target_=os.getcwd")
    with pytest.raises(UserError, match=r"name objective\._target_=os\.getcwd, which"):
        resume(run, "filter._target_=os.system")


def test_classes_of_this_project_need_no_word(tmp_path: Path) -> None:
    resume(run_with(tmp_path, "objective=grpo", "filter=none", "trainer=gpu", "rollout=vllm", "logger=csv"))
    resume(run_with(tmp_path / "b", "filter._target_=rsgrpo.batching.filters.DropEqualRewards"))


def test_what_a_module_of_ours_has_imported_is_not_ours() -> None:
    assert is_ours("rsgrpo.batching.filters.DropEqualRewards")
    assert not is_ours("rsgrpo.main.os.system")
    assert not is_ours("rsgrpo.composition.policy.checkpoints.clear")  # a function: no setting names one
    assert not is_ours("rsgrpo.composition.machine.Path")
    assert not is_ours("rsgrpo_of_mine.Reward")


@pytest.mark.parametrize(
    "word",
    [
        "--config-dir=/tmp/conf",
        "--multirun",
        "-cd=/tmp",
        "hydra.run.dir=/tmp/elsewhere",
        "+hydra.callbacks.a._target_=os.system",
        "hydra/launcher=basic",
        "++hydra.searchpath=[/tmp]",
        "~hydra.job",
        "seed=0,1",
        "no setting",
    ],
)
def test_words_that_are_no_settings_of_a_run_are_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(UserError, match=r"overrides\.yaml: .* remove the line") as caught:
        resume(run_with(tmp_path, word))
    assert "\n" not in str(caught.value)


# Pickles


def as_torch_saves_it(trap: Trap, state: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "loops": trap}, state)


def as_the_index_of_shards(trap: Trap, state: Path) -> None:
    whole_shards(state)
    (state / ".metadata").write_bytes(pickle.dumps(trap))


def as_an_object_in_a_shard(trap: Trap, state: Path) -> None:
    whole_shards(state, trap=trap)


def beside_the_shards(trap: Trap, state: Path) -> None:
    whole_shards(state)
    torch.save({"loops": trap}, state / "meta.pt")


def whole_shards(state: Path, **more: object) -> None:
    content = {"weight": torch.zeros(4), "step": torch.tensor(1.0), "learnt": {"p": [0.5, 1.0]}, **more}
    with warnings.catch_warnings(action="ignore"):  # one process, and torch says so
        state_dict_saver.save(content, checkpoint_id=state, no_dist=True)
    torch.save({"loops": {"iteration": 1}}, state / "meta.pt")


@pytest.mark.parametrize(
    "plant",
    [as_torch_saves_it, as_the_index_of_shards, as_an_object_in_a_shard, beside_the_shards],
)
def test_a_pickle_in_a_checkpoint_is_refused_in_a_sentence_and_not_run(
    tmp_path: Path, plant: Callable[[Trap, Path], None]
) -> None:
    victim, state = tmp_path / "victim", tmp_path / run_folder.STATE
    plant(Trap(str(victim)), state)
    with pytest.raises(UserError, match=r"holds more than weights \(.*\), which no run writes .* trust$") as caught:
        check_weights_only(state)
    assert "\n" not in str(caught.value)
    assert not victim.exists()


def test_a_plain_pickle_is_no_checkpoint(tmp_path: Path) -> None:
    victim, state = tmp_path / "victim", tmp_path / run_folder.STATE
    state.write_bytes(pickle.dumps(Trap(str(victim))))
    with pytest.raises(UserError, match=r"is not a checkpoint \(RuntimeError\); name another one with ckpt="):
        check_weights_only(state)
    assert not victim.exists()


def test_a_checkpoint_of_weights_is_read(tmp_path: Path) -> None:
    whole_shards(tmp_path / "shards")
    check_weights_only(tmp_path / "shards")
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, tmp_path / run_folder.STATE)
    check_weights_only(tmp_path / run_folder.STATE)
