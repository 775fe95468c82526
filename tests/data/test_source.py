import string
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from rsgrpo.data.countdown import Countdown
from rsgrpo.data.local import Local
from rsgrpo.data.maths import Maths
from rsgrpo.data.prompting import PromptFormat
from rsgrpo.data.source import DataSource, problems_of, removed_of, tokenize
from rsgrpo.errors import UserError
from rsgrpo.models.tiny import build_tokenizer
from rsgrpo.types import Problem, Prompt

TOKENIZER = build_tokenizer()


def problem(numbers: int, origin: str = "") -> Problem:
    """A problem whose prompt has exactly `numbers` tokens."""
    return Problem(id=f"p/{numbers}", text=" ".join(["7"] * numbers), answer="7", origin=origin)


def test_prompts_hold_the_tokens_of_their_problems_in_order():
    problems = [problem(n) for n in (5, 1, 30)]
    prompts, dropped = tokenize(
        problems, TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=2048, vocabulary=427
    )
    assert dropped == 0
    assert [p.problem for p in prompts] == problems
    assert [p.id for p in prompts] == ["p/5", "p/1", "p/30"]
    assert [len(p.token_ids) for p in prompts] == [5, 1, 30]
    assert [TOKENIZER.decode(list(p.token_ids)) for p in prompts] == [p.text for p in problems]


@pytest.mark.parametrize(
    ("limit", "kept"), [(None, [3, 9, 4, 10]), (10, [3, 9, 4, 10]), (9, [3, 9, 4]), (3, [3]), (2, [])]
)
def test_longer_prompts_are_dropped_and_counted(limit: int | None, kept: list[int]):
    problems = [problem(n) for n in (3, 9, 4, 10)]
    prompts, dropped = tokenize(
        problems, TOKENIZER, max_prompt_tokens=limit, max_new_tokens=8, context=2048, vocabulary=427
    )
    assert [len(p.token_ids) for p in prompts] == kept
    assert dropped == 4 - len(kept)


def test_no_problems_are_no_prompts():
    assert tokenize([], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=2048, vocabulary=427) == ([], 0)


def test_a_prompt_may_fill_the_context_exactly_and_not_by_one_token_more():
    prompts, _ = tokenize(
        [problem(12)], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20, vocabulary=427
    )
    assert len(prompts) == 1
    with pytest.raises(UserError):
        tokenize([problem(13)], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20, vocabulary=427)


def test_an_overlong_prompt_is_named_by_its_place_with_the_keys_that_cure_it():
    problems = [problem(3), problem(13, origin="data file own.jsonl line 12")]
    with pytest.raises(UserError) as caught:
        tokenize(problems, TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20, vocabulary=427)
    message = str(caught.value)
    assert "own.jsonl line 12" in message
    assert "13 tokens" in message
    assert " max_new_tokens=8" in message
    assert message.endswith(" max_prompt_tokens=12")
    prompts, dropped = tokenize(problems, TOKENIZER, max_prompt_tokens=12, max_new_tokens=8, context=20, vocabulary=427)
    assert (len(prompts), dropped) == (1, 1)  # the advice works


def test_an_overlong_prompt_without_an_origin_is_named_by_its_id():
    with pytest.raises(UserError, match="p/13"):
        tokenize([problem(13)], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20, vocabulary=427)


def test_a_prompt_without_tokens_is_refused():
    empty = Problem(id="p/0", text="", answer="7", origin="data file own.jsonl line 3")
    with pytest.raises(UserError, match=r"own\.jsonl line 3: the prompt has no tokens; give it a text"):
        tokenize([empty], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20, vocabulary=427)


def test_a_token_without_an_embedding_is_refused_with_its_problem_and_nothing_else_is():
    ids = TOKENIZER("12").input_ids
    own = Problem(id="p/0", text="12", answer="7", origin="data file own.jsonl line 3")
    fits, _ = tokenize([own], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20, vocabulary=max(ids) + 1)
    assert fits[0].token_ids == tuple(ids)
    with pytest.raises(UserError, match=rf"^path=.*own\.jsonl line 3 into token {max(ids)}, and .* {max(ids)} tok"):
        tokenize([own], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20, vocabulary=max(ids))


CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for message in messages %}<|start|>{{ message.role }}<|end|>\n\n{{ message.content | trim }}"
    "<|eot|>{% endfor %}{% if add_generation_prompt %}<|start|>assistant<|end|>\n\n{% endif %}"
)


