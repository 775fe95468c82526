"""`ckpt=auto`: which run it finds, and what it makes of a folder where none can be resumed."""

import os
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from rsgrpo import checkpoints, run_folder
from rsgrpo.command_line.resume import NothingToDo, with_settings_of_run
from rsgrpo.errors import UserError
from tests.run_folders import flip_a_byte, write_checkpoint

GIVEN = ["objective=grpo", "seed=7", "iterations=6"]


def begin(run: Path, *overrides: str, iterations: int = 6, saved: tuple[int, ...] = (), age: int = 0) -> Path:
    """A run folder as a run leaves it when it is killed, `age` seconds ago."""
    run.mkdir(parents=True)
    run_folder.write_json(run / run_folder.RUN, {"format": run_folder.FORMAT})
    (run / run_folder.CONFIG).write_text(f"iterations: {iterations}\n")
    (run / run_folder.OVERRIDES).write_text("".join(f"- {word}\n" for word in overrides or GIVEN))
    for iteration in saved:
        write_checkpoint(run, iteration)
    moment = (run / run_folder.RUN).stat().st_mtime - age
    os.utime(run / run_folder.RUN, (moment, moment))
    return run


def finish(run: Path, iteration: int) -> None:
    run_folder.write_json(run / run_folder.DONE, {"iteration": iteration})


def automatic(*arguments: str) -> dict[str, object]:
    """What Hydra reads after `ckpt=auto` was made out; the last of several values counts."""
    words = with_settings_of_run([*arguments, "ckpt=auto"])
    return {word.get_key_element(): word.value() for word in OverridesParser.create().parse_overrides(words)}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def resumes(read: dict[str, object], run: Path) -> bool:
    return read.get("ckpt") == read.get("hydra.run.dir") == str(run.resolve())


# In a folder that is named


@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_the_run_in_the_folder_is_resumed(elsewhere: Path, capsys: pytest.CaptureFixture[str], quote: str) -> None:
    run = begin(elsewhere / "a run", saved=(2, 4))
    read = automatic(*GIVEN, f"hydra.run.dir={quote}{run}{quote}")
    assert resumes(read, run)
    assert (read["objective"], read["seed"], read["iterations"]) == ("grpo", 7, 6)
    assert capsys.readouterr().err == f"ckpt=auto: resuming {run} from iteration_000004\n"


def test_settings_of_the_run_need_not_be_given_again(elsewhere: Path) -> None:
    run = begin(elsewhere / "run", saved=(2,))
    read = automatic("hydra.run.dir=run", "iterations=9")
    assert resumes(read, run)
    assert (read["objective"], read["seed"], read["iterations"]) == ("grpo", 7, 9)


