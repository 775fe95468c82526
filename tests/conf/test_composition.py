"""Every choice of every group composes and builds its object, the models carry the paper's numbers, and a yaml and its
class cannot drift apart."""

import copy
import csv
import functools
import inspect
import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.utils import get_class, get_method, get_object, instantiate
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from rsgrpo.bench.cells import BenchSettings
from rsgrpo.composition.asking import OF_PROMPTS, build_source
from rsgrpo.composition.build import build, build_as
from rsgrpo.composition.callbacks import build_callbacks
from rsgrpo.composition.recipe import RECIPE_GROUPS, build_recipe
from rsgrpo.composition.reward import build_reward, in_place_of
from rsgrpo.composition.trainer import OURS, build_sharding
from rsgrpo.data.maths import Maths
from rsgrpo.distributed.sharding import Sharding
from rsgrpo.errors import UserError
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.models.policy import Policy
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.rollouts.engine import RolloutEngine

CONF = Path(__file__).parents[2] / "conf"
PAPER_NUMBERS = CONF.parent / "src/rsgrpo/comparison/paper_numbers.csv"

SHARED_PARTS = ("model/base", "data/base", "experiment/base", "bench/base", "dataset", "launcher")
"""What choices are made of, and what starts the jobs of a sweep: no choices of a run."""


def _choice_of(file: Path) -> tuple[str, str]:
    """(group, choice): `term/kl` is a group, `paper/qwen3_4b` a choice."""
    name = file.relative_to(CONF).with_suffix("").as_posix()
    group, choice = name.rsplit("/", 1) if name.startswith("term/") else name.split("/", 1)
    return group, choice


CHOICES = sorted(
    _choice_of(file)
    for file in CONF.glob("*/**/*.yaml")
    if file.parent.relative_to(CONF).as_posix() not in SHARED_PARTS
)

NEEDS = {
    ("objective", "custom"): ["objective._target_=rsgrpo.objectives.grpo.GRPO"],
    ("data", "local"): ["data.path=problems.jsonl"],
    ("data", "reasoning_gym"): ["data.task=countdown"],
    ("loss", "custom"): ["loss._target_=rsgrpo.losses.clip.ClipLoss"],
    ("correction", "custom"): ["correction._target_=rsgrpo.corrections.automatic.NoCorrection"],
    ("shaping", "custom"): ["shaping._target_=rsgrpo.shaping.none.NoShaping"],
    ("order", "custom"): ["order._target_=rsgrpo.data.order.Uniform"],
    ("filter", "custom"): ["filter._target_=rsgrpo.batching.filters.KeepAll"],
    ("schedule", "custom"): ["schedule._target_=rsgrpo.schedules.constant.Constant"],
    ("data", "custom"): ["data._target_=rsgrpo.data.arithmetic.Arithmetic"],
    ("rollout", "custom"): ["rollout._target_=rsgrpo.rollouts.hf.HFEngine"],
    ("reward", "custom"): ["reward._target_=rsgrpo.rewards.countdown.CountdownReward"],
    ("task", "score"): ["data.path=pairs.jsonl"],
}
"""What a choice asks the user for."""

OWN_VALUE = {
    ("rsgrpo.evaluation.evaluate.EvaluationPlan", "cache_dir"): "a run from Python keeps nothing outside its folder",
    ("rsgrpo.rollouts.vllm.VLLMEngine", "cache_dir"): "a run from Python uses the temporary folder of the machine",
    ("rsgrpo.data.local.Local", "suffix"): "the class appends nothing, the yaml the paper's instruction",
    ("rsgrpo.data.reasoning_gym.ReasoningGym", "suffix"): "the class appends nothing, the yaml the paper's instruction",
    ("rsgrpo.rewards.spurious.RandomReward", "seed"): "the class has one of its own, the yaml the run's",
    **{
        (f"rsgrpo.schedules.{name}.{name.title()}", "iterations"): "the class is told nothing, the yaml the run's own"
        for name in ("linear", "cosine")
    },
}
"""The only fields whose yaml deliberately says something else than the class."""

