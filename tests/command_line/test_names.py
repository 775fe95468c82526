"""What a run folder is called: runs that differ in a word, and start in the same second, have folders of their own."""

import itertools

from rsgrpo.command_line.names import LONGEST_NAME, run_name

LONG = ";".join(f"data.levels=[{level}]" for level in range(40))


def test_seeds_that_start_in_the_same_second_have_their_own_folders() -> None:
    for overrides in ("", "objective.beta=4", "data.path=/data/a.jsonl", LONG):
        names = [run_name("train", "rs_grpo", f"{overrides};seed={seed}") for seed in range(12)]
        assert len(set(names)) == 12
        assert all(name.endswith(f"_seed{seed}") for seed, name in enumerate(names))


def test_evaluations_that_start_in_the_same_second_have_their_own_folders() -> None:
    words = ["model.path=/models/a", "model.path=/models/b", "model.path=a", "eval.k=[1,4]", "eval.k=[1,8]"]
    names = [run_name("evaluate", "rs_grpo", f"task=evaluate;{word}") for word in words]
    assert len(set(names)) == len(words)
    assert all(name.startswith("evaluate_") for name in names)


def test_values_that_look_alike_without_their_special_characters_differ() -> None:
    values = ["[1,2]", "[1 2]", "1-2", "{1:2}", "'1,2'", "a/b", "a/c"]
    names = [run_name("train", "grpo", f"data.levels={value}") for value in values]
    for one, other in itertools.combinations(names, 2):
        assert one != other


def test_what_is_cut_off_counts() -> None:
    names = [run_name("train", "grpo", f"{LONG};optimizer.lr={lr}") for lr in ("1e-3", "1e-4")]
    assert names[0] != names[1]
    assert all(len(name) <= LONGEST_NAME + len("_123abc") for name in names)
