"""The advantage of a completion on each of its tokens."""

from dataclasses import dataclass
from typing import ClassVar

from rsgrpo.shaping.base import Shaped, Shaping, UpdateTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class NoShaping(Shaping):
    """A_t = A, the objective's. It is never asked, and costs nothing."""

    off: ClassVar[bool] = True

    def __call__(self, tokens: UpdateTokens) -> Shaped:
        """The advantages as they are."""
        return Shaped(advantages=tokens.advantages)
