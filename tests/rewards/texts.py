"""Prompts and completions for rewards, which look at texts and not at tokens."""

import torch

from rsgrpo.rewards.base import Reward
from rsgrpo.types import Completion, Group, Problem, Prompt, Score


def asked(problem: Problem) -> Prompt:
    """The prompt of a problem."""
    return Prompt(problem=problem, token_ids=(1,))


def said(text: str, *, finished: bool = True) -> Completion:
    """A completion with this text."""
    return Completion(token_ids=(1,), logprobs=torch.zeros(1), text=text, finished=finished, policy_version=0)


def score(reward: Reward, problem: Problem, text: str) -> Score:
    """The verdict on one text."""
    return reward(asked(problem), said(text))


def group(problem: Problem, *texts: str) -> Group:
    """The texts as the group of one prompt."""
    return Group(prompt=asked(problem), completions=tuple(said(text) for text in texts))
