"""Keys that the chosen configuration has not, and where they are."""

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rsgrpo.command_line import keys
from rsgrpo.command_line.arguments import read_command_line
from rsgrpo.command_line.keys import ALSO, FOREIGN, SECTIONS, dotted, unknown_choice, unknown_key
from rsgrpo.errors import UserError

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="module", autouse=True)
def _composed_once() -> Iterator[None]:
    """Each configuration that words are looked for in is composed once."""
    once = functools.cache(keys._composed_keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "_composed_keys", lambda conf, groups: once(conf, tuple(groups)))
        yield


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("batch_size", "batching.prompts_per_iteration"),
        ("n", "batching.completions_per_prompt"),
        ("lr", "optimizer.lr"),
        ("learning_rate", "optimizer.lr"),
        ("temperature", "sampling.temperature"),
        ("max_tokens", "sampling.max_new_tokens"),
        ("gpus", "trainer.devices, with trainer=fsdp2"),
        ("epochs", "batching.epochs (passes over the rollouts of an iteration), or iterations (of the run)"),
        ("max_steps", "iterations"),
    ],
)
@pytest.mark.parametrize("chosen", [[], ["model=qwen3_4b"], ["experiment=smoke"], ["objective=grpo"]])
def test_a_word_of_another_trainer_is_answered_with_ours(word: str, meant: str, chosen: list[str]) -> None:
    assert unknown_key(word, CONF, chosen) == f"{word}: no such key; did you mean {meant}?"


def test_every_key_of_the_tables_exists() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        present = dotted(OmegaConf.to_container(compose("config"), resolve=False))
    assert {*FOREIGN.values(), *ALSO} <= present | {"ckpt"}
    assert {key for said in SECTIONS.values() for key in re.findall(r"(\w+\.\w+)=", said)} <= present


@pytest.mark.parametrize("key", ["kl", "kl_coef", "loss.kl_coef"])
def test_there_is_no_kl_penalty(key: str) -> None:
    said = f"{key}: no such key; a KL penalty is a term of the loss: +term/kl=k3 term.kl.coefficient"
    assert unknown_key(key, CONF) == f"{said}=0.001"
    assert unknown_key(key, CONF, value="0.02") == f"{said}=0.02"


@pytest.mark.parametrize("key", ["reward.isolated", "reward.isolation.workers", "reward.rewards.math_verify.isolated"])
def test_a_built_in_reward_needs_no_isolation(key: str) -> None:
    said = unknown_key(key, CONF, ["reward=weighted"])
    assert said is not None
    assert said.startswith(f"{key}: no such key; it is for rewards of your own (reward=custom)")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("batching=big", r"batching\.prompts_per_iteration=64"),
        ("sampling=greedy", r"sampling\.temperature=0\.6"),
        ("sampling=greedy,nucleus", r"sampling\.temperature=0\.6"),
        ("sampling=null", r"sampling\.temperature=0\.6"),
        ("+sampling=greedy", r"sampling\.temperature=0\.6"),
    ],
)
def test_a_section_takes_no_single_value(word: str, says: str) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(word)}: \w+ is not a group with choices.*{says}"):
        read_command_line([word], CONF)


@pytest.mark.parametrize("word", ["sampling={temperature:0.5}", "optimizer.lr=1e-3", "+reward@reward.rewards.x=custom"])
def test_keys_of_a_section_are_taken(word: str) -> None:
    assert read_command_line([word], CONF).words == [word]


@pytest.mark.parametrize("word", ["+objective=grpo", "++objective=grpo", "+schedule=linear", "+experiment=smoke"])
def test_a_group_is_swapped_without_a_plus(word: str) -> None:
    with pytest.raises(UserError, match=rf"; swap it without the \+: {word.lstrip('+')}$"):
        read_command_line([word], CONF)


@pytest.mark.parametrize(
    ("key", "chosen", "says"),
    [
        ("objective.estimator", "objective=grpo", "objective=mahdavi, objective=pkpo and objective=rs_grpo have it"),
        ("objective.beta", "objective=grpo", "objective=entropic and objective=rs_grpo have it"),
        ("reward.buffer", "reward=custom", "reward=overlong has it"),
        ("rollout.max_gap", "rollout=hf", "rollout=vllm has it"),
        ("schedule.curve", "schedule=constant", "schedule=adaptive has it"),
    ],
)
def test_the_choices_that_have_a_key_are_named(key: str, chosen: str, says: str) -> None:
    said = unknown_key(key, CONF, [chosen]) or ""
    assert said.startswith(f"{key}: {says}, but the chosen one does not")
    assert said.endswith("; remove it")


def test_what_the_chosen_one_has_instead_is_named() -> None:
    said = unknown_key("demonstrations.failure_rates", CONF, ["data=tree"]) or ""
    assert said.endswith("but the chosen one does not, which has max_tokens, slip_rates; remove it")


@pytest.mark.parametrize(
    ("word", "cure"),
    [
        ("bench.words=[model=tiny]", """'bench.words=["model=tiny"]'"""),
        ("bench.words=[model=tiny,eval.every=60]", """'bench.words=["model=tiny","eval.every=60"]'"""),
        ("+x=[a=b,'c=d']", """'+x=["a=b",'"'"'c=d'"'"']'"""),
    ],
)
def test_words_in_a_list_are_quoted(word: str, cure: str) -> None:
    with pytest.raises(UserError) as caught:
        read_command_line([word], CONF)
    assert str(caught.value) == f"{word}: cannot be read; quote what holds a =: {cure}"
    assert read_command_line(shlex.split(cure), CONF).words


@pytest.mark.parametrize(
    ("key", "task", "meant"),
    [("run", "compare", "runs"), ("runs", "inspect", "run"), ("evl.temperature", "evaluate", "eval.temperature")],
)
def test_a_key_that_another_task_spells_otherwise_names_this_one(key: str, task: str, meant: str):
    said = unknown_key(key, CONF, [f"task={task}"])
    assert said is not None
    assert said.endswith(f"did you mean {meant}?")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("use_kl_loss", "+term/kl=k3"),
        ("loss_type", "objective=dr_grpo"),
        ("entropy_coeff", "+term/entropy=bonus"),
        ("scale_rewards", "objective.normalize_std"),
        ("beta", "did you mean objective.beta, or TRL's weight of a KL penalty: +term/kl=k3"),
        ("term.kl.coefficient", "this run has no such term; choose one as well: +term/kl=k3"),
        ("term.entropy.coefficient", "choose one as well: +term/entropy=bonus"),
    ],
)
def test_what_is_several_words_here_is_answered_with_them(key: str, words: str) -> None:
    said = unknown_key(key, CONF, value="0.1")
    assert said is not None
    assert said.startswith(f"{key}: ")
    assert words in said


def test_a_choice_that_another_group_has_is_answered_with_it() -> None:
    assert unknown_choice("objective", "gspo", "grpo, rspo") == "objective=gspo: no such choice; it is loss=gspo"
    assert unknown_choice("loss", "dr_grpo", "clip") == "loss=dr_grpo: no such choice; it is objective=dr_grpo"
