"""The checks of types while tests run are there, in every function, from its first call on."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.measures.pass_at_k import pass_at_k
from rsgrpo.types import Problem
from tests.processes import new_process
from tests.typechecker import checked, checked_function, names_arrays


def wrongly(function: Any) -> Any:
    """The same, for pyright one that takes anything."""
    return function


@checked
def half(x: float) -> float:
    return x / 2 if x < 10 else "much"  # type: ignore[return-value]


@checked
def joined(a: Float[Tensor, " N"], b: Float[Tensor, " N"]) -> Float[Tensor, "2 N"]:
    return torch.stack([a, b])


@checked
@dataclasses.dataclass(frozen=True)
class Own:
    size: int


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (lambda: half(1), lambda: wrongly(half)("1")),  # an int is a float
        (lambda: half(9.0), lambda: half(11.0)),
        (lambda: joined(torch.ones(2), torch.ones(2)), lambda: joined(torch.ones(2), torch.ones(3))),
        (lambda: Own(1), lambda: wrongly(Own)("1")),
        (lambda: pass_at_k(4, 2, 1), lambda: wrongly(pass_at_k)(4, "2", 1)),
        (
            lambda: Problem(id="a", text="b", answer="c"),
            lambda: wrongly(Problem)(id=1, text="b", answer="c"),
        ),
    ],
    ids=["an argument", "what is returned", "a shape", "a field", "a function of ours", "a record of ours"],
)
def test_a_wrong_value_is_refused_at_the_first_call_and_at_another(
    right: Callable[[], Any], wrong: Callable[[], Any]
) -> None:
    for _ in range(2):
        with pytest.raises(Exception, match=r"violates type hint|Type-check error"):
            wrong()
        right()


def test_switched_off_they_let_everything_through(as_users_run_it: None) -> None:
    assert half(11.0) == "much"


def test_shapes_are_found_wherever_they_are_named() -> None:
    def plain(a: int, b: Literal["x"], c: Sequence["int"], d: Tensor, e: Callable[[int], str]) -> Iterator[str]: ...
    def inside(a: dict[str, Float[Tensor, " N"] | None]) -> None: ...
    def given(a: Callable[[Float[Tensor, " N"]], int]) -> None: ...
    def returned() -> tuple[int, Float[Tensor, " N"]]: ...
    def quoted(a: 'Float[Tensor, " N"]') -> None: ...
    def unreadable(a: "NotImportedHere") -> None: ...  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    assert not names_arrays(plain)
    assert all(map(names_arrays, [inside, given, returned, quoted, unreadable]))


def test_a_function_keeps_its_name_and_its_text() -> None:
    def named() -> None:
        """Its text."""

    again = checked_function(named)
    assert (again.__name__, again.__doc__, again.__qualname__) == ("named", "Its text.", named.__qualname__)


@pytest.mark.slow
def test_every_annotation_of_the_package_can_be_checked() -> None:
    """Those of functions that no test calls too."""
    finished = new_process(
        "-c",
        "import importlib, pkgutil, rsgrpo, tests.typechecker as types\n"
        "types.checked_function = lambda f: (types.with_shapes if types.names_arrays(f) else types.with_beartype)(f)\n"
        "types.install()\n"
        "for module in pkgutil.walk_packages(rsgrpo.__path__, 'rsgrpo.'):\n"
        "    if module.name != 'rsgrpo.__main__':\n"
        "        importlib.import_module(module.name)\n",
    )
    assert finished.returncode == 0, finished.stderr
