"""The base that is pretrained here is asked only what it can read, and what is unusual about a policy is told."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import DictConfig, OmegaConf

from rsgrpo.composition.alphabet import check_alphabet, spelled_out
from rsgrpo.composition.policy import remarks
from rsgrpo.data.arithmetic import Arithmetic
from rsgrpo.data.countdown import Countdown
from rsgrpo.data.local import Local
from rsgrpo.data.many_answers import ManyAnswers
from rsgrpo.data.path_star import PathStar
from rsgrpo.data.program import Program
from rsgrpo.data.source import DataSource
from rsgrpo.data.tree import Tree
from rsgrpo.errors import UserError
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_tokenizer
from rsgrpo.types import Problem, Prompt


def settings(path: str | None = None, **data: Any) -> DictConfig:
    corpus = {"_target_": "rsgrpo.data.countdown.Demonstrations"}
    return cast(
        DictConfig, OmegaConf.create({"model": {"path": path, "pretrain": {}}, "demonstrations": corpus, "data": data})
    )


def own(folder: Path, text: str) -> Local:
    file = folder / "own.jsonl"
    file.write_text(json.dumps({"problem": text, "answer": "2"}) + "\n")
    return Local(path=str(file))


@pytest.mark.parametrize("source", [Countdown(), Arithmetic(), ManyAnswers(), PathStar(), Program(), Tree()])
def test_the_built_in_tasks_can_be_read(source: DataSource) -> None:
    check_alphabet(settings(), source, ("train", "validation", "test"))


def test_words_are_refused_with_the_key_that_brings_a_model(tmp_path: Path) -> None:
    words = own(tmp_path, "What is 1 + 1?")
    says = r"^model\.path is not set, .* it cannot read 'What' of data file .*own\.jsonl line 1; .* with model\.path="
    with pytest.raises(UserError, match=says):
        check_alphabet(settings(), words, ("train",))
    check_alphabet(settings("folder"), words, ("train",))
    check_alphabet(settings(), own(tmp_path, "6 12 9 => 27 :"), ("train",))


def test_a_suffix_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UserError, match=r"cannot read 'Please' of data\.suffix; "):
        check_alphabet(settings(suffix="\nPlease box it."), Local(path="none.jsonl"), ("train",))


def test_an_ordinary_policy_has_nothing_unusual(policy: Policy) -> None:
    assert remarks(policy) == []


@pytest.mark.parametrize("end", [None, 10_000])
def test_a_policy_without_an_end_of_sequence_token_that_it_can_sample_is_told(policy: Policy, end: int | None) -> None:
    policy.model.generation_config.eos_token_id = end
    policy.tokenizer.eos_token = None
    (remark,) = remarks(policy)
    assert "has an end-of-sequence token that the model can sample: every completion will run to" in remark


def test_a_tokenizer_with_tokens_that_have_no_embedding_is_told(policy: Policy) -> None:
    policy.tokenizer.add_tokens(["<one>", "<two>"])
    (remark,) = remarks(policy)
    assert "has 429 tokens, and its model has embeddings for 427: a problem with one of the others will be" in remark


@pytest.mark.parametrize(
    ("texts", "spelled"),
    [
        (["What is 1 + 1?", "Find $\\frac{1}{2}$ of 3."], ["What", "Find"]),
        (["6 12 9 => 36 :"], []),
        (["Was kostet \u00c4pfelwein?"], ["kostet", "\u00c4pfelwein"]),
        (["x + y = 2", "\\frac{a}{b}"], []),
    ],
)
def test_problems_of_words_that_the_tokenizer_does_not_know(texts: list[str], spelled: list[str]) -> None:
    asked = [Prompt(problem=Problem(id=text, text=text, answer="2"), token_ids=(1,)) for text in texts]
    assert spelled_out(build_tokenizer(), asked) == spelled


def test_one_word_that_is_known_is_enough() -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["What"])
    asked = [Prompt(problem=Problem(id="1", text="What is Xyzz?", answer="2"), token_ids=(1,))]
    assert spelled_out(tokenizer, asked) == []
