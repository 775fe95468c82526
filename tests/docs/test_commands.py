"""Every command that a reader may copy composes: README and docs, the docstring of run.py, the comments of conf/."""

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from rsgrpo.command_line.arguments import CommandLine, read_command_line
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.errors import UserError
from rsgrpo.main import explain

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"

COMMAND = re.compile(
    r"(?:\S*/)?python3?[ ]+run\.py(?![\w.])(?P<run>[^\n`]*)|\bmake +train +ARGS=(?P<make>\"[^\"\n]*\")"
)
PLACEHOLDER = re.compile(r"<[^<>]*>|\.\.\.|…|\$\{?\w+\}?|\b[A-Z][A-Z_]+\b")
"""What a reader replaces: `<folder>`, `...`, `$HOME`, `RUN`."""
OWN = re.compile(r"_target_=(?!rsgrpo\.|callbacks\.)")
"""A class that the reader writes, which cannot be imported here."""


@dataclass(frozen=True)
class Command:
    """One command of a text."""

    where: str
    words: tuple[str, ...]
    refused: bool
    """Whether the text shows that it fails: `error:` on the next line, or `-> refused` beside it."""


def commands(text: str, name: str) -> Iterator[Command]:
    """The commands of a text, from code blocks and inline code; a backslash continues a line."""
    text = re.sub(r" *\\\n[ \t>#]*", " ", text)
    for match in COMMAND.finditer(text):
        if not _is_code(text, match.start()):
            continue
        rest = match["run"] if match["make"] is None else match["make"].strip('"')
        command, *comment = re.split(r" {2,}| ->| →| #", rest, maxsplit=1)
        command = command.strip()
        next_line = text[match.end() :].partition("\n")[2].lstrip().partition("\n")[0]
        refused = next_line.startswith("error:") or "refused" in "".join(comment)
        yield Command(f"{name}: {command or 'no argument'}", tuple(_words(command)), refused)


def _is_code(text: str, start: int) -> bool:
    """Inside backticks, on an indented or a fenced line, or in a comment; prose may mention `run.py` freely."""
    line = text[text.rfind("\n", 0, start) + 1 : start]
    fenced = len(re.findall(r"^ *(?:```|~~~)", text[:start], re.MULTILINE)) % 2 == 1
    return fenced or line.count("`") % 2 == 1 or re.fullmatch(r"\s*(?:[#>$] +|\w+=\S* +)*", line) is not None


