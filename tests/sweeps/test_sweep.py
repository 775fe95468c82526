"""What a sweep is prepared to do: begin, go on, or leave what is finished; and where."""

from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rsgrpo import run_folder
from rsgrpo.command_line.arguments import read_command_line
from rsgrpo.command_line.own_names import CONF
from rsgrpo.command_line.quoting import quoted
from rsgrpo.command_line.sweep import Sweep
from rsgrpo.errors import UserError
from rsgrpo.sweeps.launchers import Launching
from rsgrpo.sweeps.prepared import Prepared, prepare, write_plan
from rsgrpo.sweeps.records import JOBS, hold, read_record, write_record
from rsgrpo.sweeps.sweep import run_beside, take_up
from tests.run_folders import write_checkpoint


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepared(*words: str) -> Prepared:
    found = prepare(read_command_line(["-m", *words], CONF))
    assert found is not None
    return found


def ran(sweep: Prepared, number: int, *, saved: int | None = None, done: bool = False) -> Path:
    """Job `number` of a sweep has begun: what it left."""
    job, run = sweep.jobs[number], sweep.runs[number]
    run.mkdir(parents=True)
    run_folder.write_json(run / run_folder.RUN, {"format": 2, "config_hash": job.config_hash})
    if saved is not None:
        write_checkpoint(run, saved)
    if done:
        run_folder.write_json(run / run_folder.DONE, {"iteration": job.iterations})
    return run


def test_the_same_command_goes_on_in_the_folder_of_its_sweep(here: Path) -> None:
    first = prepared("seed=0,1,2,3")
    assert (first.finished, first.resumes) == ([], False)
    write_plan(first, None)
    finished, half, crashed = (
        ran(first, 0, saved=60, done=True),
        ran(first, 1, saved=20),
        ran(first, 2),
    )
    second = prepared("seed=0,1,2,3", "ckpt=auto")
    assert second.folder == first.folder
    assert second.finished == [0]
    assert second.runs == [finished, half, crashed, first.folder / "3_rs_grpo_seed3"]
    assert [begun and begun.checkpoint and begun.checkpoint.name for begun in second.begun] == [
        None,
        "iteration_000020",
        None,
        None,
    ]