def test_a_damaged_newest_checkpoint_is_passed_over(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = begin(elsewhere / "run", saved=(2, 4))
    flip_a_byte(run_folder.state_of(run_folder.checkpoint(run, 4)))
    assert resumes(automatic("hydra.run.dir=run"), run)
    assert "from iteration_000002" in capsys.readouterr().err


def test_a_run_whose_checkpoints_are_all_damaged_is_not_thrown_away(elsewhere: Path) -> None:
    run = begin(elsewhere / "run", saved=(2,))
    flip_a_byte(run_folder.state_of(run_folder.checkpoint(run, 2)))
    with pytest.raises(
        UserError, match=r"ckpt=auto: no checkpoint is whole: .*iteration_000002.*another hydra\.run\.d"
    ):
        automatic("hydra.run.dir=run")


def test_a_folder_that_does_not_exist_is_started_in(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_settings_of_run([*GIVEN, "ckpt=auto", "hydra.run.dir=new"]) == [*GIVEN, "hydra.run.dir=new"]
    assert capsys.readouterr().err == f"ckpt=auto: nothing to resume, starting in {elsewhere / 'new'}\n"


def test_a_run_that_saved_nothing_yet_begins_anew_in_its_folder(elsewhere: Path) -> None:
    """The word stays: it says that the task has to clear the folder. All ranks come to this, whenever they ask."""
    run = begin(elsewhere / "run")
    asked = [*GIVEN, "ckpt=auto", "hydra.run.dir=run"]
    anew = with_settings_of_run(asked)
    assert sorted(anew) == sorted(asked)
    assert with_settings_of_run(anew) == anew
    before = sorted(path.name for path in run.iterdir())
    assert before == ["config.yaml", "overrides.yaml", "run.json"]  # nothing was touched
    checkpoints.clear(run)
    assert list(run.iterdir()) == []


def test_a_folder_of_something_else_is_left_to_the_check_of_the_run_folder(elsewhere: Path) -> None:
    (elsewhere / "thesis").mkdir()
    (elsewhere / "thesis" / "chapter.tex").touch()
    assert "ckpt=auto" not in with_settings_of_run(["ckpt=auto", "hydra.run.dir=thesis"])


@pytest.mark.parametrize("given", [[], ["iterations=6"], ["iterations=4"]])
def test_a_finished_run_is_said_to_be_finished(elsewhere: Path, given: list[str]) -> None:
    finish(begin(elsewhere / "run", saved=(6,)), 6)
    with pytest.raises(NothingToDo, match=r"has finished 6 iterations already; extend it with iterations=12"):
        automatic("hydra.run.dir=run", *given)


def test_a_finished_run_is_extended(elsewhere: Path) -> None:
    run = begin(elsewhere / "run", saved=(6,))
    finish(run, 6)
    read = automatic("hydra.run.dir=run", "iterations=12")
    assert resumes(read, run)
    assert read["iterations"] == 12


def test_a_finished_run_without_a_checkpoint_is_not_thrown_away(elsewhere: Path) -> None:
    finish(begin(elsewhere / "run"), 6)
    with pytest.raises(UserError, match="kept no checkpoint to extend it from"):
        automatic("hydra.run.dir=run", "iterations=12")


def test_a_folder_whose_name_is_not_known_yet_is_refused() -> None:
    with pytest.raises(UserError, match=r"hydra\.run\.dir=.*write out its name"):
        with_settings_of_run(["ckpt=auto", "hydra.run.dir=runs/${now:%H}"])


# Among the runs under outputs/


def test_without_any_run_a_new_one_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert with_settings_of_run([*GIVEN, "ckpt=auto"]) == GIVEN
    assert capsys.readouterr().err == "ckpt=auto: nothing to resume, starting a new run\n"


def test_the_newest_unfinished_run_with_the_same_overrides_is_resumed(elsewhere: Path) -> None:
    outputs = elsewhere / "outputs"
    begin(outputs / "oldest", saved=(4,), age=500)
    wanted = begin(outputs / "right", saved=(2,), age=400)
    finish(begin(outputs / "finished", saved=(6,), age=300), 6)
    begin(outputs / "other seed", "objective=grpo", "seed=8", "iterations=6", saved=(2,), age=200)
    begin(outputs / "fewer words", "seed=7", "iterations=6", saved=(2,), age=150)
    begin(outputs / "nothing saved", age=100)
    assert resumes(automatic(*GIVEN), wanted)


def test_a_job_of_a_sweep_is_found_too(elsewhere: Path) -> None:
    run = begin(elsewhere / "outputs" / "sweep" / "0_grpo", saved=(2,))
    assert resumes(automatic(*GIVEN), run)


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(["iterations=12", "seed=7", "objective=grpo"], id="order and iterations"),
        pytest.param([*GIVEN, "callbacks=none", "trainer.threads=2"], id="what may change"),
        pytest.param(["objective='grpo'", "seed=7", "iterations=6"], id="quotes"),
        pytest.param([*GIVEN[:1], "seed=3", *GIVEN[1:]], id="the last of two counts"),
    ],
)
def test_the_same_run_is_recognised(elsewhere: Path, now: list[str]) -> None:
    run = begin(elsewhere / "outputs" / "run", *GIVEN, "ckpt=auto", "callbacks.timing=null", saved=(2,))
    assert resumes(automatic(*now), run)


