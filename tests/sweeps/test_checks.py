"""Every job is checked before the first begins, and the first that a run would refuse is named with its cure."""

from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from rsgrpo.command_line.arguments import read_command_line
from rsgrpo.command_line.own_names import CONF
from rsgrpo.errors import UserError
from rsgrpo.sweeps import checks
from rsgrpo.sweeps.checks import Checked, checked
from rsgrpo.sweeps.jobs import jobs_of


def of(*words: str, here: bool = True) -> list[Checked]:
    line = read_command_line(["-m", *words], CONF)
    return checked(line, jobs_of(line), here=here)


def test_a_job_has_its_folder_and_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = of("objective=grpo,rs_grpo", "seed=0,1", "iterations=7", "hydra.sweep.dir=mine")
    assert {job.sweep for job in jobs} == {tmp_path / "mine"}
    names = ["0_grpo_iterations7_seed0", "1_grpo_iterations7_seed1", "2_rs_grpo_iterations7_seed0"]
    assert [job.folder.name for job in jobs[:3]] == names
    assert len({job.config_hash for job in jobs}) == 4
    assert [(job.trains, job.iterations, job.gpus, job.cores) for job in jobs] == [(True, 7, 0, 1)] * 4
    assert list(tmp_path.iterdir()) == []
    assert not HydraConfig.initialized()
    assert jobs[0].moved(tmp_path / "other").folder == tmp_path / "other" / names[0]


def test_a_name_may_have_the_number_of_the_job() -> None:
    jobs = of("seed=3,4", "hydra.sweep.subdir=job_${hydra.job.num}_${seed}")
    assert [job.folder.name for job in jobs] == ["job_0_3", "job_1_4"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(
            ["objective.beta=2,abc", "seed=0,1"],
            r"^objective\.beta=abc .*\(job 2: objective\.beta=abc seed=0; no job was started\)$",
            id="value of one job",
        ),
        pytest.param(
            ["objective=rs_grpo,grpo", "objective.beta=4"],
            r"^objective\.beta: objective=entropic and .* remove it \(job 1: objective=grpo; no job was started\)$",
            id="combination that does not compose",
        ),
        pytest.param(
            ["objective=grpo,maxpo", "batching.completions_per_prompt=8,4"],
            r"objective\.k=.*\(job 3: objective=maxpo batching\.completions_per_prompt=4; no job",
            id="combination that a recipe refuses",
        ),
        pytest.param(["seed=0,-1"], r"^seed=-1 .*\(job 1: seed=-1;", id="seed"),
        pytest.param(["sampling.top_p=1,.9"], r"sampling\.top_p=0\.9 .*\(job 1: ", id="parts that contradict"),
        pytest.param(["rollout.max_rows=8,0"], r"rollout\.max_rows=0.*job 1: ", id="engine"),
        pytest.param(["callbacks.checkpoint.every=1,0"], r"checkpoint\.every=0.*job 1: ", id="callback"),
        pytest.param(["model.lora.alpha=8,16"], r"model\.lora\.alpha=8: .*job 0: ", id="policy"),
        pytest.param(
            ["eval.temperature=null,.5"], r"eval\.temperature=0\.5 is for task=evaluate.*job 1", id="evaluation"
        ),
        pytest.param(["trainer.devices=1,2"], r"trainer\.devices=2: this trainer has one process.*job 1", id="devices"),
        pytest.param(["seed=0,${nope}"], r"seed=\$\{nope\}.*leads nowhere.*job 1: ", id="reference"),
        pytest.param(["+mine=1,2"], r"^mine: nothing reads this key.*job 0: ", id="unread"),
        pytest.param(["trainer=cpu,gpu"], r"^trainer=gpu: this machine has no usable.*job 1: t", id="machine"),
        pytest.param(["model.path=/no/where,null"], r"^model\.path=/no/where is not.*job 0: ", id="weights"),
        pytest.param(["objective.beta=abc"], r"^objective\.beta=abc [^(]*$", id="a single job needs no name"),
    ],
)
def test_the_first_that_is_refused_is_named(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, as_users_run_it: None
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=said):
        of(*words)


def test_what_another_machine_has_is_not_missed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's nodes have GPUs, and weights that the machine lacks from which jobs are submitted."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    jobs = of("trainer=gpu", "model.path=/no/where", "seed=0,1", here=False)
    assert [job.gpus for job in jobs] == [1, 1]
    with pytest.raises(UserError, match="no usable NVIDIA GPU"):
        of("trainer=gpu", "seed=0,1", here=True)


def test_seeds_are_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    build = checks.build_recipe
    monkeypatch.setattr(checks, "build_recipe", lambda cfg: built.append(cfg.objective._target_) or build(cfg))
    of("objective=grpo,rs_grpo", "seed=0,1,2")
    assert len(built) == 2


@pytest.mark.parametrize(
    ("words", "gpus", "cores"),
    [
        (["trainer=cpu", "trainer.threads=4"], 0, 4),
        (["trainer=gpu"], 1, 1),
        (["trainer=fsdp2"], None, 1),
        (["trainer=fsdp2", "trainer.devices=2", "trainer.threads=2"], 2, 4),
    ],
)
def test_a_job_says_what_it_computes_with(words: list[str], gpus: int | None, cores: int) -> None:
    (job,) = of(*words, here=False)
    assert (job.gpus, job.cores) == (gpus, cores)


def test_a_task_that_explains_settings_does_not_judge_them() -> None:
    (job,) = of("task=explain", "trainer.threads=many", "seed=-1")
    assert (job.cores, job.gpus) == (1, 0)


def test_another_task_is_composed_and_trains_nothing() -> None:
    jobs = of("task=audit", "objective.beta=2,4")
    assert [job.trains for job in jobs] == [False, False]