def test_a_damaged_sweep_keeps_no_other_from_its_work(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = prepared("seed=0,1", "hydra.sweep.dir=outputs/first")
    write_plan(first, None)
    (here / "outputs" / "damaged").mkdir()
    (here / "outputs" / "damaged" / run_folder.SWEEP).write_bytes(b"\xff")
    assert prepared("seed=0,1", "ckpt=auto").folder == first.folder
    assert "damaged/sweep.json is damaged" in capsys.readouterr().err


def test_more_jobs_have_a_folder_of_their_own_and_know_what_is_done(here: Path) -> None:
    first = prepared("seed=0,1", "hydra.sweep.dir=outputs/first")
    write_plan(first, None)
    runs = [ran(first, 0, saved=60, done=True), ran(first, 1, saved=20)]
    more = prepared("objective.beta=2,4", "seed=0,1", "ckpt=auto")
    assert more.folder != first.folder
    assert more.runs[:2] == runs
    assert more.finished == [0]
    assert {run.parent for run in more.runs[2:]} == {more.folder}


def test_a_folder_that_is_named_is_taken(here: Path) -> None:
    first = prepared("seed=0,1", "hydra.sweep.dir=/" + str(here / "elsewhere").lstrip("/"))
    write_plan(first, None)
    ran(first, 0, saved=60, done=True)
    again = prepared("seed=0,1", "ckpt=auto", f"hydra.sweep.dir={here / 'elsewhere'}")
    assert (again.folder, again.finished) == (here / "elsewhere", [0])


def test_a_sweep_with_nothing_left_starts_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = prepared("seed=0,1")
    write_plan(first, None)
    for number in range(2):
        ran(first, number, saved=60, done=True)
    joblib = Launching(name="joblib", words=(), settings=OmegaConf.create({"_target_": "JoblibLauncher"}))
    state = Sweep()
    run_beside(replace(prepared("seed=0,1", "ckpt=auto"), launching=joblib), state)
    assert (state.jobs, state.failed) == (2, [])
    assert capsys.readouterr().err.splitlines() == [f"ckpt=auto: finished before: {run}" for run in first.runs]
    assert not (first.folder / JOBS).exists()


def test_no_two_jobs_go_on_with_one_run(here: Path) -> None:
    first = prepared("seed=0", "hydra.sweep.dir=outputs/first")
    write_plan(first, None)
    run = ran(first, 0, saved=20)
    twice = prepared("seed=0,0", "ckpt=auto", "hydra.sweep.dir=outputs/second")
    assert twice.runs == [run, here / "outputs" / "second" / "1_rs_grpo_seed0"]


def test_a_task_that_trains_nothing_is_done_anew(here: Path) -> None:
    first = prepared("task=audit", "objective.beta=2,4", "hydra.sweep.dir=outputs/first")
    write_plan(first, None)
    again = prepared("task=audit", "objective.beta=2,4", "ckpt=auto")
    assert again.folder != first.folder
    assert again.finished == []


def test_nothing_is_written_by_a_sweep_that_is_refused(here: Path) -> None:
    with pytest.raises(UserError, match=r"\(job 1: objective\.beta=abc; no job was started\)"):
        prepared("objective.beta=2,abc")
    assert list(here.iterdir()) == []


def test_a_sweeper_that_makes_up_its_jobs_is_left_to_hydra() -> None:
    assert prepare(read_command_line(["-m", "seed=0,1", "hydra.sweeper.max_batch_size=1"], CONF)) is None


def test_the_plan_says_what_a_job_is_started_with(here: Path) -> None:
    sweep = prepared("seed=0,1", "objective=grpo", "ckpt=auto", "trainer.threads=2", "iterations=9")
    plan = write_plan(sweep, ["0", "1"])
    assert plan == run_folder.read_json(sweep.folder / run_folder.SWEEP)
    assert plan["jobs"][1] == {
        "number": 1,
        "words": ["seed=1", "objective=grpo", "trainer.threads=2", "iterations=9"],
        "run": str(sweep.folder / "1_grpo_iterations9_trainer.threads2_seed1"),
        "config_hash": sweep.jobs[1].config_hash,
        "iterations": 9,
        "threads": 2,
    }
    known = {"places": ["0", "1"], "resumes": True, "flags": [], "directory": str(here), "ends_with": None}
    assert {name: plan[name] for name in known} == known


def test_two_sweeps_of_one_second_do_not_share_a_folder(here: Path) -> None:
    sweep = prepared("seed=0")
    write_plan(sweep, None)
    with pytest.raises(UserError, match="was taken by another sweep; start again"):
        write_plan(sweep, None)


def test_jobs_that_run_are_not_started_again(here: Path) -> None:
    (here / "jobs").mkdir()
    write_record(here, 0, {"job": 0, "started": 1.0, "ended": 2.0, "code": 1})
    write_record(here, 1, {"job": 1, "started": 1.0, "pid": 17, "host": "node7"})
    with pytest.raises(UserError, match=r"^job 1 is running already, in .*/b \(process 17 on node7\); wait"):
        take_up(here, {0: here / "a", 1: here / "b"})
    assert read_record(here, 0) is not None
    take_up(here, {0: here / "a"})
    assert read_record(here, 0) is None


def test_nor_those_of_another_sweep(here: Path) -> None:
    (here / "a").mkdir()
    with (here / "a" / run_folder.OUTPUT).open("wb") as output:
        assert hold(output.fileno())
        with pytest.raises(UserError, match=r"^job 0 is running already, in .*/a; wait for it, or stop it$"):
            take_up(here / "sweep", {0: here / "a"})
    take_up(here / "sweep", {0: here / "a"})


@pytest.mark.parametrize("name", ["plain", "a b", 'with "quotes"', "back\\slash", "ends\\", '\\"', "$x,y=z", "ümlaut"])
def test_any_name_of_a_folder_reaches_hydra(name: str, here: Path) -> None:
    sweep = prepared("seed=0", f"hydra.sweep.dir={quoted(str(here / name))}")
    assert sweep.folder == here / name
    read = read_command_line(sweep.words, CONF)
    assert prepare(read).folder == here / name  # pyright: ignore[reportOptionalMemberAccess]
