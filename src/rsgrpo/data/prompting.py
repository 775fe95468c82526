"""From a problem to the text that the policy continues: system message, worked examples, chat template.

Without a chat template the parts are plain text, each followed by an empty line; an example's answer begins on the line
after its question, and so does the policy's:

    SYSTEM

    QUESTION OF THE FIRST EXAMPLE
    ITS ANSWER

    PROBLEM
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import Extension
from jinja2.meta import find_undeclared_variables
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers import PreTrainedTokenizerBase

from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import as_typed, check_fields
from rsgrpo.types import Message, Problem

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"

GIVEN = ("messages", "add_generation_prompt", "continue_final_message", "raise_exception", "strftime_now")
"""What a template gets from whoever renders it, beside the special tokens of its tokenizer."""

BETWEEN = "\n\n"
"""Between the parts of a plain prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A question with its answer, shown to the policy before each problem."""

    question: str
    answer: str

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class PromptFormat:
    """How a problem becomes a prompt.

    Raises:
        FieldError: for a value that does not make sense.
    """

    chat_template: bool = False
    """Whether a problem is a user's turn in the tokenizer's own template, which ends where the assistant begins."""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """What else the template is given: `{"enable_thinking": False}`."""
    system: str | None = None
    """A system message, put first. A conversation that has one keeps its own."""
    few_shot: Sequence[Example] = ()
    """Worked examples, put before each problem: turns of the user and the assistant."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.system is not None and not self.system.strip():
            raise FieldError("system", self.system, "is empty", "try system=null")
        if self.chat_template_kwargs and not self.chat_template:
            name, value = next(iter(self.chat_template_kwargs.items()))
            raise FieldError(
                f"chat_template_kwargs.{name}", as_typed(value), "is for a chat template", "add chat_template=true"
            )

    def turns(self, problem: Problem) -> list[Message]:
        """The conversation that a problem is asked in."""
        own = list(problem.messages) or [Message(USER, problem.text)]
        system = [Message(SYSTEM, self.system)] if self.system is not None else []
        if own[0].role == SYSTEM:
            system, own = own[:1], own[1:]
        shown = [turn for e in self.few_shot for turn in (Message(USER, e.question), Message(ASSISTANT, e.answer))]
        return [*system, *shown, *own]

    def plain(self, problem: Problem) -> str:
        """The text of a problem without a template; see the module."""
        shown = [f"{example.question}\n{example.answer}" for example in self.few_shot]
        parts = [*([] if self.system is None else [self.system]), *shown, problem.text]
        return BETWEEN.join(parts) + ("\n" if shown else "")


def prompt_texts(
    problems: Sequence[Problem], tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat
) -> list[str]:
    """What the policy continues, problem by problem.

    Raises:
        UserError: for a conversation without a chat template, for a tokenizer that has none, for a template that
            refuses a conversation, and for an argument that it does not use.
    """
    for problem in problems:
        check_conversation(problem)
    if not prompt_format.chat_template:
        for problem in problems:
            if problem.messages:
                raise UserError(
                    f"{_place(problem)}: a conversation of {len(problem.messages)} messages needs a chat template; "
                    "set chat_template=True, or name the one message that is the problem: "
                    f"columns.problem=COLUMN.{len(problem.messages) - 1}.content",
                    chat_template="policy",
                    columns="data",
                )
        return [prompt_format.plain(problem) for problem in problems]
    _check_template(tokenizer, prompt_format)
    return [_rendered(problem, tokenizer, prompt_format) for problem in problems]


def check_conversation(problem: Problem) -> None:
    """Refuse messages that no policy can answer.

    Raises:
        UserError: naming the problem.
    """
    for message in problem.messages:
        if not (isinstance(message, Message) and isinstance(message.role, str) and isinstance(message.content, str)):
            raise UserError(
                f"{_place(problem)}: {str(message)[:100]} is no message; give a rsgrpo.types.Message(role, content), "
                "both text"
            )
    if problem.messages and problem.messages[-1].role != USER:
        raise UserError(
            f"{_place(problem)}: its last message is of the {problem.messages[-1].role}, and the policy answers the "
            "user; end the conversation with a message of the role user"
        )


def _check_template(tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat) -> None:
    if tokenizer.chat_template is None:
        raise UserError(
            f"chat_template=True: the tokenizer of path={tokenizer.name_or_path} has no chat template; ask without "
            "one, chat_template=False",
            chat_template="policy",
            path="policy",
        )
    given = prompt_format.chat_template_kwargs
    known = arguments_of(tokenizer) if given else []
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        uses = f"it uses {', '.join(known)}" if known else "it uses none"
        raise UserError(
            f"chat_template_kwargs.{unknown}={as_typed(given[unknown])}: the chat template of "
            f"path={tokenizer.name_or_path} has no use for it ({uses}); leave it out",
            chat_template_kwargs="policy",
            path="policy",
        )


def arguments_of(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The arguments that the chat template of a tokenizer uses, beside those that every template is given."""
    environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols", _Generation])
    used = find_undeclared_variables(environment.parse(tokenizer.get_chat_template()))
    return sorted(used - {*GIVEN, *tokenizer.special_tokens_map})


class _Generation(Extension):
    """The tag `{% generation %}`, by which transformers marks what the assistant says."""

    tags = {"generation"}  # noqa: RUF012 (as jinja declares it)

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_said"), [], [], body).set_lineno(line)

    def _said(self, caller: Any) -> str:
        return caller()


def _rendered(problem: Problem, tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat) -> str:
    turns = prompt_format.turns(problem)
    try:
        rendered = tokenizer.apply_chat_template(
            [turn._asdict() for turn in turns],
            add_generation_prompt=True,
            tokenize=False,
            **prompt_format.chat_template_kwargs,
        )
    except TemplateError as error:
        raise _refused(problem, turns, prompt_format, tokenizer, error) from error
    assert isinstance(rendered, str)
    return rendered


def _refused(
    problem: Problem,
    turns: Sequence[Message],
    prompt_format: PromptFormat,
    tokenizer: PreTrainedTokenizerBase,
    error: TemplateError,
) -> UserError:
    """What to say of a template that refuses; whether it takes a plain problem tells what it objects to."""
    roles = ", ".join(turn.role for turn in turns)
    template = f"chat_template=True: the chat template of path={tokenizer.name_or_path} refuses"
    of = {"chat_template": "policy", "path": "policy"}
    if len(turns) > 1 and _takes_a_problem(problem, tokenizer, prompt_format):
        parts = [f"{name}=None" for name in ("system", "few_shot") if getattr(prompt_format, name)]
        cure = f"ask without, {' '.join(parts)}" if parts else "give it messages that the template takes"
        return UserError(
            f"{template} the messages of {_place(problem)} (their roles: {roles}): {error}; {cure}",
            system="data",
            few_shot="data",
            **of,
        )
    return UserError(f"{template} a problem ({error}); ask without it, chat_template=False", **of)


def _takes_a_problem(problem: Problem, tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat) -> bool:
    try:
        tokenizer.apply_chat_template(
            [Message(USER, problem.text)._asdict()],
            add_generation_prompt=True,
            tokenize=False,
            **prompt_format.chat_template_kwargs,
        )
    except TemplateError:
        return False
    return True


def _place(problem: Problem) -> str:
    return problem.origin or problem.id
