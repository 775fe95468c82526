"""What an evaluation writes of each sample, and the counts that follow; `run_folder/samples.py` has the file."""

from collections.abc import Iterator, Sequence
from typing import Any

from rsgrpo.evaluation.evaluate import Keep, ProblemResult
from rsgrpo.rewards.base import FindsAnswers, Reward, answers
from rsgrpo.run_folder import Chunk
from rsgrpo.types import Prompt, ScoredGroup

DIGITS = 4
"""Of a mean log-prob."""


def chunk_record(scored: ScoredGroup, start: int, reward: Reward, keep: Keep) -> dict[str, Any]:
    """The line of one chunk."""
    group, scores = scored.group, scored.scores
    completions = group.completions
    parts: dict[str, float] = {}
    for score in scores:
        for name, value in score.parts.items():
            parts[name] = parts.get(name, 0.0) + value
    record: dict[str, Any] = {
        "problem": group.prompt.id,
        "start": start,
        "answers": list(answers(reward, group)) if isinstance(reward, FindsAnswers) else None,
        "correct": [int(score.correct) for score in scores],
        "rewards": [score.value for score in scores],
        "tokens": [len(completion.token_ids) for completion in completions],
        "finished": [int(completion.finished) for completion in completions],
        "logprobs": [round(float(c.logprobs.mean()), DIGITS) if len(c.logprobs) else None for c in completions],
        "parts": parts,
    }
    right = [i for i, score in enumerate(scores) if score.correct][:1]
    kept = range(len(completions)) if keep == "all" else right if keep == "first_right" else ()
    return record | ({"texts": {str(i): completions[i].text for i in kept}} if kept else {})


def counted(chunks: Iterator[Chunk], prompts: Sequence[Prompt]) -> list[ProblemResult]:
    """The counts of each problem that has samples, in the order of `prompts`."""
    sums: dict[str, dict[str, Any]] = {}
    for chunk in chunks:
        own = sums.setdefault(chunk["problem"], {"n": 0, "correct": 0, "tokens": 0, "truncated": 0, "parts": {}})
        own["n"] += len(chunk["correct"])
        own["correct"] += sum(chunk["correct"])
        own["tokens"] += sum(chunk["tokens"])
        own["truncated"] += len(chunk["finished"]) - sum(chunk["finished"])
        for name, value in chunk["parts"].items():
            own["parts"][name] = own["parts"].get(name, 0.0) + value
    facts = {prompt.id: dict(prompt.problem.facts) for prompt in prompts}
    return [
        ProblemResult(
            problem_id=name,
            n=sums[name]["n"],
            correct=sums[name]["correct"],
            mean_tokens=sums[name]["tokens"] / sums[name]["n"],
            truncated=sums[name]["truncated"],
            facts=facts[name],
            parts=sums[name]["parts"],
        )
        for name in facts
        if name in sums
    ]