def _words(command: str) -> Iterator[str]:
    """The arguments up to a pipe, redirection or `&&`, with placeholders and the run that `ckpt=` names taken out."""
    lexer = shlex.shlex(re.sub(r"<[^<>]*>", "...", command), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    for word in lexer:
        if set(word) <= set("|&;<>"):
            return
        key, _, value = word.partition("=")
        if key == "ckpt" or word == "...":
            continue
        is_path = key.endswith(("path", "dir"))
        yield f"{key}=null" if value and not is_path and PLACEHOLDER.fullmatch(value) else word


def _comments(file: Path) -> str:
    return "\n".join(re.findall(r"^ *#(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE))


def _docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


IN_RUN_PY = list(commands(_docstring(ROOT / "run.py"), "run.py"))

ALL = [
    *IN_RUN_PY,
    *(
        command
        for file in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
        if file.name != "CHANGELOG.md"  # what used to be
        for command in commands(file.read_text(encoding="utf-8"), file.relative_to(ROOT).as_posix())
    ),
    *(command for file in sorted(ROOT.glob("examples/*.py")) for command in commands(_docstring(file), file.name)),
    *(
        command
        for file in sorted(CONF.rglob("*.yaml"))
        for command in commands(_comments(file), file.relative_to(ROOT).as_posix())
    ),
]


def composed(words: list[str]) -> list[DictConfig]:
    """The configurations that a command line starts: one, or each of a sweep."""
    arguments = get_args_parser().parse_args(words)
    if arguments.config_dir is not None and not (ROOT / arguments.config_dir).is_dir():
        pytest.skip(f"{arguments.config_dir} is the reader's own folder")
    more = [] if arguments.config_dir is None else [f"hydra.searchpath=[file://{ROOT / arguments.config_dir}]"]
    jobs = [arguments.overrides]
    if arguments.multirun:
        parsed = OverridesParser.create().parse_overrides(arguments.overrides)
        jobs = [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return [_of_a_run(compose("config", [*job, *more], return_hydra_config=True)) for job in jobs]


def _of_a_run(cfg: DictConfig) -> DictConfig:
    """The configuration as a run gets it: with a run folder, without Hydra's own section."""
    OmegaConf.update(cfg, "hydra.runtime.output_dir", "run")
    HydraConfig.instance().set_config(cfg)
    try:
        OmegaConf.set_struct(cfg, False)
        del cfg["hydra"]
        OmegaConf.resolve(cfg)
    finally:
        HydraConfig.instance().cfg = None
    return cfg


@functools.cache
def check(words: tuple[str, ...]) -> int:
    """Compose a command, and build what it trains with unless that needs the reader; the number of runs it starts.

    The same words are the same command wherever they are shown.

    Raises:
        UserError: with what the command line would say.
    """
    line = CommandLine(flags=(), overrides=(), conf=CONF, own=None)
    try:
        if not any(word.startswith("--config-dir") for word in words):  # the reader's own folder
            line = read_command_line(list(words), CONF)
        configurations = composed(line.words or list(words))
        if not any(OWN.search(word) or word.endswith("=null") for word in words):
            for cfg in configurations:
                build_recipe(cfg)
    except UserError:
        raise
    except Exception as error:
        raise UserError(explain(error, line)) from error
    return len(configurations)


@pytest.mark.parametrize("command", [pytest.param(command, id=command.where) for command in ALL])
def test_a_command_that_is_shown_does_what_is_shown(command: Command) -> None:
    if command.refused:
        with pytest.raises(UserError):
            check(command.words)
    else:
        assert check(command.words) >= 1


def test_run_py_shows_commands_that_are_checked() -> None:
    assert any(not command.words for command in IN_RUN_PY)
    assert any(any(word.startswith("objective=") for word in command.words) for command in IN_RUN_PY)


@pytest.mark.parametrize(
    ("text", "words", "runs"),
    [
        pytest.param("    python run.py\n", [()], [1], id="indented"),
        pytest.param("```sh\n.venv/bin/python run.py seed=1  # a run\n```\n", [("seed=1",)], [1], id="fenced"),
        pytest.param("See `python run.py seed=1` and run.py.", [("seed=1",)], [1], id="inline"),
        pytest.param("Type python run.py and wait.", [], [], id="prose"),
        pytest.param(
            "    python run.py seed=1 \\\n        iterations=2\n", [("seed=1", "iterations=2")], [1], id="long"
        ),
        pytest.param("    python run.py seed=1   a comment\n", [("seed=1",)], [1], id="comment in a column"),
        pytest.param("    A=1 python run.py seed=1 | tee log\n", [("seed=1",)], [1], id="pipe"),
        pytest.param("    python run.py ckpt=RUN iterations=9\n", [("iterations=9",)], [1], id="resumed"),
        pytest.param("    python run.py seed=<seed>\n", [("seed=null",)], [1], id="placeholder"),
        pytest.param("    python run.py model.path=RUN\n", [("model.path=RUN",)], [1], id="path"),
        pytest.param("    python run.py -m objective=grpo,rs_grpo seed=0,1,2\n", [...], [6], id="sweep"),
        pytest.param('    make train ARGS="seed=1 iterations=2"\n', [("seed=1", "iterations=2")], [1], id="make"),
    ],
)
def test_a_command_is_read_as_a_shell_would(text: str, words: list[object], runs: list[int]) -> None:
    """The reader of this file is itself checked: what it cannot read, it would not test."""
    found = list(commands(text, "text"))
    if ... not in words:
        assert [command.words for command in found] == words
    assert [check(command.words) for command in found] == runs


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("    python run.py objective.betta=4\n", id="key"),
        pytest.param("    python run.py objective=rsgrpo\n", id="choice"),
        pytest.param("    python run.py objective.beta=nan\n", id="value"),
        pytest.param("    python run.py -m objective=grpo,rsgrpo\n", id="one of a sweep"),
    ],
)
def test_a_wrong_command_is_noticed(text: str) -> None:
    (command,) = commands(text, "text")
    assert not command.refused
    with pytest.raises(UserError):
        check(command.words)


def test_a_refusal_that_is_shown_is_expected() -> None:
    (command,) = commands("    python run.py objective.betta=4\n    error: objective.betta: no such key\n", "text")
    assert command.refused