@pytest.mark.parametrize(
    "now",
    [
        pytest.param([*GIVEN, "loss.clip_high=0.3"], id="one more"),
        pytest.param([*GIVEN, "~logging"], id="something taken away"),
        pytest.param([*GIVEN, "rollout=vllm"], id="another engine"),
        pytest.param([*GIVEN, "+dataset@data.tests.a=aime24"], id="another place"),
        pytest.param(["objective=rs_grpo", "seed=7"], id="another choice"),
    ],
)
def test_another_run_is_started_anew(elsewhere: Path, now: list[str]) -> None:
    begin(elsewhere / "outputs" / "run", *GIVEN, "+dataset@data.tests.b=aime24", saved=(2,))
    begin(elsewhere / "outputs" / "second", saved=(2,))
    assert with_settings_of_run([*now, "ckpt=auto"]) == now


def test_a_run_under_outputs_without_a_whole_checkpoint_is_left_alone(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begin(elsewhere / "outputs" / "run", saved=(2,))
    flip_a_byte(run_folder.state_of(run_folder.checkpoint(run, 2)))
    assert with_settings_of_run([*GIVEN, "ckpt=auto"]) == GIVEN
    assert "iteration_000002 is damaged" in capsys.readouterr().err
    assert run_folder.checkpoints(run) != []


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_each_job_of_a_sweep_finds_its_own(elsewhere: Path, flag: str) -> None:
    """The word stays for the jobs, whatever is there."""
    begin(elsewhere / "outputs" / "run", "seed=0", saved=(2,))
    asked = ["ckpt=auto", "seed=0,1", flag]
    assert with_settings_of_run(asked) == asked


def test_a_finished_run_with_the_same_overrides_leaves_nothing_to_do(elsewhere: Path) -> None:
    run = begin(elsewhere / "outputs" / "run", saved=(6,))
    finish(run, 6)
    with pytest.raises(NothingToDo, match=r"nothing to do: .*run has finished 6 iterations already"):
        with_settings_of_run([*GIVEN, "ckpt=auto"])
    assert resumes(automatic(*GIVEN[:2], "iterations=12"), run)


def test_a_damaged_folder_beside_it_does_not_stop_a_run(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = begin(elsewhere / "outputs" / "right", saved=(2,), age=400)
    (begin(elsewhere / "outputs" / "broken", saved=(2,)) / run_folder.OVERRIDES).write_bytes(b"\xff\0")
    assert resumes(automatic(*GIVEN), wanted)
    assert "overrides.yaml is damaged: byte 1 is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "speaks"),
    [
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "1", "LOCAL_RANK": "1"}, False),
        ({"RANK": "8", "LOCAL_RANK": "0"}, False),
        ({"LOCAL_RANK": "1"}, False),
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_one_rank_speaks_for_all(
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
    speaks: bool,
) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run = begin(elsewhere / "run", saved=(2,))
    assert resumes(automatic("hydra.run.dir=run"), run)
    assert bool(capsys.readouterr().err) == speaks


# A run that is named


def test_the_best_checkpoint_stands_for_its_run(elsewhere: Path) -> None:
    run = begin(elsewhere / "run", saved=(2, 4))
    checkpoints.mark_best(run, 2, "eval/validation/pass@1", 0.5)
    words = with_settings_of_run(["ckpt=run/checkpoints/best"])
    assert words[-2:] == ['ckpt="run/checkpoints/best"', f'hydra.run.dir="{run}"']


def test_a_damaged_checkpoint_that_is_named_is_refused_before_hydra_starts(elsewhere: Path) -> None:
    run = begin(elsewhere / "run", saved=(2, 4))
    os.truncate(run_folder.state_of(run_folder.checkpoint(run, 4)), 10)
    with pytest.raises(UserError, match=r"has 10 bytes instead of .*newest whole one with ckpt=.*iteration_000002"):
        with_settings_of_run(["ckpt=run/checkpoints/iteration_000004"])