def chat_tokenizer(template: str | None) -> PreTrainedTokenizerFast:
    """A token per character and per special token, with a beginning that is put before every text, as Llama's."""
    special = ["<bos>", "<eos>", "<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>", "<|eot|>"]
    vocabulary = {name: i for i, name in enumerate([*special, *string.printable])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<eos>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    raw.decoder = decoders.Fuse()
    raw.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<bos>", eos_token="<eos>", additional_special_tokens=special[2:]
    )
    tokenizer.chat_template = template
    return tokenizer


def chat(tokenizer: PreTrainedTokenizerFast, text: str = "1 + 1?", **more: int | None) -> tuple[list[Prompt], int]:
    settings = {"max_prompt_tokens": None, "max_new_tokens": 8, "context": 2048, "vocabulary": 427} | more
    problems = [Problem(id="p/1", text=text, answer="2")]
    return tokenize(problems, tokenizer, prompt_format=PromptFormat(chat_template=True), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        pytest.param(CHATML, "<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n", id="Qwen"),
        pytest.param(LLAMA, "<bos><|start|>user<|end|>\n\n1 + 1?<|eot|><|start|>assistant<|end|>\n\n", id="Llama"),
    ],
)
def test_a_chat_prompt_is_the_rendered_template_with_its_special_tokens_once(template: str, expected: str):
    tokenizer = chat_tokenizer(template)
    ((prompt,), _) = chat(tokenizer)
    assert tokenizer.decode(list(prompt.token_ids)) == expected
    assert list(prompt.token_ids).count(0) == expected.count("<bos>")
    assert prompt.problem.text == "1 + 1?"
    special = [i for i in prompt.token_ids if i < 7]
    assert len(special) == sum(expected.count(name) for name in tokenizer.all_special_tokens)


def test_without_the_template_the_tokenizer_puts_its_own_beginning():
    tokenizer = chat_tokenizer(LLAMA)
    problems = [Problem(id="p/1", text="1 + 1?", answer="2")]
    ((prompt,), _) = tokenize(problems, tokenizer, max_prompt_tokens=None, max_new_tokens=8, context=99, vocabulary=427)
    assert tokenizer.decode(list(prompt.token_ids)) == "<bos>1 + 1?"


def test_a_chat_prompt_is_measured_with_its_template():
    tokenizer = chat_tokenizer(LLAMA)
    ((prompt,), _) = chat(tokenizer)
    length = len(prompt.token_ids)
    assert length > len("1 + 1?")
    assert chat(tokenizer, max_prompt_tokens=length)[1] == 0
    assert chat(tokenizer, max_prompt_tokens=length - 1) == ([], 1)


def test_a_tokenizer_without_a_template_is_refused_with_the_key():
    with pytest.raises(UserError, match=r"chat_template=True: .* no chat template; .*chat_template=False"):
        chat(chat_tokenizer(None))


def test_a_template_that_refuses_is_refused_with_its_words():
    tokenizer = chat_tokenizer("{{ raise_exception('no system message') }}")
    with pytest.raises(UserError, match=r"no system message.*chat_template=False"):
        chat(tokenizer)


def test_the_built_in_sources_are_data_sources():
    assert isinstance(Countdown(), DataSource)
    assert isinstance(Local(path="own.jsonl"), DataSource)
    assert isinstance(Maths(name="own", path="own.jsonl"), DataSource)


def test_countdown_leaves_nothing_out():
    assert Countdown().removed("train") == {}


class OwnSource:
    """Whatever it is told to say."""

    max_prompt_tokens = None

    def __init__(self, says: Any) -> None:
        self.says = says

    def split(self, name: str) -> Any:
        return self.says[name] if isinstance(self.says, dict) else self.says

    def removed(self, name: str) -> Any:
        return self.says


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ({}, r"data: OwnSource\.split raised KeyError\('train'\) \(\S+test_source\.py, line \d+\)"),
        (None, r"data: OwnSource\.split returned NoneType; return a list of rsgrpo\.types\.Problem"),
        (["1 + 1"], r"data: OwnSource\.split returned list with a str; return a list of rsgrpo\.types\.Problem"),
        ("text", r"data: OwnSource\.split returned str;"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_a_source_of_ones_own_that_is_wrong_is_one_sentence(says: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        problems_of(OwnSource(says), "train")


@pytest.mark.parametrize("says", [None, [1], {"repeated": "two"}])
@pytest.mark.usefixtures("as_users_run_it")
def test_what_was_removed_is_counted(says: Any) -> None:
    with pytest.raises(UserError, match=r"data: OwnSource\.removed returned .*; return counts by reason"):
        removed_of(OwnSource(says), "train")
