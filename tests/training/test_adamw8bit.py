"""AdamW with moments of 8 bits: torchao's numbers, in plain tensors that are saved and taken up again."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from rsgrpo.errors import UserError
from rsgrpo.training.adamw8bit import QuantisedAdamW, block_of, state_bytes
from rsgrpo.training.optimizer import AdamW, AdamW8bit

OPTIONAL = Path(sys.prefix) / "optional"
SETTINGS = {"lr": 1e-2, "betas": (0.9, 0.95), "weight_decay": 0.1}


@pytest.fixture
def torchao(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torchao, and its arithmetic uncompiled: compiled it is tested in a run."""
    monkeypatch.syspath_prepend(OPTIONAL)
    with torch.compiler.set_stance("force_eager"):
        yield


def weights(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in shapes]


def stepped(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], steps: int, *, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        optimizer.step()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("torchao")
def test_it_is_torchaos_optimiser_where_rows_are_whole_blocks() -> None:
    from torchao.optim import AdamW8bit as Theirs  # pyright: ignore[reportMissingImports]

    ours, theirs = weights((32, 256), (16, 512), (300,)), weights((32, 256), (16, 512), (300,))
    stepped(QuantisedAdamW(ours, **SETTINGS), ours, 4)
    stepped(Theirs(theirs, **SETTINGS), theirs, 4)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=0, rtol=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("torchao")
def test_moments_of_8_bits_step_nearly_as_moments_of_32() -> None:
    ours, exact, start = weights((64, 192)), weights((64, 192)), weights((64, 192))
    stepped(QuantisedAdamW(ours, **SETTINGS), ours, 20)
    stepped(torch.optim.AdamW(exact, **SETTINGS), exact, 20)
    moved = (exact[0] - start[0]).norm()
    assert 0 < (ours[0] - exact[0]).norm() < 0.05 * moved


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("torchao")
def test_updates_below_half_a_step_of_bfloat16_are_not_lost() -> None:
    """Weights of 1 and updates of 1e-3, a quarter of the step: rounded to the nearest, nothing would ever change."""
    parameter = nn.Parameter(torch.ones(64, 256, dtype=torch.bfloat16))
    optimizer = QuantisedAdamW([parameter], lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
    torch.manual_seed(0)
    for _ in range(8):
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    assert parameter.dtype == torch.bfloat16
    deviation = 8 * 0.0078125 / 2 / 128  # 8 roundings by half a step, over 16,384 weights
    assert float(parameter.float().mean()) == pytest.approx(1 - 8e-3, abs=4 * deviation)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("torchao")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_state_goes_on_to_the_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    shapes = (64, 128), (8, 512), (70, 3), (96,)
    whole, parts = weights(*shapes, dtype=dtype), weights(*shapes, dtype=dtype)
    torch.manual_seed(3)
    stepped(QuantisedAdamW(whole, **SETTINGS), whole, 2)
    optimizer = QuantisedAdamW(parts, **SETTINGS)
    torch.manual_seed(3)
    stepped(optimizer, parts, 2)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")

    one = QuantisedAdamW(whole, **SETTINGS)
    one.load_state_dict(optimizer.state_dict())
    other = QuantisedAdamW(parts, **SETTINGS)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for resumed, parameters in ((one, whole), (other, parts)):
        torch.manual_seed(4)
        stepped(resumed, parameters, 2, seed=5)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)
    kinds = {tensor.dtype for state in other.state.values() for tensor in state.values()}
    assert kinds == {torch.uint8, torch.float32}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("torchao")
@pytest.mark.parametrize("shape", [(64, 256), (64, 192), (64, 65), (10, 3), (4096,), (40, 100)])
def test_the_bytes_of_a_state_are_counted(shape: tuple[int, ...]) -> None:
    parameters = weights(shape)
    optimizer = QuantisedAdamW(parameters, **SETTINGS)
    stepped(optimizer, parameters, 1)
    [state] = optimizer.state.values()
    held = sum(tensor.nbytes for name, tensor in state.items() if name != "step")
    assert held == state_bytes(shape) == AdamW8bit(lr=1e-3).state_bytes(parameters[0])
    assert (held < AdamW(lr=1e-3).state_bytes(parameters[0]) / 3) == (block_of(shape) is not None)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("torchao")
def test_what_has_no_gradient_is_left_alone() -> None:
    trained, frozen = weights((64, 64), (64, 64))
    before = frozen.detach().clone()
    optimizer = QuantisedAdamW([trained, frozen], **SETTINGS)
    stepped(optimizer, [trained], 1)
    assert torch.equal(frozen, before)
    assert frozen not in optimizer.state


def test_without_torchao_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(UserError, match=r"torchao is not installed; pip install 'rsgrpo\[adamw8bit\]'"):
        AdamW8bit(lr=1e-3).build(weights((4, 4)), updates=1)


@pytest.mark.parametrize(("fused", "expected"), [("auto", False), (False, False), (True, True)])
def test_adamw_is_fused_where_it_is_asked_for_and_on_gpus(fused: bool | str, expected: bool) -> None:
    optimizer, _ = AdamW(lr=1e-3, fused=fused).build(weights((4, 4)), updates=1)  # type: ignore[arg-type]
    assert bool(optimizer.param_groups[0]["fused"]) == expected
