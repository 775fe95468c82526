"""What every data source is, and its problems in the policy's tokens."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from transformers import PreTrainedTokenizerBase

from rsgrpo.data.prompting import PromptFormat, prompt_texts
from rsgrpo.errors import UserError, failures_name_their_place
from rsgrpo.types import Problem, Prompt

Split = Literal["train", "validation", "test"]


@runtime_checkable
class DataSource(Protocol):
    """Problems by split. A split that does not exist is an empty list."""

    @property
    def max_prompt_tokens(self) -> int | None:
        """Prompts with more tokens than this are dropped; None drops none."""
        ...

    def split(self, name: Split) -> list[Problem]: ...

    def removed(self, name: Split) -> Mapping[str, int]:
        """How many problems were left out of a split, by a reason that is read after the number: `repeated`."""
        ...


@runtime_checkable
class NamedSources(Protocol):
    """A data source that is made of several datasets and can say where each comes from."""

    def sources(self) -> Mapping[str, str]: ...


def problems_of(source: DataSource, split: Split) -> list[Problem]:
    """The problems of a split.

    Raises:
        UserError: naming the class of the user's that raised, or gave something else.
    """
    with failures_name_their_place("data", source, "split", like=DataSource.split):
        said: object = source.split(split)
    wrong = next((p for p in said if not isinstance(p, Problem)), None) if isinstance(said, list | tuple) else said
    if wrong is not None or not isinstance(said, list | tuple):
        raise UserError(
            f"data: {type(source).__name__}.split returned {type(said).__name__}"
            f"{f' with a {type(wrong).__name__}' if wrong is not said else ''}; return a list of rsgrpo.types.Problem, "
            "empty where there is no such split"
        )
    return list(said)


def removed_of(source: DataSource, split: Split) -> Mapping[str, int]:
    """How many problems were left out of a split, by reason.

    Raises:
        UserError: naming the class of the user's that raised, or gave something else.
    """
    with failures_name_their_place("data", source, "removed", like=DataSource.removed):
        said: object = source.removed(split)
    if not isinstance(said, Mapping) or not all(isinstance(count, int) for count in said.values()):
        raise UserError(
            f"data: {type(source).__name__}.removed returned {repr(said)[:100]}; return counts by reason, or {{}}"
        )
    return said


def digest(prompts: Sequence[Prompt]) -> str:
    """A hash of the problems and their tokens, in order: what a run was trained on, whatever it is called.

    >>> digest([]) == digest([Prompt(problem=Problem(id="p", text="1 + 1", answer="2"), token_ids=(1, 2))])
    False
    """
    content = hashlib.blake2b(digest_size=16)
    for prompt in prompts:
        record = [prompt.id, prompt.problem.text, prompt.problem.answer, prompt.token_ids]
        content.update(json.dumps(record).encode() + b"\n")
    return content.hexdigest()


def tokenize(
    problems: Sequence[Problem],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_prompt_tokens: int | None,
    max_new_tokens: int,
    context: int,
    vocabulary: int,
    prompt_format: PromptFormat | None = None,
) -> tuple[list[Prompt], int]:
    """The prompts of `problems`, and how many were left out for being longer than `max_prompt_tokens`.

    `context` is the policy's longest sequence, `vocabulary` how many tokens it has embeddings for.

    With a chat template the special tokens of a prompt are those of the template alone.

    Raises:
        UserError: when a prompt and `max_new_tokens` do not fit into the policy's context, is empty, or holds a token
            that has no embedding, or when the tokenizer has no chat template that takes it; see `prompt_texts`.
    """
    if not problems:
        return [], 0
    asked = prompt_format or PromptFormat()
    texts = prompt_texts(problems, tokenizer, asked)
    encoded = tokenizer(texts, add_special_tokens=not asked.chat_template).input_ids
    kept = []
    for problem, ids in zip(problems, encoded, strict=True):
        if max_prompt_tokens is not None and len(ids) > max_prompt_tokens:
            continue
        where = problem.origin or problem.id
        if not ids:
            raise UserError(f"{where}: the prompt has no tokens; give it a text")
        if max(ids) >= vocabulary:
            token = tokenizer.convert_ids_to_tokens(max(ids))
            raise UserError(
                f"path={tokenizer.name_or_path}: the tokenizer turns {token!r} of {where} into token {max(ids)}, "
                f"and the model has embeddings for {vocabulary:,} tokens; put the model's own tokenizer files there",
                path="policy",
            )
        if len(ids) + max_new_tokens > context:
            if max_new_tokens >= context:
                raise UserError(
                    f"max_new_tokens={max_new_tokens} leaves no room for a prompt in the policy's context of "
                    f"{context}; try max_new_tokens={context // 2}"
                )
            raise UserError(
                f"{where}: a prompt of {len(ids)} tokens and max_new_tokens={max_new_tokens} exceed the policy's "
                f"context of {context}; drop longer prompts with max_prompt_tokens={context - max_new_tokens}",
                max_prompt_tokens="data",
            )
        kept.append(Prompt(problem=problem, token_ids=tuple(ids)))
    return kept, len(problems) - len(kept)
