"""`eval/<split>.samples.jsonl.gz`: every sample of an evaluation, in blocks that are there whole or not at all.

A line is a chunk of one problem: its id, how many samples came before (`start`), and of each sample the answer, whether
it is correct, its reward, its tokens, whether it is finished, and the mean log-prob of its tokens. Each block is a gzip
member of its own: `zcat` reads the file, and one that a kill cut short is read up to its last whole block.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rsgrpo import run_folder
from rsgrpo.evaluation.evaluate import Keep, ProblemResult
from rsgrpo.rewards.base import FindsAnswers, Reward, answers
from rsgrpo.types import Prompt, ScoredGroup

DIGITS = 4
"""Of a mean log-prob."""

Chunk = Mapping[str, Any]


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


def append_block(file: Path, chunks: Sequence[Chunk]) -> None:
    """Write a block and wait until the disk has it.

    Raises:
        UserError: when the disk refuses; the file is then what it was.
    """
    content = "".join(json.dumps(chunk, ensure_ascii=False) + "\n" for chunk in chunks).encode()
    block = gzip.compress(content, mtime=0)
    length = file.stat().st_size if file.exists() else 0
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as out:
            out.write(block)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        if file.exists():
            os.truncate(file, length)
        raise run_folder.disk_error(file, error) from error


def read_chunks(file: Path) -> Iterator[Chunk]:
    """The lines of all whole blocks, one block in memory at a time."""
    for _, content in _blocks(file):
        yield from map(json.loads, content.splitlines())


def cut_to_whole_blocks(file: Path) -> None:
    """Remove what a kill left of a block."""
    if not file.exists():
        return
    whole = 0
    for whole, _ in _blocks(file):  # noqa: B007
        pass
    if whole < file.stat().st_size:
        os.truncate(file, whole)


def _blocks(file: Path) -> Iterator[tuple[int, bytes]]:
    """(where it ends, content) of each whole gzip member, up to the first that is not."""
    if not file.exists():
        return
    with file.open("rb") as source:
        waiting, read = b"", 0
        while True:
            member, parts = zlib.decompressobj(wbits=31), []
            while not member.eof:
                piece = waiting or source.read(1 << 16)
                waiting = b""
                if not piece:
                    return
                read += len(piece)
                try:
                    parts.append(member.decompress(piece))
                except zlib.error:
                    return
            waiting = member.unused_data
            read -= len(waiting)
            yield read, b"".join(parts)


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