GIVEN_LATER = {
    *(("rsgrpo.rollouts.hf.HFEngine", "policy"), ("rsgrpo.rollouts.vllm.VLLMEngine", "policy")),
    *((f"rsgrpo.rewards.spurious.{name}Reward", "reward") for name in ("Random", "Format")),
}
"""Constructor arguments that are objects of the run, not configuration."""

PAPER_MODELS = [
    ("qwen3_4b", "Qwen/Qwen3-4B-Base", 8192),
    ("qwen2_5_7b", "Qwen/Qwen2.5-7B", 8192),
    ("llama3_1_8b_instruct", "meta-llama/Llama-3.1-8B-Instruct", 8192),
    ("qwen2_5_math_1_5b", "Qwen/Qwen2.5-Math-1.5B", 3072),
    ("qwen2_5_math_7b", "Qwen/Qwen2.5-Math-7B", 3072),
]


@functools.cache
def _composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", [*overrides, "hydra.runtime.output_dir=run"], return_hydra_config=True)


def composed(*overrides: str) -> DictConfig:
    """The configuration of a command line, with a run folder for those that interpolate it."""
    cfg = copy.deepcopy(_composed(*overrides))
    HydraConfig.instance().set_config(cfg)
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    OmegaConf.set_struct(cfg, True)
    return cfg


def composed_choice(group: str, choice: str) -> DictConfig:
    return composed(f"{group}={choice}", *NEEDS.get((group, choice), []))


def targets(node: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, node) of every mapping below `node` that names a class or function."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str) and node["_target_"] != "???":
            yield where or ".", node
        for key, value in node.items():
            yield from targets(value, f"{where}.{key}" if where else str(key))


