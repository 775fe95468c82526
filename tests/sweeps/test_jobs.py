"""The jobs of a sweep are those that Hydra would start, and are composed as Hydra would compose them."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.command_line.arguments import CommandLine, read_command_line
from rsgrpo.command_line.own_names import CONF
from rsgrpo.errors import UserError
from rsgrpo.sweeps.jobs import Composer, Job, jobs_of

OF_A_SWEEP = ("hydra.mode", "hydra.job.num", "hydra.job.id")
"""What a job knows beside what it would be composed of alone."""


def line(*words: str) -> CommandLine:
    return read_command_line(["-m", *words], CONF)


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {key: value for k, v in tree.items() for key, value in flat(v, f"{prefix}.{k}" if prefix else k).items()}


def settings(cfg: DictConfig) -> dict[str, Any]:
    found = flat(OmegaConf.to_container(cfg, resolve=False))
    return {key: value for key, value in found.items() if key not in OF_A_SWEEP}


@pytest.mark.parametrize(
    "words",
    [
        ["seed=0,1,2", "objective=grpo,rs_grpo"],
        ["objective=grpo", "seed=range(1,4)", "optimizer.lr=1e-4"],
        ["objective.beta=choice(2,4)", "data.suffix='a, b'"],
        ["+term/kl=k2,k3"],
        ["seed=3", "optimizer.lr=1e-3", "~callbacks.timing", "callbacks.checkpoint.every=${iterations}"],
        ["++mine.a=1,2", "++mine.a=3"],
        ["batching={prompts_per_iteration:8}", "eval.k=[1,4],[1,8]"],
    ],
)
def test_the_jobs_are_those_of_hydra_in_its_order(words: list[str]) -> None:
    """To the letter: folders are named after their words."""
    typed = line(*words)
    parsed = OverridesParser.create().parse_overrides([str(o.input_line) for o in typed.overrides])
    (theirs,) = BasicSweeper.split_arguments(parsed, None)
    ours = jobs_of(typed)
    assert [list(job.words) for job in ours] == [list(map(run_folder.as_typed, job)) for job in theirs]
    assert [job.number for job in ours] == list(range(len(theirs)))


def test_a_job_is_called_by_what_is_its_own() -> None:
    jobs = jobs_of(line("objective=grpo", "seed=0,1", "hydra.sweep.dir=x"))
    assert [str(job) for job in jobs] == ["job 0: seed=0", "job 1: seed=1"]
    assert [job.words for job in jobs] == [("objective=grpo", "seed=0"), ("objective=grpo", "seed=1")]


def test_a_pattern_stands_for_the_choices_of_its_group() -> None:
    jobs = jobs_of(line("loss=glob(c*)"))
    assert [job.swept for job in jobs] == [("loss=cispo",), ("loss=clip",), ("loss=custom",)]


def test_an_interval_is_no_list() -> None:
    with pytest.raises(UserError, match=r"^optimizer\.lr=interval\(0,1\): an interval has no values"):
        jobs_of(line("optimizer.lr=interval(0,1)"))


def test_patterns_do_not_hide_that_there_are_too_many_jobs() -> None:
    with pytest.raises(UserError, match="more jobs than the 1,000"):
        jobs_of(line("seed=range(0,500)", "loss=glob(*)"))


@pytest.mark.parametrize(
    "words",
    [
        ["seed=0,1", "objective=grpo,rs_grpo", "optimizer.lr=1e-3,2e-3"],
        ["+term/kl=k3", "term.kl.coefficient=.1,.2", "~callbacks.timing"],
        ["arm=grpo_std,rs_grpo_4", "seed=0,1"],
        ["model=tiny,qwen3_4b", "iterations=3", "callbacks.checkpoint.every=${iterations}"],
        ["experiment=smoke", "seed=1,2", "+mine.key=1", "callbacks.checkpoint.every=${mine.key}"],
        ["+dataset@data.tests.aime24=aime24", "data=math12k", "seed=1,2"],
    ],
)
def test_a_job_is_composed_as_hydra_composes_it(words: list[str]) -> None:
    typed = line(*words)
    composer = Composer(typed)
    for job in jobs_of(typed):
        ours = composer.configuration(job)
        with initialize_config_dir(str(CONF), version_base="1.3"):
            theirs = compose("config", list(job.words), return_hydra_config=True)
        assert settings(ours) == settings(theirs)
        assert ours.hydra.job.num == job.number


def test_files_are_read_once_for_each_choice() -> None:
    typed = line("objective=grpo,rs_grpo", "seed=range(0,5)")
    composer = Composer(typed)
    found = [composer.configuration(job) for job in jobs_of(typed)]
    assert [cfg.seed for cfg in found] == [*range(5), *range(5)]
    assert len(composer.composed) == 2


def test_groups_of_ones_own_are_found(tmp_path: Path) -> None:
    for name, beta in (("low", 1), ("high", 8)):
        (tmp_path / "mine" / "strength").mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / "strength" / f"{name}.yaml").write_text(
            f"# @package _global_\nobjective:\n  beta: {beta}\n", encoding="utf-8"
        )
    typed = read_command_line(["-m", "+strength=low,high", "seed=0,1", f"--config-dir={tmp_path / 'mine'}"], CONF)
    composer = Composer(typed)
    assert [composer.configuration(job).objective.beta for job in jobs_of(typed)] == [1, 1, 8, 8]


def test_a_key_that_does_not_exist_is_hydras_to_refuse() -> None:
    job = Job(number=0, words=("objective.betta=4",), swept=())
    with pytest.raises(HydraException, match="betta"):
        Composer(line("seed=0")).configuration(job)
