"""The contents of a run folder's files, as far as anything reads them."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rsgrpo.run_folder.names import BEST, DONE, FORMAT, MANIFEST, METRICS, OVERRIDES, PROMPTS, ROLLOUTS, RUN

LARGEST = 2**53
"""Beyond this, JSON does not hold every whole number exactly."""


class Key(NamedTuple):
    """What a key of a record holds."""

    fits: Callable[[Any], bool]
    meaning: str
    required: bool = True


def is_count(value: Any) -> bool:
    """Whether a value is a whole number from 0 on."""
    return type(value) is int and 0 <= value < LARGEST


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return (type(value) is int and abs(value) < LARGEST) or (type(value) is float and math.isfinite(value))


def is_text(value: Any) -> bool:
    """Whether a value is text."""
    return isinstance(value, str)


def _each(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(fits(inner) for inner in value.values())


def _is_fingerprint(value: Any) -> bool:
    return isinstance(value, dict) and is_count(value.get("bytes")) and is_text(value.get("blake2b"))


def _is_data(value: Any) -> bool:
    """Sizes and hashes of splits, and where they come from."""
    splits = value.items() if isinstance(value, dict) else [("train", None)]
    return all(
        isinstance(split, dict)
        and (name == "sources" or (is_count(split.get("problems")) and is_text(split.get("blake2b"))))
        for name, split in splits
    )


COUNT, NUMBER, TEXT = "a whole number from 0 on", "a number", "text"
ITERATION = Key(is_count, COUNT)
COUNTS = {"n": Key(lambda n: is_count(n) and n > 0, "a whole number from 1 on"), "correct": Key(is_count, COUNT)}
EVALUATION = {
    "iteration": ITERATION,
    **COUNTS,
    "mean_tokens": Key(is_number, NUMBER),
    "truncated": Key(is_number, NUMBER),
    "facts": Key(lambda value: isinstance(value, dict), "a mapping"),
    "right_answers": Key(_each(is_count), "a mapping of answers to counts", required=False),
}

SHAPES: Mapping[str, Mapping[str, Key]] = {
    RUN: {
        "format": Key(lambda value: is_count(value) and value <= FORMAT, f"a version up to {FORMAT}", required=False),
        "id": Key(is_text, TEXT, required=False),
        "config_hash": Key(is_text, TEXT, required=False),
        "versions": Key(_each(is_text), "a mapping of names to versions", required=False),
        "data": Key(_is_data, "a mapping of splits to their size and hash", required=False),
        "recipe": Key(lambda value: isinstance(value, dict), "a mapping", required=False),
        "base": Key(is_text, TEXT, required=False),
        "command": Key(is_text, TEXT, required=False),
        "rerun": Key(is_text, TEXT, required=False),
        "git": Key(lambda value: isinstance(value, dict), "a mapping", required=False),
        "machine": Key(lambda value: isinstance(value, dict), "a mapping", required=False),
        "own_code": Key(_each(is_text), "a mapping of names to files", required=False),
        "earlier": Key(lambda value: isinstance(value, list), "a list", required=False),
    },
    DONE: {
        "iteration": ITERATION,
        "resumed_from": Key(is_count, COUNT, required=False),
        "seconds": Key(_each(is_number), "a mapping of names to numbers", required=False),
        "cpu_seconds": Key(is_number, NUMBER, required=False),
        "tokens": Key(_each(is_count), "a mapping of names to counts", required=False),
    },
    BEST: {"iteration": ITERATION, "metric": Key(is_text, TEXT), "value": Key(is_number, NUMBER)},
    MANIFEST: {
        "iteration": Key(is_count, COUNT, required=False),
        "ranks": Key(is_count, COUNT, required=False),
        "run": Key(is_text, TEXT, required=False),
        "files": Key(_each(_is_fingerprint), "a mapping of names to bytes and blake2b"),
    },
    METRICS: {"iteration": ITERATION},
    PROMPTS: {"iteration": ITERATION, "prompt": Key(is_text, TEXT), **COUNTS},
    ROLLOUTS: {
        "iteration": ITERATION,
        "problem": Key(is_text, TEXT),
        "completion": Key(is_text, TEXT),
        "reward": Key(is_number, NUMBER),
    },
    "validation.jsonl": EVALUATION,
    "test.jsonl": EVALUATION,
}
"""By the name of a file, the keys that every record of it has to have. Others may stand beside them."""


def problem_of(name: str, content: Any) -> str | None:
    """What is wrong with the content of a file, or of one of its lines; None when it has the shape of its name."""
    if name == OVERRIDES:
        right = isinstance(content, list) and all(map(is_text, content))
        return None if right else "it is not a list of words"
    if not isinstance(content, dict):
        return "it is not a mapping"
    for key, (fits, meaning, required) in SHAPES.get(name, {}).items():
        if key not in content and required:
            return f"it has no {key}"
        if key in content and not fits(content[key]):
            return f"{key} is not {meaning}"
    if name == METRICS:
        wrong = [key for key, value in content.items() if "/" in key and value is not None and not is_number(value)]
        return f"{wrong[0]} is not {NUMBER}" if wrong else None
    if "correct" in content and "n" in content and name in SHAPES and content["correct"] > content["n"]:
        return "correct is more than n"
    return None
