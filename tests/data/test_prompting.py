"""From a problem to the text that the policy continues."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rsgrpo.data.few_shot import few_shot_of
from rsgrpo.data.prompting import Example, PromptFormat, arguments_of, prompt_texts
from rsgrpo.data.source import digest, tokenize
from rsgrpo.errors import FieldError, UserError
from rsgrpo.types import Message, Problem
from tests.data.test_source import CHATML, LLAMA, chat_tokenizer

PROBLEM = Problem(id="p/1", text="1 + 1?", answer="2")
SHOWN = (Example(question="2 + 2?", answer="4"), Example(question="3 + 3?", answer="6"))
TALK = Problem(
    id="p/2", text="Hi\n\nHello\n\n1 + 1?", answer="2", origin="own.jsonl line 2",
    messages=(Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "1 + 1?")),
)  # fmt: skip
OWN_SYSTEM = Problem(
    id="p/3", text="1 + 1?", answer="2", messages=(Message("system", "Mine."), Message("user", "1 + 1?"))
)

QWEN3 = (
    "{%- if tools %}{{- tools | tojson }}{%- endif %}{%- for message in messages %}"
    "{%- if message.role == 'assistant' %}{{- '<|im_start|>assistant\n' }}{% generation %}"
    "{{- message.content + '<|im_end|>\n' }}{% endgeneration %}{%- continue %}{%- endif %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}<|start|>{{ message['role'] }}\n"
    "{{ message['content'] | trim }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|start|>model\n{% endif %}"
)


def asked(template: str | None = CHATML, problem: Problem = PROBLEM, **settings: Any) -> str:
    """What the policy continues."""
    (text,) = prompt_texts([problem], chat_tokenizer(template), PromptFormat(**{"chat_template": True, **settings}))
    return text


def chatml(*turns: tuple[str, str]) -> str:
    return "".join(f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in turns) + "<|im_start|>assistant\n"


EXAMPLES = [("user", "2 + 2?"), ("assistant", "4"), ("user", "3 + 3?"), ("assistant", "6")]


@pytest.mark.parametrize("template", [CHATML, QWEN3], ids=["Qwen2.5", "Qwen3"])
@pytest.mark.parametrize(
    ("settings", "problem", "turns"),
    [
        ({}, PROBLEM, [("user", "1 + 1?")]),
        ({"system": "Be brief."}, PROBLEM, [("system", "Be brief."), ("user", "1 + 1?")]),
        ({"few_shot": SHOWN}, PROBLEM, [*EXAMPLES, ("user", "1 + 1?")]),
        (
            {"few_shot": SHOWN, "system": "Be brief."},
            PROBLEM,
            [("system", "Be brief."), *EXAMPLES, ("user", "1 + 1?")],
        ),
        ({}, TALK, [("user", "Hi"), ("assistant", "Hello"), ("user", "1 + 1?")]),
        ({"system": "Be brief."}, TALK, [("system", "Be brief."), *TALK.messages]),
        ({}, OWN_SYSTEM, [("system", "Mine."), ("user", "1 + 1?")]),
        ({"system": "Be brief."}, OWN_SYSTEM, [("system", "Mine."), ("user", "1 + 1?")]),
        ({"few_shot": SHOWN}, OWN_SYSTEM, [("system", "Mine."), *EXAMPLES, ("user", "1 + 1?")]),
    ],
)
def test_a_conversation_is_system_examples_problem(
    template: str, settings: dict[str, Any], problem: Problem, turns: list[tuple[str, str]]
) -> None:
    assert asked(template, problem, **settings) == chatml(*turns)


def test_so_it_is_in_the_template_of_llama() -> None:
    text = asked(LLAMA, system="Be brief.", few_shot=SHOWN[:1])
    turns = (("system", "Be brief."), ("user", "2 + 2?"), ("assistant", "4"), ("user", "1 + 1?"))
    body = "".join(f"<|start|>{role}<|end|>\n\n{said}<|eot|>" for role, said in turns)
    assert text == f"<bos>{body}<|start|>assistant<|end|>\n\n"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "1 + 1?"),
        ({"system": "Be brief."}, "Be brief.\n\n1 + 1?"),
        ({"few_shot": SHOWN}, "2 + 2?\n4\n\n3 + 3?\n6\n\n1 + 1?\n"),
        ({"few_shot": SHOWN[:1], "system": "Be brief."}, "Be brief.\n\n2 + 2?\n4\n\n1 + 1?\n"),
    ],
)
def test_without_a_template_the_parts_are_plain_text(settings: dict[str, Any], text: str) -> None:
    assert asked(chat_template=False, **settings) == text


def test_an_argument_of_the_template_reaches_it() -> None:
    plain = chatml(("user", "1 + 1?"))
    assert asked(QWEN3) == asked(QWEN3, chat_template_kwargs={"enable_thinking": True}) == plain
    assert asked(QWEN3, chat_template_kwargs={"enable_thinking": False}) == plain + "<think>\n\n</think>\n\n"


@pytest.mark.parametrize(
    ("template", "known"), [(QWEN3, ["enable_thinking", "tools"]), (CHATML, []), (LLAMA, []), (GEMMA, [])]
)
def test_the_arguments_of_a_template_are_those_that_nobody_else_gives(template: str, known: list[str]) -> None:
    assert arguments_of(chat_tokenizer(template)) == known


@pytest.mark.parametrize("name", ["enable_thinkin", "messages", "add_generation_prompt", "bos_token"])
def test_an_argument_that_the_template_does_not_use_is_refused_with_those_that_it_does(name: str) -> None:
    with pytest.raises(
        UserError, match=rf"^chat_template_kwargs\.{name}=false: .* \(it uses enable_thinking, tools\); leave it out$"
    ):
        asked(QWEN3, chat_template_kwargs={name: False})
    with pytest.raises(UserError, match=r"has no use for it \(it uses none\)"):
        asked(LLAMA, chat_template_kwargs={name: False})


def test_an_argument_without_a_template_is_refused() -> None:
    with pytest.raises(FieldError, match=r"^chat_template_kwargs\.enable_thinking=false is for a chat template; add"):
        PromptFormat(chat_template_kwargs={"enable_thinking": False})


@pytest.mark.parametrize("system", ["", " \n"])
def test_an_empty_system_message_is_refused(system: str) -> None:
    with pytest.raises(FieldError, match=r"^system=.* is empty; try system=null"):
        PromptFormat(system=system)


@pytest.mark.parametrize(
    ("settings", "problem", "says"),
    [
        ({"system": "A"}, PROBLEM, r"of p/1 \(their roles: system, user\): System role .*; ask without, system=None$"),
        ({}, OWN_SYSTEM, r"of p/3 \(their roles: system, user\): .*; give it messages that the template takes$"),
        (
            {},
            Problem(id="p/4", text="a", answer="2", messages=(Message("user", "a"), Message("user", "b"))),
            r"of p/4 \(their roles: user, user\): Conversation roles must alternate; give it",
        ),
    ],
)
def test_roles_that_a_template_refuses_are_named(settings: dict[str, Any], problem: Problem, says: str) -> None:
    assert asked(GEMMA).endswith("1 + 1?<|end|>\n<|start|>model\n")
    with pytest.raises(UserError, match=says):
        asked(GEMMA, problem, **settings)


def test_a_conversation_needs_a_template() -> None:
    says = r"^own\.jsonl line 2: a conversation of 3 messages needs a chat template; .*columns\.problem=COLUMN\.2\.cont"
    with pytest.raises(UserError, match=says):
        asked(problem=TALK, chat_template=False)
    with pytest.raises(UserError, match="has no chat template"):
        asked(None, problem=TALK)


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ((Message("user", "a"), Message("assistant", "b")), r"^p/5: its last message is of the assistant"),
        (({"role": "user", "content": "a"},), r"^p/5: .* is no message; give a rsgrpo\.types\.Message"),
        ((Message("user", 1),), r"^p/5: .* is no message"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_messages_that_nobody_can_answer_are_refused(messages: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        asked(problem=Problem(id="p/5", text="a", answer="2", messages=messages))


def digest_of(**settings: Any) -> str:
    prompts, _ = tokenize(
        [PROBLEM],
        chat_tokenizer(QWEN3),
        max_prompt_tokens=None,
        max_new_tokens=8,
        context=2048,
        vocabulary=427,
        prompt_format=PromptFormat(**{"chat_template": True, **settings}),
    )
    return digest(prompts)


def test_whatever_changes_a_prompt_changes_the_digest_of_the_data() -> None:
    ways: Sequence[dict[str, Any]] = (
        {},
        {"system": "Be brief."},
        {"few_shot": SHOWN},
        {"few_shot": SHOWN[:1]},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"chat_template": False},
    )
    assert len({digest_of(**way) for way in ways}) == len(ways)
    assert digest_of() == digest_of(chat_template_kwargs={"enable_thinking": True})  # the very same prompt


def test_examples_are_a_list_or_a_file_and_get_the_suffix(tmp_path: Path) -> None:
    listed = few_shot_of([{"question": "2 + 2?", "answer": 4}, {"question": "3 + 3?", "answer": "6"}])
    assert listed == SHOWN
    file = tmp_path / "shown.jsonl"
    file.write_text('{"question": "2 + 2?", "answer": 4}\n{"question": "3 + 3?", "answer": "6", "source": "x"}\n')
    assert few_shot_of(str(file)) == SHOWN
    assert few_shot_of(str(file), suffix=" Box it.")[0] == Example(question="2 + 2? Box it.", answer="4")
    assert few_shot_of(None) == ()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], r"^few_shot=\[\] must be a list of \{question, answer\}, or a file"),
        ("", r"^few_shot= must be a list"),
        (3, r"^few_shot=3 must be a list"),
        (["2 + 2?"], r"^few_shot\.0=2 \+ 2\? must have a question and an answer, and nothing else; try 'few_shot="),
        ([{"question": "a"}], r"^few_shot\.0=.* must have a question and an answer"),
        ([{"question": "a", "answer": "b", "c": 1}], r"^few_shot\.0=.* and nothing else"),
        ([{"question": "a", "answer": True}], r"^few_shot\.0\.answer=True must be text; put it in quotes$"),
        ([{"question": "a", "answer": "b"}, {"question": " ", "answer": "b"}], r"^few_shot\.1\.question= is empty"),
    ],
)
def test_examples_of_another_shape_are_refused(given: object, says: str) -> None:
    with pytest.raises(FieldError, match=says):
        few_shot_of(given)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"^few_shot=.*shown\.jsonl: no such file"),
        ('{"problem": "a", "answer": "b"}\n', r"line 1 has no field 'question'"),
        ("nonsense\n", r"line 1 is not JSON"),
    ],
)
def test_a_file_of_examples_that_is_wrong_is_named(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "shown.jsonl"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=says):
        few_shot_of(str(file))
