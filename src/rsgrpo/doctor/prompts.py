"""A prompt as the model sees it, and what ends a completion."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerBase

from rsgrpo.data.prompting import PromptFormat, prompt_texts
from rsgrpo.doctor.table import Result
from rsgrpo.types import Problem

SHOWN = 400
"""Characters of a prompt that are shown."""

ANSWER = "The answer is 7."


def round_trip(tokenizer: PreTrainedTokenizerBase, problem: Problem, prompt_format: PromptFormat) -> Result:
    """Text -> tokens -> text: nothing but white space may change on the way, and no beginning be put twice."""
    [text] = prompt_texts([problem], tokenizer, prompt_format)
    ids = tokenizer(text, add_special_tokens=not prompt_format.chat_template).input_ids
    shown = str(tokenizer.decode(ids))
    begin = tokenizer.bos_token_id
    if begin is not None and list(ids[:2]) == [begin, begin]:
        cure = "the template and the tokenizer both begin the text: remove one of them from tokenizer_config.json"
        return Result(f"{len(ids)} tokens that begin twice with {tokenizer.bos_token!r}", "once", False, cure)
    words = f"{len(ids)} tokens: {shown[:SHOWN]!r}" + ("..." if len(shown) > SHOWN else "")
    return Result(words, "the text that was asked", "".join(shown.split()).endswith("".join(text.split())))


def stops_of(source: str | Path, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The end-of-sequence tokens of a folder's or hub id's generation config, and of its tokenizer."""
    try:
        configured = GenerationConfig.from_pretrained(source).eos_token_id
    except OSError:
        configured = None
    several = configured if isinstance(configured, list) else [configured]
    return sorted({stop for stop in [*several, tokenizer.eos_token_id] if stop is not None})


def stop_tokens(tokenizer: PreTrainedTokenizerBase, stops: Sequence[int], prompt_format: PromptFormat) -> Result:
    """There are some, the model can sample them, and among them is what ends a turn of the chat template."""
    words = ", ".join(f"{tokenizer.convert_ids_to_tokens(stop)} ({stop})" for stop in stops) or "none"
    if not any(stop < len(tokenizer) for stop in stops):
        return Result(words, "one that the model can sample", False)
    if not prompt_format.chat_template:
        return Result(words)
    end = _end_of_turn(tokenizer, prompt_format)
    if end is None:
        return Result(f"{words}; the template ends a turn without a token of its own")
    name = tokenizer.convert_ids_to_tokens(end)
    cure = f"put {end} ({name}) into eos_token_id of generation_config.json: completions would run on after their end"
    return Result(words, f"{name}, which ends a turn", end in stops, cure)


def _end_of_turn(tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat) -> int | None:
    """The token right after what an assistant has said."""
    asked: Any = [{"role": "user", "content": "2 + 5 = ?"}, {"role": "assistant", "content": ANSWER}]
    said = str(tokenizer.apply_chat_template(asked, tokenize=False, **prompt_format.chat_template_kwargs))
    after = said.rpartition(ANSWER)[2]
    ids = tokenizer(after.lstrip(), add_special_tokens=False).input_ids
    return ids[0] if ids and ids[0] in {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder} else None
