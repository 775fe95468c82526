"""What the generated tasks share: the check of their levels, and the four splits."""

import random
from collections.abc import Mapping, Sequence

from rsgrpo.errors import FieldError
from rsgrpo.fields import as_typed
from rsgrpo.types import Problem


def check_levels(levels: object, count: int) -> None:
    """Refuse `levels` that are not a list of some of the levels 0, 1, ..., `count` - 1.

    Raises:
        FieldError: naming the levels that there are.
    """
    named = list(levels) if isinstance(levels, Sequence) else []
    if not named or not all(level in range(count) for level in named):
        known = list(range(count))
        out_of = f"must list levels out of {', '.join(map(str, known))}"
        raise FieldError("levels", levels, out_of, f"try levels={as_typed(known)}")


def cut(problems: Sequence[Problem], sizes: Mapping[str, int], *, seed: int) -> dict[str, tuple[Problem, ...]]:
    """Disjoint splits of the shuffled problems, as many as `sizes` says for each name; the rest is `pretrain`."""
    shuffled = list(problems)
    random.Random(seed).shuffle(shuffled)
    out, start = {}, 0
    for name, size in sizes.items():
        out[name] = tuple(shuffled[start : start + size])
        start += size
    return out | {"pretrain": tuple(shuffled[start:])}
