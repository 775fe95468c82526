"""The task families of the package reasoning-gym: their problems, and their verifiers.

Both are code of others. Some of the verifiers evaluate an answer as Python, with `eval` or with SymPy's `parse_expr`:
these are asked about answers that can be nothing but numbers, lists or formulas (`PLAIN`), and about no others. Any
verifier may raise, or take forever: whoever judges a model's text calls `graded` in a process that can be killed.
"""

import difflib
import math
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from rsgrpo.errors import FieldError, UserError

Entry = Mapping[str, Any]
"""A problem as the package has it: `question`, `answer` and `metadata`."""

OURS = ("seed", "size")
"""Settings of every family that say which problems are drawn and how many."""

_NUMBERS = r"[-0-9\s,()\[\]]*+"
_EXPRESSION = r"(?:[-0-9\s+/().]|\*(?!\s*\*))*+"
_FORMULA = (
    r"(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++|[-+*/^(),\s]"
    r"|(?<![A-Za-z])(?:[A-Za-z]|a?(?:sin|cos|tan)h?|sec|csc|cot|exp|log|ln|sqrt|pi|Abs)(?![A-Za-z0-9]))*+"
)

PLAIN: Mapping[str, str] = {
    **dict.fromkeys(("binary_matrix", "spiral_matrix"), _NUMBERS),
    "n_queens": r"[Q_\s,\[\]'\"]*+",
    "string_insertion": r"[A-E\s,\[\]'\"]*+",
    **dict.fromkeys(("countdown", "puzzle24"), _EXPRESSION),
    **dict.fromkeys(("simple_integration", "intermediate_integration", "polynomial_multiplication"), _FORMULA),
    "complex_arithmetic": r"[-+.()0-9\sijIJ]*+",
}
"""By family, the whole of an answer that its verifier is asked about. The last takes `nan` for right. The others
evaluate answers as Python, and nothing in what is let through names an attribute or a function of Python. An integral
that is left as it stands, as in a few golds of `intermediate_integration`, is not let through."""

FLAWED: Mapping[str, str] = {
    "coin_flip": "takes the first digits of the answer for right",
    "game_of_life_halting": "takes every answer for right",
    "puzzle24": "takes the solution of another problem for right",
}
"""Families whose verifier gives answers that are wrong the full score: a policy would learn those."""


def is_plain(family: str, answer: str) -> bool:
    """Whether the verifier of a family may be asked about an answer.

    >>> is_plain("countdown", "(3 + 4) * 5"), is_plain("countdown", "exit()"), is_plain("word_sorting", "exit()")
    (True, False, True)
    """
    return family not in PLAIN or re.fullmatch(PLAIN[family], answer) is not None


def check_installed() -> None:
    """Refuse to go on without the package.

    Raises:
        UserError: saying how to install it.
    """
    if find_spec("reasoning_gym") is None:
        raise UserError("the package reasoning-gym is not installed: pip install 'rsgrpo[gym]'")


def registry() -> Mapping[str, tuple[type[Any], type[Any]]]:
    """The class of problems and the class of settings of each family, by its name.

    Raises:
        UserError: where the package is not installed.
    """
    check_installed()
    return _registry()


@cache
def _registry() -> Mapping[str, tuple[type[Any], type[Any]]]:
    with own_randomness(0):
        import reasoning_gym  # noqa: F401  # pyright: ignore[reportMissingImports]
        from reasoning_gym.factory import DATASETS  # pyright: ignore[reportMissingImports]
    return {name: DATASETS[name] for name in sorted(DATASETS) if name != "composite"}


def check_family(field: str, name: str) -> None:
    """Refuse a name that is none of a family, or of one that teaches wrong answers.

    Raises:
        FieldError: naming those that are near, or what is wrong with it.
    """
    known = registry()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or difflib.get_close_matches(name, known, n=3, cutoff=0.0)
        raise FieldError(
            field,
            name,
            f"is none of the {len(known)} task families of reasoning-gym",
            f"did you mean {' or '.join(f'{field}={other}' for other in near)}?",
        )
    if name in FLAWED:
        raise FieldError(field, name, f"has a verifier that {FLAWED[name]}", "choose another family")


def check_settings(field: str, family: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a family does not have, or does not take.

    Raises:
        FieldError: naming those that there are, or what the family says.
    """
    known = [spec.name for spec in fields(registry()[family][1]) if spec.name not in OURS]
    unknown = next((name for name in settings if name not in known), None)
    if unknown is not None:
        near = difflib.get_close_matches(str(unknown), known, n=1)
        raise FieldError(
            f"{field}.{unknown}",
            settings[unknown],
            f"is no setting of {family}, which has {', '.join(known) or 'none'}",
            f"did you mean {near[0]}?" if near else "leave it out",
        )
    try:
        with own_randomness(0):
            problems(family, settings, seed=0, size=1)
    except Exception as error:  # of others' code, which asserts, compares and counts
        said = " ".join(str(error).split()) or type(error).__name__
        raise FieldError(field, dict(settings), f"is refused by {family} ({said})", "correct it") from error


def problems(family: str, settings: Mapping[str, Any], *, seed: int, size: int | None = None) -> Any:
    """The package's own object of so many problems, each made when it is asked for by its index."""
    kind, of_settings = registry()[family]
    config = of_settings(**settings, seed=seed, **({} if size is None else {"size": size}))
    if hasattr(config, "validate"):
        config.validate()
    return kind(config)


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Give what runs inside streams of its own: some families draw from Python's or NumPy's, which are the run's."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def graded(family: str, settings: Mapping[str, Any], entry: Entry, answer: str) -> float | None:
    """What the verifier of a family gives an answer, between 0 and 1; None for one that it cannot read.

    It never raises, and may take forever.
    """
    if not is_plain(family, answer):
        return None
    try:
        score = float(_verifier(family, repr(sorted(settings.items())), settings).score_answer(answer, dict(entry)))
    except Exception:  # of others' code, on a text that may be anything
        return None
    return min(1.0, max(0.0, score)) if math.isfinite(score) else None


def _verifier(family: str, key: str, settings: Mapping[str, Any]) -> Any:
    if (family, key) not in _verifiers:
        _verifiers[family, key] = problems(family, settings, seed=0)
    return _verifiers[family, key]


_verifiers: dict[tuple[str, str], Any] = {}
"""Those that were needed so far, by family and settings: some read files when they are made."""
