"""`launcher=`: one word, what it needs, and how many jobs run at once on which GPUs."""

from pathlib import Path
from typing import Any

import pytest

from rsgrpo.command_line.arguments import read_command_line
from rsgrpo.command_line.own_names import CONF
from rsgrpo.errors import UserError
from rsgrpo.sweeps import launchers
from rsgrpo.sweeps.checks import Checked
from rsgrpo.sweeps.jobs import Job
from rsgrpo.sweeps.launchers import PACKAGES, Launching, Machine, launching_of, places, room_for, words_of_hydra
from tests.sweeps.packages import installed, launchers_are_here  # noqa: F401  (a fixture)

FOUR = Machine(cores=8, gpus=("0", "1", "2", "3"))


def job(*, gpus: int | None = 0, cores: int = 1) -> Checked:
    return Checked(
        job=Job(number=0, words=(), swept=()),
        folder=Path("sweep/0"),
        sweep=Path("sweep"),
        trains=True,
        iterations=1,
        config_hash="",
        settings={},
        threads=1,
        cores=cores,
        gpus=gpus,
    )


@pytest.fixture(autouse=True)
def slurm_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")


def launching(*words: str) -> Launching:
    found = launching_of(read_command_line(["-m", "seed=0,1", *words], CONF))
    assert found is not None
    return found


def room(monkeypatch: pytest.MonkeyPatch, found: Launching, jobs: list[Checked], machine: Machine = FOUR) -> Any:
    monkeypatch.setattr(launchers, "this_machine", lambda: machine)
    return room_for(found, jobs)


@pytest.mark.parametrize("words", [[], ["hydra/launcher=basic"]])
def test_without_a_launcher_jobs_take_turns(words: list[str]) -> None:
    assert launching_of(read_command_line(["-m", "seed=0,1", *words], CONF)) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["launcher=joblib"], r"^launcher=joblib: it starts the jobs of a sweep, which needs -m; leave it out$"),
        (["launcher.n_jobs=2"], r"^launcher\.n_jobs=2: it starts .* needs -m"),
        (["-m", "launcher=slurm"], r"^launcher=slurm: no such choice.*; launcher is one of joblib, ray, submitit"),
        (["-m", "launcher=job_lib"], r"did you mean joblib\?"),
        (["-m", "launcher=joblib,ray"], r"^launcher=joblib,ray: a sweep has one launcher; "),
        (["-m", "~launcher"], r"^~launcher: a sweep has one launcher"),
        (["-m", "launcher=null"], r"^launcher=null: no such choice"),
    ],
)
def test_a_word_that_is_no_launcher_is_named_with_the_cure(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_command_line([*words, "seed=0"], CONF)


def test_settings_of_no_launcher_are_named() -> None:
    with pytest.raises(UserError, match=r"^launcher\.n_jobs=2: there is no launcher; choose one as well"):
        launching_of(read_command_line(["-m", "launcher.n_jobs=2"], CONF))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_launcher_that_is_not_installed_is_named_with_the_cure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchers, "_is_there", lambda module: False)
    extra, _ = PACKAGES[name]
    said = rf"^launcher={name} needs the package {extra}, which is not installed: pip install 'rsgrpo\[{extra}\]'$"
    with pytest.raises(UserError, match=said):
        launching(f"launcher={name}")
    monkeypatch.setattr(launchers, "_is_there", lambda module: module == extra)
    with pytest.raises(UserError, match=rf"needs the package hydra-{extra}-launcher, which"):
        launching(f"launcher={name}")


def test_every_launcher_says_what_it_needs() -> None:
    assert {file.stem for file in (CONF / "launcher").glob("*.yaml")} == PACKAGES.keys()


def test_a_launcher_has_its_own_name_for_hydras_own_sweepers() -> None:
    line = read_command_line(["-m", "launcher=submitit", "launcher.partition=gpu", "+launcher.x=1"], CONF)
    said = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "+hydra.launcher.x=1"]
    assert words_of_hydra(line) == said
    assert line.words == ["--multirun"]


def test_a_machine_without_gpus_has_a_place_for_each_core() -> None:
    machine = Machine(cores=6, gpus=())
    assert places(wanted=None, cores=1, gpus=0, machine=machine) == [None] * 6
    assert places(wanted=None, cores=4, gpus=None, machine=machine) == [None]
    assert places(wanted=2, cores=4, gpus=0, machine=machine) == [None] * 2
    assert places(wanted=None, cores=8, gpus=0, machine=machine) == [None]


@pytest.mark.parametrize(
    ("wanted", "gpus", "found"),
    [
        (None, 1, ["0", "1", "2", "3"]),
        (None, 2, ["0,1", "2,3"]),
        (None, 3, ["0,1,2"]),
        (None, None, ["0,1,2,3"]),
        (2, 1, ["0", "1"]),
        (6, 1, ["0", "1", "2", "3", "0", "1"]),
    ],
)
def test_each_job_gets_gpus_of_its_own(wanted: int | None, gpus: int | None, found: list[str]) -> None:
    assert places(wanted=wanted, cores=1, gpus=gpus, machine=FOUR) == found


