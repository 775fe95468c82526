"""Where the weights of a policy are, for those who use its model directly."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable


@runtime_checkable
class Layout(Protocol):
    """How the weights of a policy are laid out."""

    def whole(self) -> AbstractContextManager[None]:
        """Inside this context every weight is at hand on this process."""
        ...


class InOnePlace:
    """All weights on this process: nothing has to be done."""

    def whole(self) -> AbstractContextManager[None]:
        return nullcontext()