SHARED_KEYS: dict[str, Any] = {"schedule": OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml").schedule)}
"""Keys that every choice of a group has, said once in config.yaml."""

CONFIGURED = {
    f"{file.relative_to(CONF).as_posix()}:{where}": {**SHARED_KEYS.get(file.parent.name, {}), **node}
    for file in sorted(CONF.rglob("*.yaml"))
    for where, node in targets(OmegaConf.to_container(OmegaConf.load(file)))
    if node["_target_"].startswith("rsgrpo.") and "tasks" not in node["_target_"].split(".")
    if file.parent != CONF / "data/base" and inspect.isclass(get_object(node["_target_"]))
}
"""Every class of ours that a file of `conf/` configures, as the file has it; half of `Maths` is a dataset's."""

MATHS = ("math12k", "deepmath103k", "dapo17k", "gsm8k")
BENCHMARKS = ("math500", "aime24", "aime25", "hmmt_feb_2024", "hmmt_feb_2025", "cmimc_2025")


def test_the_groups_are_found() -> None:
    """An empty glob would make every test below pass."""
    assert {"task", "model", "trainer", "callbacks", "logger", "experiment"} <= {group for group, _ in CHOICES}
    assert {"objective", "loss", "filter", "reward", "data", "rollout", "eval"} <= {group for group, _ in CHOICES}


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_with_no_value_missing(group: str, choice: str) -> None:
    cfg = composed_choice(group, choice)
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_builds_its_object(
    group: str, choice: str, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # loggers write below the run folder, which is relative here
    cfg = composed_choice(group, choice)
    if group == "task":
        assert callable(get_method(cfg.task._target_))
    elif group == "trainer":
        assert set(cfg.trainer) <= {*inspect.signature(lightning.Trainer.__init__).parameters, *OURS}
        assert set(OURS) - {"strategy"} <= set(cfg.trainer)
        assert isinstance(build_sharding(cfg), Sharding)
    elif group == "rollout":
        if choice == "vllm" and find_spec("vllm") is None:
            pytest.skip("vllm is not installed")
        assert isinstance(instantiate(cfg.rollout)(policy=policy), RolloutEngine)
    elif group == "logger":
        package = {"wandb": "wandb"}.get(choice)
        if package and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
        assert isinstance(instantiate(cfg.logger), Logger)
    elif group == "callbacks":
        made = build_callbacks(cfg, build_recipe(cfg)) if cfg.get("callbacks") else []
        assert all(isinstance(callback, lightning.Callback) for callback in made)
        assert bool(made) == (choice != "none")
    elif group in ("model", "experiment", "arm"):
        assert build_recipe(cfg).iterations == cfg.iterations
        if cfg.model.pretrain is not None:
            assert isinstance(build(cfg.model, "pretrain"), get_class(cfg.model.pretrain._target_))
    elif group == "bench":
        assert isinstance(build_as(cfg, "bench", BenchSettings), BenchSettings)
    elif group == "spurious":
        task = build_reward(cfg)
        made = in_place_of(task, cfg)
        assert isinstance(made, get_class(cfg.spurious._target_))
        assert getattr(made, "reward", None) is task
    elif group == "reward":
        assert isinstance(build_reward(cfg), get_class(cfg.reward._target_))
    elif group == "data":
        if choice == "reasoning_gym" and find_spec("reasoning_gym") is None:
            pytest.skip("reasoning-gym is not installed; tests/data/test_reasoning_gym.py builds it on a stand-in")
        assert isinstance(build_source(cfg), get_class(cfg.data._target_))
    else:
        node, _, name = group.rpartition("/")
        section = OmegaConf.select(cfg, node) if node else cfg
        if node == "term" and choice == "none":
            assert section is None
            return
        assert isinstance(build(section, name), get_class(section[name]._target_))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_trainer_starts_on_a_gpu() -> None:
    cfg = composed("trainer=gpu")
    settings = {key: value for key, value in cfg.trainer.items() if key not in OURS}
    assert lightning.Trainer(**settings, logger=False, enable_checkpointing=False).num_devices == 1


def test_no_callbacks_and_all_callbacks_share_one_recipe() -> None:
    with_all, without = composed("callbacks=default"), composed("callbacks=none")
    assert not without.get("callbacks")
    for group in (*RECIPE_GROUPS, "eval"):
        assert with_all[group] == without[group]


@pytest.mark.parametrize(("model", "weights", "response"), PAPER_MODELS, ids=[name for name, *_ in PAPER_MODELS])
def test_a_model_of_the_paper_comes_with_the_papers_numbers(model: str, weights: str, response: int) -> None:
    """Table 3; the learning rate, the prompt length and the optimiser are the DAPO recipe's, which the rest agrees
    with."""
    cfg = composed("objective=rs_grpo", "objective.beta=4", f"model={model}")
    recipe = build_recipe(cfg)
    assert recipe.objective == RSGRPO(beta=4.0)
    assert (recipe.batching.prompts_per_iteration, recipe.batching.completions_per_prompt) == (512, 16)
    assert (recipe.batching.prompts_per_update, recipe.batching.updates_per_epoch) == (32, 16)
    assert recipe.batching.epochs == 1
    assert recipe.sampling.max_new_tokens == response
    assert recipe.evaluation.sampling.max_new_tokens == response
    assert (recipe.sampling.temperature, recipe.sampling.truncates) == (1.0, False)
    assert recipe.loss == ClipLoss(clip_low=0.2, clip_high=0.28, aggregation="token_mean")
    assert get_class(cfg.filter._target_).__name__ == "DropEqualRewards"
    assert (recipe.optimizer.lr, cfg.data.max_prompt_tokens) == (1e-6, 1024)
    assert cfg.model.path == weights
    assert (cfg.model.pretrain, cfg.trainer.accelerator) == (None, "gpu")


TABLE_3 = {
    "sampling.temperature": 1.0,
    "sampling.top_p": 1.0,
    "batching.prompts_per_iteration": 512,
    "batching.completions_per_prompt": 16,
    "batching.epochs": 1,
    "batching.prompts_per_update": 32,
    "loss.clip_high": 0.28,
    "loss.clip_low": 0.2,
}
"""All of its numbers, but for the coefficients that are 0 there and stand for terms that the loss lacks."""

PAIRS = {
    "qwen2_5_math_1_5b": ("Qwen2.5-Math-1.5B", "deepmath103k", 3072),
    "qwen2_5_math_7b": ("Qwen2.5-Math-7B", "deepmath103k", 3072),
    "qwen2_5_math_7b_deepmath103k": ("Qwen2.5-Math-7B", "deepmath103k", 3072),
    "qwen2_5_math_7b_dapo17k": ("Qwen2.5-Math-7B", "dapo17k", 3072),
    "qwen2_5_math_7b_math12k": ("Qwen2.5-Math-7B", "math12k", 3072),
    "qwen2_5_7b": ("Qwen2.5-7B", "math12k", 8192),
    "qwen3_4b": ("Qwen3-4B-Base", "math12k", 8192),
    "llama3_1_8b_instruct": ("Llama-3.1-8B-Instruct", "math12k", 8192),
}
"""Experiment -> model and train set of Table 2, and the response length of appendix E."""


def test_every_pair_of_the_papers_table_2_has_an_experiment() -> None:
    assert {*PAIRS} == {file.stem for file in (CONF / "experiment/paper").glob("*.yaml")}
    with PAPER_NUMBERS.open(encoding="utf-8") as file:
        pairs = {(row["model"], row["train_data"]) for row in csv.DictReader(file)}
    assert len(pairs) == 7
    assert {(model, data) for model, data, _ in PAIRS.values()} == pairs


@pytest.mark.parametrize("name", PAIRS)
def test_an_experiment_of_the_paper_has_the_numbers_of_table_3(name: str) -> None:
    model, data, response = PAIRS[name]
    cfg = composed(f"experiment=paper/{name}")
    assert {key: OmegaConf.select(cfg, key) for key in TABLE_3} == TABLE_3
    assert (Path(cfg.model.path).name, cfg.data.name, cfg.sampling.max_new_tokens) == (model, data, response)
    assert cfg.data.suffix == "\nPlease reason step by step, and put your final answer within \\boxed{}"
    assert cfg.reward._target_ == "rsgrpo.rewards.math_verify.MathVerifyReward"
    assert list(cfg.data.tests) == list(BENCHMARKS)


@pytest.mark.parametrize("model", [name for name, *_ in PAPER_MODELS])
def test_a_model_of_the_paper_and_its_experiment_are_one_run(model: str) -> None:
    assert composed(f"experiment=paper/{model}") == composed(f"model={model}")


@pytest.mark.parametrize("model", [choice for group, choice in CHOICES if group == "model"])
def test_only_a_model_that_is_pretrained_has_demonstrations(model: str) -> None:
    cfg = composed(f"model={model}")
    assert ("demonstrations" in cfg) == (cfg.model.pretrain is not None)


def test_a_model_file_sets_the_model_alone() -> None:
    for file in CONF.glob("model/**/*.yaml"):
        said = OmegaConf.load(file)
        assert isinstance(said, DictConfig)
        keys = set(said.model if "model" in said else said)
        assert keys - {"defaults"} <= {
            "path",
            "chunk_tokens",
            "chat_template",
            "chat_template_kwargs",
            "cache_dir",
            "pretrain",
        }, file


@pytest.mark.parametrize("model", ["tiny", "qwen3_0_6b", "qwen3_4b"])
def test_an_experiment_on_gsm8k_is_on_gsm8k_whatever_the_model(model: str) -> None:
    cfg = composed("experiment=gsm8k_1gpu", f"model={model}")
    assert (cfg.data.name, list(cfg.data.tests), cfg.iterations) == ("gsm8k", ["gsm8k_test"], 100)


PRECEDENCE = [
    pytest.param([], "optimizer.grad_clip", 1.0, id="config alone"),
    pytest.param([], "iterations", 60, id="model beats config"),
    pytest.param(["model=qwen3_4b"], "optimizer.betas", [0.9, 0.999], id="model beats a value of config"),
    pytest.param(["model=qwen3_4b"], "batching.row_tokens", 16384, id="model beats a number of config"),
    pytest.param(["model=qwen3_0_6b"], "rollout.max_rows", 64, id="model beats another group's file"),
    pytest.param(["model=qwen3_4b"], "data.max_prompt_tokens", 1024, id="model beats the data file"),
    pytest.param(["model=qwen3_4b"], "trainer.accelerator", "gpu", id="model beats a default choice"),
    pytest.param(["model=qwen3_4b"], "rollout.check_every", 1, id="model beats the engine by default"),
    pytest.param(["model=qwen3_4b", "rollout=hf"], "rollout.max_rows", 512, id="engine given beats model"),
    pytest.param(["model=qwen3_4b", "trainer=cpu"], "trainer.accelerator", "cpu", id="choice given beats model"),
    pytest.param(["trainer=cpu", "model=qwen3_4b"], "trainer.accelerator", "cpu", id="in either order"),
    pytest.param(["model=qwen3_4b", "iterations=7"], "iterations", 7, id="number given beats model"),
    pytest.param(["rollout.max_rows=5", "model=qwen3_4b"], "rollout.max_rows", 5, id="number given first beats model"),
    pytest.param(["model=qwen3_4b", "experiment=gsm8k"], "iterations", 100, id="experiment beats the model's own"),
    pytest.param(["experiment=gsm8k", "model=qwen3_4b"], "model.path", "Qwen/Qwen3-4B-Base", id="model given beats it"),
    pytest.param(["experiment=gsm8k", "data=dapo17k"], "data.name", "dapo17k", id="data given beats experiment"),
    pytest.param(["iterations=9", "experiment=smoke"], "iterations", 9, id="number given beats experiment"),
    pytest.param(
        ["data=local", "data.path=a"],
        "reward._target_",
        "rsgrpo.rewards.math_verify.MathVerifyReward",
        id="data picks its reward",
    ),
    pytest.param(
        ["data=local", "data.path=a", "reward=countdown"],
        "reward._target_",
        "rsgrpo.rewards.countdown.CountdownReward",
        id="reward given beats data",
    ),
]


@pytest.mark.parametrize(("overrides", "key", "value"), PRECEDENCE)
def test_the_command_line_beats_the_model_beats_the_config(overrides: list[str], key: str, value: object) -> None:
    assert OmegaConf.select(composed(*overrides), key) == value


MODEL_DATA = [
    pytest.param(["model=qwen3_4b"], "math12k", id="a model brings its train set"),
    pytest.param(["model=qwen2_5_7b"], "math12k", id="Qwen2.5-7B"),
    pytest.param(["model=llama3_1_8b_instruct"], "math12k", id="Llama"),
    pytest.param(["model=qwen2_5_math_1_5b"], "deepmath103k", id="Qwen2.5-Math-1.5B"),
    pytest.param(["model=qwen2_5_math_7b"], "deepmath103k", id="Qwen2.5-Math-7B"),
    pytest.param(["model=qwen2_5_math_7b", "data=dapo17k"], "dapo17k", id="data given beats model"),
    pytest.param(["data=gsm8k", "model=qwen3_4b"], "gsm8k", id="data given first beats model"),
]


@pytest.mark.parametrize(("overrides", "name"), MODEL_DATA)
def test_a_model_brings_data_that_the_command_line_beats(overrides: list[str], name: str) -> None:
    cfg = composed(*overrides)
    source = build_source(cfg)
    assert isinstance(source, Maths)
    assert (source.name, source.max_prompt_tokens) == (name, 1024)
    assert cfg.reward._target_ == "rsgrpo.rewards.math_verify.MathVerifyReward"
    assert cfg.model.chat_template is True


@pytest.mark.parametrize("choice", MATHS)
def test_a_maths_set_names_exactly_the_arguments_of_its_class(choice: str) -> None:
    """Its file joins that of its train set with what all of them share, which no single file shows."""
    data = composed(f"data={choice}").data
    assert set(data) - {"_target_", *OF_PROMPTS} == set(inspect.signature(Maths).parameters)
    shared = {spec.name: data[spec.name] for spec in fields(Maths) if spec.name in ("validation", "decontaminate")}
    assert shared == {name: getattr(Maths, name) for name in shared}


@pytest.mark.parametrize("choice", MATHS)
def test_a_maths_set_is_tested_on_the_papers_benchmarks_and_gsm8k_on_its_own(choice: str) -> None:
    tests = build_source(composed(f"data={choice}")).tests
    expected = {"gsm8k_test": "gsm8k_test"} if choice == "gsm8k" else {name: name for name in BENCHMARKS}
    assert {key: test.name for key, test in tests.items()} == expected


def test_keys_of_the_train_set_lie_flat_and_those_of_a_test_set_below_its_name() -> None:
    source = build_source(
        composed(
            "data=dapo17k",
            "data.path=train.parquet",
            "data.columns.problem=question",
            "data.revision=v1",
            "data.tests.math500.path=math500.jsonl",
            "~data.tests.aime24",
            "+dataset@data.tests.mine=gsm8k_test",
        )
    )
    assert (source.path, source.revision) == ("train.parquet", "v1")
    assert source.columns == {"problem": "question", "answer": "reward_model.ground_truth"}
    assert source.tests["math500"].path == "math500.jsonl"
    assert list(source.tests) == [*(name for name in BENCHMARKS if name != "aime24"), "mine"]


def test_a_wrong_value_of_a_test_set_is_named_by_its_whole_key() -> None:
    with pytest.raises(
        UserError, match=r"^data\.tests\.aime25\.rows=0 must be at least 1; try data\.tests\.aime25\.rows=1"
    ):
        build_source(composed("data=math12k", "data.tests.aime25.rows=0"))


DATASETS = sorted(file.stem for file in (CONF / "dataset").glob("*.yaml") if file.stem != "base")


def test_every_dataset_is_used() -> None:
    """A file that no choice names would be tested by nothing."""
    sources = [build_source(composed(f"data={choice}")) for choice in MATHS]
    assert {s.name for s in sources} | {t.name for s in sources for t in s.tests.values()} == set(DATASETS)


EXPERIMENTS = [choice for group, choice in CHOICES if group == "experiment"]


@pytest.mark.parametrize("order", ["experiment first", "model first"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_has_its_way_whatever_the_model(experiment: str, order: str) -> None:
    overrides = [f"experiment={experiment}", "model=qwen3_4b"]
    cfg = composed(*(overrides if order == "experiment first" else reversed(overrides)))
    said = OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml")
    assert isinstance(said, DictConfig)
    assert said.pop("defaults", None) or said
    assert OmegaConf.to_container(OmegaConf.merge(cfg, said)) == OmegaConf.to_container(cfg)


@pytest.mark.parametrize("override", ["objective.betta=4", "betta=4", "objective=rsgrpo", "objectiv=grpo"])
def test_what_no_file_knows_is_refused(override: str) -> None:
    with pytest.raises(HydraException):
        composed(override)


@pytest.mark.parametrize("node", CONFIGURED.values(), ids=CONFIGURED)
def test_a_yaml_names_exactly_the_arguments_of_its_class(node: dict[str, Any]) -> None:
    """A key too many is refused at the start of a run; a field too few could not be set without a `+`."""
    target = node["_target_"]
    accepted = {
        name
        for name, parameter in inspect.signature(get_class(target)).parameters.items()
        if (target, name) not in GIVEN_LATER and parameter.kind is not parameter.VAR_KEYWORD  # handed on to Lightning's
    }
    assert {key for key in node if key not in ("defaults", "_target_", "_partial_")} == accepted


USUAL = {name: node for name, node in CONFIGURED.items() if not name.startswith("bandit/two_arms.yaml")}
"""Without an experiment that stands beside the one of its class's defaults."""


@pytest.mark.parametrize("node", USUAL.values(), ids=USUAL)
def test_a_yaml_repeats_the_defaults_of_its_class(node: dict[str, Any]) -> None:
    """The class used from Python and the class used from the command line are then one and the same."""
    target = node["_target_"]
    cls = get_class(target)
    defaults = (
        {spec.name: spec.default for spec in fields(cls) if spec.init and spec.default is not MISSING}
        if is_dataclass(cls)
        else {
            name: parameter.default
            for name, parameter in inspect.signature(cls).parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
    )
    expected = {name: value for name, value in defaults.items() if (target, name) not in OWN_VALUE}
    said = {name: node[name] for name in expected}
    assert json.loads(json.dumps(expected)) == said  # a tuple is a list in a yaml


@pytest.mark.parametrize(("target", "name"), OWN_VALUE)
def test_an_exception_to_that_is_still_one(target: str, name: str) -> None:
    (default,) = (spec.default for spec in fields(get_class(target)) if spec.name == name)
    nodes = [node for node in CONFIGURED.values() if node["_target_"] == target]
    assert nodes
    assert all(node[name] != default for node in nodes)
