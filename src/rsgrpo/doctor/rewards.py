"""The reward: a right answer counts, a wrong one does not, and how many it judges in a second."""

import time
from collections.abc import Callable, Sequence

import torch

from rsgrpo.doctor.table import Result
from rsgrpo.rewards.base import Reward, begin
from rsgrpo.types import Completion, Group, Problem, Prompt, Score

NO_ANSWER = "I do not know."

Answers = Callable[[Problem], Sequence[str]]
"""Texts of which one should be right."""


def judges(reward: Reward, problems: Sequence[Problem], answers: Answers) -> Result:
    """Of each problem a right text, if one can be made, and a text without an answer."""
    right, unsaid, texts = 0, 0, 0
    begun = time.perf_counter()
    for problem in problems:
        said = [*answers(problem), NO_ANSWER]
        scores = judged(reward, problem, said)
        texts += len(said)
        right += any(score.correct for score in scores[:-1])
        unsaid += scores[-1].correct
    seconds = time.perf_counter() - begun
    found = f"{right} of {len(problems)} golds count, {unsaid} texts without an answer; {texts / seconds:,.0f} texts/s"
    cure = "texts without an answer count as correct: the reward is always true" if unsaid else ""
    return Result(found, "all, none", right == len(problems) and not unsaid, cure)


def judged(reward: Reward, problem: Problem, texts: Sequence[str]) -> tuple[Score, ...]:
    """Completions with these texts, scored as a group of a run is."""
    prompt = Prompt(problem=problem, token_ids=(0,))
    completions = tuple(
        Completion(token_ids=(0,), logprobs=torch.zeros(1), text=text, finished=True, policy_version=0)
        for text in texts
    )
    return begin(reward, Group(prompt=prompt, completions=completions))()


def boxed(problem: Problem) -> list[str]:
    """The gold answer in the ways in which models give theirs."""
    answer = problem.answer
    return [f"\\boxed{{{answer}}}", f"The answer is \\boxed{{{answer}}}.", f"#### {answer}", answer]


class EvenTokens:
    """A reward that says something of every completion of random weights: the share of its tokens that are even."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        even = sum(token % 2 == 0 for token in completion.token_ids) / len(completion.token_ids)
        return Score(value=even, correct=False)
