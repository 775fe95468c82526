"""Rewards as a user would write them: a plain function, with and without settings."""

from rsgrpo.types import Completion, Prompt, Score


def even(prompt: Prompt, completion: Completion) -> Score:
    """1 for an even number of the digit 1."""
    right = completion.text.count("1") % 2 == 0
    return Score(value=float(right), correct=right, parts={"odd": float(not right)})


def brief(prompt: Prompt, completion: Completion, scale: float = 1.0) -> Score:
    """More for fewer tokens."""
    return Score(value=scale / (1 + len(completion.token_ids)), correct=False)


def plain_number(prompt: Prompt, completion: Completion) -> float:
    """What is not a Score."""
    return 1.0