def test_more_gpus_than_there_are_is_a_mistake() -> None:
    with pytest.raises(UserError, match=r"^trainer\.devices=8 is more than the 4 GPUs"):
        places(wanted=None, cores=1, gpus=8, machine=FOUR)


@installed
@pytest.mark.parametrize(
    ("words", "here", "kind"),
    [
        (["launcher=joblib"], True, "JoblibLauncher"),
        (["launcher='joblib'"], True, "JoblibLauncher"),
        (["hydra/launcher=joblib"], True, "JoblibLauncher"),
        (["launcher=submitit_local"], True, "LocalLauncher"),
        (["launcher=submitit"], False, "SlurmLauncher"),
        (["launcher=ray"], True, "RayLauncher"),
        (["launcher=ray", "launcher.ray.init.address=auto"], False, "RayLauncher"),
    ],
)
def test_one_word_is_one_launcher_of_hydras(words: list[str], here: bool, kind: str) -> None:
    found = launching(*words)
    assert (found.here, found.kind) == (here, kind)


@installed
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["launcher=joblib", "launcher.jobs=2"], r"^launcher\.jobs: the launcher has no such key; it has .*n_jobs"),
        (["launcher=submitit", "launcher.n_jobs=2"], r"^launcher\.n_jobs: .*it has .*partition"),
        (["launcher=ray", "launcher.ray.num_cpus=2"], r"^launcher\.ray\.num_cpus: "),
        (["launcher=joblib", "launcher.n_jobs=many"], r"launcher\.n_jobs=many: this key takes no such value"),
    ],
)
def test_a_setting_that_a_launcher_lacks_is_named(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        launching(*words)


@installed
def test_joblib_runs_as_many_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job()] * 20
    assert room(monkeypatch, launching("launcher=joblib"), jobs) == (
        ["hydra.launcher.n_jobs=8", "hydra.launcher.batch_size=1"],
        [None] * 8,
    )
    assert room(monkeypatch, launching("launcher=joblib", "launcher.n_jobs=3"), jobs)[1] == [None] * 3
    assert room(monkeypatch, launching("launcher=joblib", "launcher.n_jobs=-2"), jobs)[1] == [None] * 7
    with pytest.raises(UserError, match=r"^launcher\.n_jobs=0: no job would ever run"):
        room(monkeypatch, launching("launcher=joblib", "launcher.n_jobs=0"), jobs)
    assert room(monkeypatch, launching("launcher=joblib"), jobs[:2])[1] == [None] * 2
    assert room(monkeypatch, launching("launcher=joblib"), [job(cores=3)] * 20)[1] == [None] * 2
    assert room(monkeypatch, launching("launcher=joblib"), [job(), job(gpus=1)] * 3)[1] == ["0", "1", "2", "3"]


@installed
def test_ray_is_told_how_much_room_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job(gpus=2)] * 20
    words, found = room(monkeypatch, launching("launcher=ray"), jobs)
    assert (words, found) == (["++hydra.launcher.ray.init.num_cpus=2"], ["0,1", "2,3"])
    words, found = room(monkeypatch, launching("launcher=ray", "launcher.ray.init.address=auto"), jobs)
    assert (words, found) == (["+hydra.launcher.ray.remote.num_gpus=2"], None)


@installed
def test_slurm_is_asked_for_what_a_job_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = launching("launcher=submitit")
    wanted = ["hydra.launcher.gpus_per_node=2", "hydra.launcher.cpus_per_task=4"]
    assert room(monkeypatch, slurm, [job(gpus=2, cores=4)]) == (wanted, None)
    assert room(monkeypatch, slurm, [job()]) == ([], None)
    of_ones_own = launching("launcher=submitit", "launcher.gpus_per_node=8", "launcher.cpus_per_task=16")
    assert room(monkeypatch, of_ones_own, [job(gpus=None, cores=4)]) == ([], None)
    with pytest.raises(UserError, match=r"^launcher\.gpus_per_node is not set, and trainer\.devices=auto"):
        room(monkeypatch, slurm, [job(gpus=None)])


@installed
def test_a_machine_without_slurm_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match=r"^launcher=submitit needs Slurm, and there is no sbatch"):
        launching("launcher=submitit")
    assert launching("launcher=submitit_local").here


@installed
def test_settings_of_a_cluster_may_be_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "launcher").mkdir()
    (tmp_path / "launcher" / "ours.yaml").write_text(
        "# @package _global_\ndefaults:\n  - submitit\nhydra:\n  launcher:\n    partition: big\n", encoding="utf-8"
    )
    line = read_command_line(["-m", "launcher=ours", f"--config-dir={tmp_path}", "seed=0,1"], CONF)
    found = launching_of(line)
    assert found is not None
    assert (found.settings.partition, found.settings.timeout_min, found.here) == ("big", 1440, False)


def test_gpus_are_those_that_the_process_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert launchers.this_machine().gpus == ("0", "1", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-a1")
    assert launchers.this_machine().gpus == ("4", "GPU-a1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert launchers.this_machine().gpus == ()
