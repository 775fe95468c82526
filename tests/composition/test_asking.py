"""`data.system`, `data.few_shot` and `model.chat_template_kwargs`, from the command line to the prompts of a run."""

import json
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from rsgrpo import run_folder
from rsgrpo.command_line.arguments import read_command_line
from rsgrpo.command_line.own_names import CONF, in_keys
from rsgrpo.composition.asking import build_format, build_source
from rsgrpo.data.prompting import Example, PromptFormat
from rsgrpo.data.source import problems_of
from rsgrpo.errors import UserError
from rsgrpo.types import Message
from tests.processes import python


def format_of(*words: str) -> PromptFormat:
    """The format that words of a command line lead to."""
    line = read_command_line(words, CONF)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_format(compose("config", line.words))


def test_a_run_is_asked_plainly_unless_it_says_otherwise() -> None:
    assert format_of() == PromptFormat()
    assert format_of("model=qwen3_4b") == PromptFormat(chat_template=True)


def test_the_keys_of_prompts_are_read() -> None:
    found = format_of(
        "model=qwen3_4b",
        "data.system=Be brief.",
        'data.few_shot=[{question:"1 + 1?",answer:2}]',
        "data.suffix=' Box it.'",
        "model.chat_template_kwargs.enable_thinking=false",
    )
    assert found == PromptFormat(
        chat_template=True,
        chat_template_kwargs={"enable_thinking": False},
        system="Be brief.",
        few_shot=(Example(question="1 + 1? Box it.", answer="2"),),
    )


@pytest.mark.parametrize(
    "word",
    [
        "model.chat_template_kwargs.enable_thinking=false",
        "+model.chat_template_kwargs.enable_thinking=false",
        "++model.chat_template_kwargs.enable_thinking=false",
        "model.chat_template_kwargs={enable_thinking:false}",
    ],
)
def test_an_argument_of_the_template_is_set_with_and_without_a_plus(word: str) -> None:
    assert format_of("model=qwen3_4b", word).chat_template_kwargs == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["data.system=[a]"], r"^data\.system=\['a'\] must be text; try data\.system=null$"),
        (["data.system=''"], r"^data\.system= is empty; try data\.system=null$"),
        (["data.few_shot=[a]"], r"^data\.few_shot\.0=a must have a question .*; try 'data\.few_shot=\["),
        (["data.few_shot=none.jsonl"], r"^data\.few_shot=none\.jsonl: no such file; name "),
        (
            ["model.chat_template_kwargs.enable_thinking=false"],
            r"^model\.chat_template_kwargs\.enable_thinking=false is for a chat template; add model\.chat_temp",
        ),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_what_is_wrong_is_named_by_its_key(words: list[str], says: str) -> None:
    with pytest.raises(UserError) as caught:
        format_of(*words)
    assert re.search(says, in_keys(caught.value)), in_keys(caught.value)


def test_a_source_of_any_class_is_built_without_them(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    turns = [{"role": "system", "content": "Mine."}, {"role": "user", "content": "1 + 1?"}]
    rows = [{"prompt": turns, "answer": "2"}, {"prompt": turns[1:], "answer": "2"}, {"prompt": "2 + 2?", "answer": "4"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [
        "data=local",
        f"data.path={file}",
        "data.columns.problem=prompt",
        "data.system=Be brief.",
        'data.suffix="!"',
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        source = build_source(compose("config", words))
    problems = problems_of(source, "train")
    assert [(p.text, p.messages) for p in problems] == [
        ("1 + 1?", (Message("system", "Mine."), Message("user", "1 + 1?"))),
        ("2 + 2?!", ()),
    ]  # the second is the first again, without its system message
    assert source.removed("train") == {"repeated": 1}


@pytest.mark.slow
def test_a_run_shows_its_examples_and_a_resumed_one_must_keep_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [
        "experiment=smoke",
        "iterations=1",
        "eval.base=false",
        'data.few_shot=[{question:"1 2 3 => 6 :",answer:"1 + 2 = 3"}]',
        f'hydra.run.dir="{run}"',
    ]
    first = python("run.py", *words)
    assert first.returncode == 0, first.stderr
    assert run_folder.read_config(run)["data"]["few_shot"] == [{"question": "1 2 3 => 6 :", "answer": "1 + 2 = 3"}]
    again = python("run.py", f"ckpt={run}", "iterations=2", "data.few_shot=null")
    assert again.returncode == 2
    assert "data.few_shot was [" in again.stderr
