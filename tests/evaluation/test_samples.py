"""The file of samples: whole blocks or none, counts, and what is left to draw."""

import gzip
from pathlib import Path
from typing import Any

import pytest
import torch

from rsgrpo.evaluation.batches import blocks
from rsgrpo.evaluation.evaluate import merged
from rsgrpo.evaluation.samples import chunk_record, counted
from rsgrpo.run_folder import append_block, cut_to_whole_blocks, read_chunks
from rsgrpo.types import Completion, Group, Problem, Prompt, Score, ScoredGroup


def prompt(name: str) -> Prompt:
    return Prompt(problem=Problem(id=name, text=name, answer="2", facts={"level": 1}), token_ids=(1,))


def scored(name: str, texts: list[str]) -> ScoredGroup:
    completions = tuple(
        Completion(
            token_ids=(1,) * len(text),
            logprobs=torch.full((len(text),), -0.5),
            text=text,
            finished=len(text) < 4,
            policy_version=0,
        )
        for text in texts
    )
    scores = tuple(Score(value=float(t == "2"), correct=t == "2", parts={"wrong": float(t != "2")}) for t in texts)
    return ScoredGroup(group=Group(prompt=prompt(name), completions=completions), scores=scores)


class Reward:
    """Says which answer a completion gives: its text."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        raise NotImplementedError

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        return completion.text or None


def chunk(name: str, texts: list[str], start: int = 0, keep: Any = "none") -> dict[str, Any]:
    return chunk_record(scored(name, texts), start, Reward(), keep)


def test_a_chunk_says_everything_of_each_sample():
    assert chunk("a", ["2", "", "1234"], start=64) == {
        "problem": "a",
        "start": 64,
        "answers": ["2", None, "1234"],
        "correct": [1, 0, 0],
        "rewards": [1.0, 0.0, 0.0],
        "tokens": [1, 0, 4],
        "finished": [1, 1, 0],
        "logprobs": [-0.5, None, -0.5],
        "parts": {"wrong": 2.0},
    }


@pytest.mark.parametrize(
    ("keep", "kept"), [("all", {"0": "1", "1": "2", "2": "2"}), ("first_right", {"1": "2"}), ("none", None)]
)
def test_completions_are_kept_when_asked(keep: str, kept: dict[str, str] | None):
    assert chunk("a", ["1", "2", "2"], keep=keep).get("texts") == kept


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_block_that_was_cut_short_is_none(tmp_path: Path, cut: int):
    file = tmp_path / "eval" / "test.samples.jsonl.gz"
    append_block(file, [chunk("a", ["2"]), chunk("b", ["3"])])
    whole = file.read_bytes()
    append_block(file, [chunk("a", ["2"], 1)])
    file.write_bytes(file.read_bytes()[:-cut])
    assert [c["problem"] for c in read_chunks(file)] == ["a", "b"]
    cut_to_whole_blocks(file)
    assert file.read_bytes() == whole
    append_block(file, [chunk("c", ["2"])])
    assert [c["problem"] for c in read_chunks(file)] == ["a", "b", "c"]
    assert len(gzip.decompress(file.read_bytes()).splitlines()) == 3  # what zcat reads


def test_the_same_samples_are_the_same_file(tmp_path: Path):
    for name in ("one", "two"):
        append_block(tmp_path / name, [chunk("a", ["2"] * 9)])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_no_file_has_no_chunks(tmp_path: Path):
    assert list(read_chunks(tmp_path / "none")) == []
    cut_to_whole_blocks(tmp_path / "none")


def test_chunks_are_counted_by_problem():
    chunks = [chunk("b", ["2", "1"]), chunk("a", ["1234"]), chunk("b", ["22"], 2)]
    a, b = counted(iter(chunks), [prompt("a"), prompt("b"), prompt("c")])
    assert (a.problem_id, a.n, a.correct, a.mean_tokens, a.truncated) == ("a", 1, 0, 4.0, 1)
    assert (b.problem_id, b.n, b.correct, b.mean_tokens, b.parts) == ("b", 3, 1, 4 / 3, {"wrong": 2.0})
    assert b.facts == {"level": 1}
    both = merged([b], counted(iter([chunk("b", ["2"])]), [prompt("b")]))
    assert (both[0].n, both[0].correct, both[0].mean_tokens, both[0].parts) == (4, 2, 5 / 4, {"wrong": 2.0})


def units(*args: Any, **options: Any) -> list[list[tuple[str, int, int]]]:
    return [
        [(p.id, start, number) for p, start, number in zip(b.prompts, b.starts or (), b.numbers or (), strict=True)]
        for b in blocks("test", *args, **options)
    ]


def test_an_evaluation_that_goes_on_has_the_blocks_that_were_left():
    prompts = [prompt(name) for name in "abc"]
    totals = [10, 4, 7]
    whole = units(prompts, totals, {}, chunk=4, block=9)
    assert [unit for block in whole for unit in block] == [
        *(("a", 0, 4), ("b", 0, 4), ("c", 0, 4)),
        *(("a", 4, 4), ("c", 4, 3)),
        ("a", 8, 2),
    ]
    drawn: dict[str, int] = {}
    for done, block in enumerate(whole):
        assert units(prompts, totals, drawn, chunk=4, block=9) == whole[done:]
        for name, start, number in block:
            assert drawn.get(name, 0) == start  # never the same sample twice
            drawn[name] = start + number
    assert drawn == {"a": 10, "b": 4, "c": 7}
    assert units(prompts, totals, drawn, chunk=4, block=9) == []


def test_more_samples_extend_what_is_there():
    prompts = [prompt("a"), prompt("b")]
    assert units(prompts, [7, 7], {"a": 6, "b": 6}, chunk=4, block=99) == [[("a", 6, 1), ("b", 6, 1)]]
    assert units(prompts, [10, 3], {"a": 6, "b": 6}, chunk=4, block=99) == [[("a", 6, 2), ("a", 8, 2)]]
