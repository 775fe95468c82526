from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rsgrpo.command_line.keys import dotted
from rsgrpo.composition.origins import COMMAND_LINE, Origin, origins

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


@cache
def found(*words: str) -> dict[str, Origin]:
    return {origin.key: origin for origin in origins(words)}


@pytest.mark.parametrize(
    ("words", "key", "value", "source"),
    [
        ([], "objective.beta", "2.0", "conf/objective/rs_grpo.yaml"),
        ([], "batching.epochs", "1", "conf/config.yaml"),
        ([], "optimizer.lr", "0.0002", "conf/experiment/base/tiny.yaml"),
        ([], "sampling.max_new_tokens", "24 (${demonstrations.max_tokens})", "conf/experiment/base/tiny.yaml"),
        ([], "model.pretrain.demonstrations", "${demonstrations}", "conf/model/tiny.yaml"),
        ([], "logger.save_dir", "${hydra:runtime.output_dir}", "conf/logger/tensorboard.yaml"),
        (["model=qwen3_4b"], "model.path", "Qwen/Qwen3-4B-Base", "conf/model/qwen3_4b.yaml"),
        (["model=qwen3_4b"], "model.pretrain", "null", "conf/model/base/hub.yaml"),
        (["model=qwen3_4b"], "data.max_prompt_tokens", "1024", "conf/experiment/base/paper.yaml"),
        (["model=qwen3_4b"], "data.answer_strip", "''", "conf/dataset/base.yaml"),
        (["model=qwen3_4b", "experiment=smoke"], "iterations", "4", "conf/experiment/smoke.yaml"),
        (["model=qwen2_5_math_7b"], "sampling.max_new_tokens", "3072", "conf/experiment/paper/qwen2_5_math_7b.yaml"),
        (["experiment=smoke", "iterations=9"], "iterations", "9", COMMAND_LINE),
        (["+objective.tau=0.5"], "objective.tau", "0.5", COMMAND_LINE),
        (["model.pretrain=null"], "model.pretrain", "null", COMMAND_LINE),
        (["data=gsm8k", "~data.tests.gsm8k_test"], "data.tests", "{}", "conf/data/base/maths.yaml"),
        (["data=gsm8k", "+dataset@data.tests.a=aime24"], "data.tests.a.name", "aime24", "conf/dataset/aime24.yaml"),
        (["rollout=custom"], "rollout._target_", "???", "conf/rollout/custom.yaml"),
    ],
)
def test_a_value_comes_from_the_last_that_sets_it(words: list[str], key: str, value: str, source: str) -> None:
    assert found(*words)[key] == Origin(key, value, source)


@pytest.mark.parametrize("words", [[], ["experiment=gsm8k_1gpu"], ["model=qwen3_4b", "objective.beta=4"]])
def test_every_value_has_a_file_that_says_it(words: list[str]) -> None:
    every = found(*words)
    keys = dotted(OmegaConf.to_container(compose("config", words)))
    assert every.keys() == {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)}
    assert all((CONF.parent / o.source).is_file() or o.source == COMMAND_LINE for o in every.values())
    assert [o.key for o in every.values() if o.source == COMMAND_LINE] == ["objective.beta"] * (
        "objective.beta=4" in words
    )
