"""AdamW with moments of 8 bits, whose state is plain tensors: sharded, saved and moved like that of any optimiser.

torchao quantises and computes; it is imported when the first optimiser is made.
"""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from rsgrpo.errors import UserError

BLOCK = 256
"""Numbers that share a scale, at most."""

FEWEST = 64
"""Numbers that share a scale, at least: below this the scales would take much of what the codes save."""

SMALLEST = 4096
"""Smaller tensors keep moments of 32 bits: norms and biases, as in bitsandbytes and torchao."""

SIGNED = {"exp_avg": True, "exp_avg_sq": False}
"""The moments, and whether they may be negative."""


class QuantisedAdamW(torch.optim.Optimizer):
    """AdamW in float32 on moments that are stored as codes of 8 bits with a scale per block of a row.

    A weight of shape [n, ...] has codes of its shape and scales of shape [n, row / block], where row is the number of
    values of one row and block its largest divisor that divides 256. Both are sharded as the weight is, by rows, so
    that any number of ranks can take them up. Weights in bfloat16 are rounded stochastically.

    Raises:
        UserError: where torchao is not installed.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], *, lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        if importlib.util.find_spec("torchao") is None:
            raise UserError("AdamW8bit: torchao is not installed; pip install 'rsgrpo[adamw8bit]'")
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient. Each shape is compiled once; the learning rate is a tensor."""
        from torchao.optim.adam import single_param_adam  # pyright: ignore[reportMissingImports]

        compiled = torch.compile(single_param_adam, fullgraph=True, dynamic=False)
        if closure is not None:
            closure()
        for group in self.param_groups:
            lr = torch.tensor(float(group["lr"]))
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state |= _first_state(parameter)
                state["step"] += 1
                if not local(parameter).numel():
                    continue  # a rank may have no row of a small tensor
                with torch._dynamo.utils.disable_cache_limit():  # one for each shape, and there are few
                    compiled(
                        local(parameter.detach()),
                        local(parameter.grad),
                        state["step"],
                        *(_moment(state, name) for name in SIGNED),
                        None,
                        lr,
                        *group["betas"],
                        group["weight_decay"],
                        group["eps"],
                        True,
                        parameter.dtype == torch.bfloat16,
                    )

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take up a state as it was saved; PyTorch gives all of it the type of the parameter."""
        super().load_state_dict(dict(state_dict))
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        names = [name for group in state_dict["param_groups"] for name in group["params"]]  # numbers, or of FSDP2
        for name, parameter in zip(names, parameters, strict=True):
            saved = {key: value for key, value in state_dict["state"].get(name, {}).items() if key != "step"}
            if saved:
                self.state[parameter] |= {key: value.to(local(parameter).device) for key, value in saved.items()}


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def block_of(shape: Sequence[int]) -> int | None:
    """How many numbers of a row share a scale; None for a weight whose moments are not quantised.

    >>> block_of((9728, 2560)), block_of((2560, 9728)), block_of((400, 64)), block_of((2560,)), block_of((4096, 3))
    (256, 256, 64, None, None)
    """
    block = math.gcd(math.prod(shape[1:]), BLOCK)
    return block if len(shape) > 1 and math.prod(shape) >= SMALLEST and block >= FEWEST else None


def state_bytes(shape: Sequence[int]) -> int:
    """Bytes of both moments of a weight."""
    block, numbers = block_of(shape), math.prod(shape)
    return 2 * 4 * numbers if block is None else 2 * (numbers + 4 * numbers // block)


def _first_state(parameter: nn.Parameter) -> dict[str, Tensor]:
    state, block = {"step": torch.tensor(0.0)}, block_of(parameter.shape)
    for name in SIGNED:
        state[name] = torch.zeros_like(parameter, dtype=torch.float32 if block is None else torch.uint8)
        if block is not None:
            state[f"{name}_scale"] = _scales(parameter, block)
            local(state[name]).fill_(_code_of_zero(name))
    return state


def _scales(parameter: nn.Parameter, block: int) -> Tensor:
    """A row of scales for each row of the weight, sharded as it is."""
    rows, blocks = parameter.shape[0], math.prod(parameter.shape[1:]) // block
    mine = local(parameter)
    scales = torch.zeros(mine.shape[0], blocks, device=mine.device)
    if not isinstance(parameter, DTensor):
        return scales
    placed = DTensor.from_local(
        scales,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=torch.Size((rows, blocks)),
        stride=(blocks, 1),
    )
    return placed.to(mine.device)  # with CPU offload the mesh is of GPUs


def _code_of_zero(name: str) -> int:
    return _map(name).index(0.0)


def _map(name: str) -> tuple[float, ...]:
    """The value of each code, between -1 and 1 or 0 and 1."""
    from torchao.optim.subclass_8bit import (  # pyright: ignore[reportMissingImports]
        get_qmap_signed,
        get_qmap_unsigned,
    )

    return get_qmap_signed() if SIGNED[name] else get_qmap_unsigned()


def _moment(state: Mapping[str, Tensor], name: str) -> Tensor:
    """A moment as torchao computes with it: a view of this rank's codes and scales, which it writes."""
    if f"{name}_scale" not in state:
        return local(state[name])
    from torchao.optim.subclass_8bit import OptimState8bit  # pyright: ignore[reportMissingImports]

    codes = local(state[name])
    values = torch.tensor(_map(name), device=codes.device)
    return OptimState8bit(codes, local(state[f"{name}_scale"]).view(-1), values, SIGNED[name], torch.float32)
