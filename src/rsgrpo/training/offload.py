"""The optimiser's state in the host's memory while an engine samples: on one GPU both would not fit."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor


@dataclass(slots=True)
class OffloadedState:
    """The state of an optimiser, which is either on its device or in the host's memory.

    Tensors stay the same objects; only their memory goes and comes back. On a CPU it is copied all the same, so that
    what runs there is what a GPU runs.
    """

    optimizer: torch.optim.Optimizer
    _away: list[tuple[Tensor, torch.device]] = field(default_factory=list, init=False, repr=False)
    """Tensors whose memory is the host's, and where they belong."""
    _pinned: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)
    """Memory of the host for each tensor, by its identity: it takes long to get, so it is kept for the next time."""

    @property
    def is_away(self) -> bool:
        """Whether the state is in the host's memory: the optimiser cannot step, and nothing can be saved."""
        return bool(self._away)

    def to_host(self) -> None:
        """Copy the state to the host and give back the device's memory. Nothing where there is no state yet."""
        if self.is_away:
            return
        for tensor in self._tensors():
            host = self._pinned.get(id(tensor))
            if host is None or host.shape != tensor.shape or host.dtype != tensor.dtype:
                host = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
                self._pinned[id(tensor)] = host
            self._away.append((tensor, tensor.device))
            tensor.data = host.copy_(tensor)
        if any(device.type == "cuda" for _, device in self._away):
            torch.cuda.empty_cache()  # the engine does not share PyTorch's cache

    def to_device(self) -> None:
        """Bring the state back. Nothing where it is on its device."""
        for tensor, device in self._away:
            tensor.data = tensor.to(device, copy=True)
        self._away.clear()

    def _tensors(self) -> Iterator[Tensor]:
        """This rank's part of every tensor of the state. Counters of steps, single numbers, stay where they are."""
        for of_parameter in self.optimizer.state.values():
            for value in of_parameter.values():
                if isinstance(value, Tensor) and value.numel() > 1:
                    yield value._local_tensor if isinstance(value, DTensor) else value
