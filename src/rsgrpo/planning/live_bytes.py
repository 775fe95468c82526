"""Bytes of the tensors that are alive while something is computed, with tensors that hold values or fake ones."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Counts every storage once, from the operation that makes it to its end; views and in-place results are free.

    What an operation allocates and frees inside its own kernel is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        """Bytes that are alive now, of storages that were seen."""
        self.peak = 0
        """The most that were alive at once since the last `restart`."""
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation, and count what it has made."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_iter(result):
            if isinstance(leaf, Tensor):
                self.see(leaf)
        return result

    def see(self, tensor: Tensor) -> None:
        """Count the storage of a tensor, if it is not counted yet."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def gone(_: object) -> None:
            del self._known[key]
            self.live -= size

        self._known[key] = weakref.ref(storage, gone)
        self.live += size
        self.peak = max(self.peak, self.live)

    def restart(self) -> int:
        """The peak until now; the next one begins with what is alive."""
        peak, self.peak = self.peak, self.live
        return peak


@contextmanager
def saved_bytes(*, without: Sequence[Tensor] = ()) -> Iterator[dict[int, int]]:
    """Bytes of each storage that autograd keeps for the backward pass of what is computed inside, by its address.

    Storages of `without`, the parameters for example, do not count. While the dictionary is read the graph has to be
    alive still: an address may be given anew.
    """
    excluded = {tensor.untyped_storage()._cdata for tensor in without}
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in excluded:
            found[storage._cdata] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield found


def nbytes(tensors: Sequence[Tensor]) -> int:
    """Bytes of tensors, each storage counted once."""
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())
