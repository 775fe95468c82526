"""The names that the library has for its parts and their fields, as keys and choices of the command line."""

import re
from functools import cache
from pathlib import Path

from rsgrpo.command_line.keys import without_endless_words
from rsgrpo.errors import UserError

CONF = Path(__file__).resolve().parents[1] / "conf"
"""The folder of the configuration."""

SECTIONS = {
    "policy": "model",
    "pretraining": "model.pretrain",
    "engine": "rollout",
    "evaluation": "eval",
    "checkpoint": "callbacks.checkpoint",
}
"""Parts that the command line has under another name."""

TRAINERS = {"strategy=auto": "trainer=gpu", "strategy=FSDP2()": "trainer=fsdp2"}
"""Arguments of Lightning's trainer that the command line sets by a choice."""

TERMS = {"KL(estimator='k2', place='loss')": "+term/kl=k2"}
"""Terms that messages propose, and the words that choose them."""

LITERALS = {"None": "null", "True": "true", "False": "false"}


def in_keys(error: UserError) -> str:
    """The sentence of an error with keys for fields and choices for objects, so that its cure can be typed.

    A field is a name before `=`, or one with an underscore, which no word of English has.

    >>> error = UserError("k=9 is too large; try k=8, or objective=Reinforce()", k="objective")
    >>> in_keys(error)
    'objective.k=9 is too large; try objective.k=8, or objective=reinforce'
    """
    text = str(error)
    for argument, choice in (TRAINERS | TERMS).items():
        text = text.replace(argument, choice)
    text = re.sub(r"\b(\w+)=([A-Z]\w*)\(([^()]*)\)", lambda found: _chosen(*found.groups()), text)
    for name, part in error.fields.items():
        first, dot, rest = part.partition(".")
        key = f"{SECTIONS.get(first, first)}{dot}{rest}.{name}"
        followed = r"\b" if "_" in name else r"(?=(?:\.[\w-]+)*=)"
        text = re.sub(rf"(?<![\w.]){re.escape(name)}{followed}", key, text)
        text = re.sub(rf"(?<={re.escape(key)}=)(?:None|True|False)\b", lambda found: LITERALS[found[0]], text)
    return without_endless_words(text)


def _chosen(part: str, cls: str, settings: str) -> str:
    """`objective=RSPO(metric="max_at_k")` as `objective=rspo objective.metric=max_at_k`."""
    group = SECTIONS.get(part, part)
    choice = _choices(group).get(cls)
    if choice is None:
        return f"{part}={cls}({settings})"
    return " ".join(
        [f"{group}={choice}", *(f"{group}.{name}={v}" for name, v in re.findall(r'(\w+)="?(\w+)', settings))]
    )


@cache
def _choices(group: str) -> dict[str, str]:
    """Class -> choice of a group; where several choices share a class, the one that is called as its module is."""
    found: dict[str, str] = {}
    for file in sorted((CONF / group).glob("*.yaml")):
        target = re.search(
            r"^_target_: rsgrpo\.(?:\w+\.)*(\w+)\.(\w+)$", file.read_text(encoding="utf-8"), re.MULTILINE
        )
        if target and (target[2] not in found or file.stem == target[1]):
            found[target[2]] = file.stem
    return found
