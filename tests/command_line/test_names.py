"""What a run folder is called: runs that differ in a word, and start in the same second, have folders of their own."""

import itertools
import re

import pytest

from rsgrpo.command_line.names import LONGEST_NAME, run_name

LONG = [f"data.levels=[{level}]" for level in range(40)]
STRANGE = [
    "data.suffix='ünïcode 数学'",
    'data.suffix="a b/c{d}"',
    "data.path=/data/a b.jsonl",
    "callbacks={}",
    "~callbacks.timing",
    "+objective.tau=0.5",
    "+dataset@data.tests.mine=math500",
    "objective._target_=my_module.Mine",
    "model.path=../..",
    "loss=-",
    "data.suffix=",
]


def test_a_name_is_the_objective_what_is_set_and_the_seed() -> None:
    words = ["seed=1", "objective=rs_grpo", "objective.beta=4", "model=qwen3_4b", "ckpt=auto"]
    assert run_name("train", "rs_grpo", words) == "rs_grpo_beta4_model-qwen3_4b_seed1"
    assert run_name("evaluate", "rs_grpo", ["task=evaluate"]) == "evaluate"


def test_seeds_that_start_in_the_same_second_have_their_own_folders() -> None:
    for words in ([], ["objective.beta=4"], ["data.path=/data/a.jsonl"], LONG):
        names = [run_name("train", "rs_grpo", [*words, f"seed={seed}"]) for seed in (*range(12), 2**63)]
        assert len(set(names)) == 13
        assert run_name("train", "rs_grpo", [*words, "++seed=3"]).endswith("_seed3")
        assert all(name.endswith(f"_seed{seed}") for seed, name in zip((*range(12), 2**63), names, strict=True))
        assert all(len(name) <= LONGEST_NAME for name in names)


def test_the_seed_of_a_base_model_is_not_taken_for_that_of_the_run() -> None:
    assert run_name("train", "grpo", ["model.pretrain.seed=1"]) != run_name("train", "grpo", ["seed=1"])


def test_evaluations_that_start_in_the_same_second_have_their_own_folders() -> None:
    words = ["model.path=/models/a", "model.path=/models/b", "model.path=a", "eval.k=[1,4]", "eval.k=[1,8]"]
    names = [run_name("evaluate", "rs_grpo", ["task=evaluate", word]) for word in words]
    assert len(set(names)) == len(words)
    assert all(name.startswith("evaluate_") for name in names)


def test_values_that_look_alike_without_their_special_characters_differ() -> None:
    values = ["[1,2]", "[1 2]", "1-2", "{1:2}", "'1,2'", "a/b", "a/c", "é", "è", ""]
    names = [run_name("train", "grpo", [f"data.levels={value}"]) for value in values]
    for one, other in itertools.combinations(names, 2):
        assert one != other


def test_keys_that_end_alike_differ() -> None:
    keys = ["eval.sampling.temperature", "sampling.temperature", "eval.every", "callbacks.completions.every"]
    assert len({run_name("train", "grpo", [f"{key}=1"]) for key in keys}) == len(keys)


@pytest.mark.parametrize("objective", ["rs_grpo", "mine/ünï cöde", "o" * 300])
@pytest.mark.parametrize("word", [*STRANGE, f"objective.beta={'9' * 300}", f"seed={'9' * 300}"])
def test_a_name_is_short_and_plain_whatever_is_set(objective: str, word: str) -> None:
    name = run_name("train", objective, [word, *LONG[:2]])
    assert re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST_NAME - 1}}}", name)
    assert name != run_name("train", objective, LONG[:2])


def test_what_is_cut_off_counts() -> None:
    names = [run_name("train", "grpo", [*LONG, f"optimizer.lr={lr}"]) for lr in ("1e-3", "1e-4")]
    assert names[0] != names[1]
    assert all(len(name) <= LONGEST_NAME for name in names)
