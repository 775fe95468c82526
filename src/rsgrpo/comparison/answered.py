"""What the samples of `task=evaluate` say beyond right and wrong: answers, rewards, entropy, and a completion."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from rsgrpo import run_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The samples of one problem."""

    n: int
    votes: Sequence[int]
    """Samples of each distinct answer, the most frequent first; those without an answer are left out."""
    right: Sequence[bool]
    """Whether most samples with that answer were judged correct."""
    answers: Sequence[str]
    rewards: Float[np.ndarray, " n"]
    logprob: float
    """Sum of the log-probs of all sampled tokens."""
    tokens: int
    completion: str | None = None
    """A right one, where one was kept (`eval.keep`)."""
    has_answers: bool = True
    """Whether the reward could say which answer a completion gives."""

    @property
    def right_answer(self) -> str | None:
        """The most frequent one that is right."""
        return next((answer for answer, right in zip(self.answers, self.right, strict=True) if right), None)


@dataclass(slots=True)
class _Read:
    """What has been read of a problem so far."""

    correct: Counter[str] = field(default_factory=Counter)
    votes: Counter[str] = field(default_factory=Counter)
    rewards: list[float] = field(default_factory=list)
    logprob: float = 0.0
    tokens: int = 0
    completion: str | None = None
    has_answers: bool = True

    def add(self, chunk: run_folder.Chunk) -> None:
        """Another chunk of the problem."""
        self.rewards += chunk["rewards"]
        self.tokens += sum(chunk["tokens"])
        told = zip(chunk["logprobs"], chunk["tokens"], strict=True)
        self.logprob += sum(mean * tokens for mean, tokens in told if mean is not None)
        for i, text in chunk.get("texts", {}).items():
            if self.completion is None and chunk["correct"][int(i)]:
                self.completion = text
        if chunk["answers"] is None:
            self.has_answers = False
            return
        for answer, correct in zip(chunk["answers"], chunk["correct"], strict=True):
            if answer is not None:
                self.votes[answer] += 1
                self.correct[answer] += correct

    def whole(self) -> Answered:
        """All chunks together."""
        ordered = sorted(self.votes, key=lambda answer: (-self.votes[answer], answer))
        return Answered(
            n=len(self.rewards),
            votes=[self.votes[answer] for answer in ordered],
            right=[2 * self.correct[answer] > self.votes[answer] for answer in ordered],
            answers=ordered,
            rewards=np.array(self.rewards),
            logprob=self.logprob,
            tokens=self.tokens,
            completion=self.completion,
            has_answers=self.has_answers,
        )


class Samples(Mapping[str, Answered]):
    """By problem id, the samples of a file, which is read when the first of them is asked for."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._read: dict[str, Answered] | None = None

    def _problems(self) -> dict[str, Answered]:
        if self._read is None:
            found: dict[str, _Read] = {}
            for chunk in run_folder.read_chunks(self.file):
                found.setdefault(chunk["problem"], _Read()).add(chunk)
            self._read = {problem: read.whole() for problem, read in found.items()}
        return self._read

    def __getitem__(self, problem: str) -> Answered:
        return self._problems()[problem]

    def __iter__(self) -> Iterator[str]:
        return iter(self._problems())

    def __len__(self) -> int:
        return len(self._problems())
