"""Tensors without values take what real ones take, and two layers say what many do."""

import gc
from dataclasses import asdict

import pytest
import torch

from rsgrpo.models.lora import LoRA
from rsgrpo.planning.architecture import Architecture, architecture_of
from rsgrpo.planning.live_bytes import LiveBytes, saved_bytes
from rsgrpo.planning.row_trace import RowBytes, Way, measure_row, policy_of, prepare, row_bytes, row_of
from tests.planning.real_step import architecture

pytestmark = pytest.mark.usefixtures("as_users_run_it")
"""Checks of annotations would take most of the time of a trace."""

WAYS = {
    "float32": Way(tokens=192, sequences=3, chunk_tokens=64, checkpointing=False),
    "one chunk": Way(tokens=96, sequences=2, chunk_tokens=4096, checkpointing=False),
    "recomputed": Way(tokens=192, sequences=3, chunk_tokens=64, checkpointing=True),
    "autocast": Way(tokens=192, sequences=3, chunk_tokens=64, checkpointing=False, autocast=True),
    "autocast, recomputed": Way(tokens=192, sequences=3, chunk_tokens=64, checkpointing=True, autocast=True),
    "bfloat16 weights": Way(tokens=192, sequences=3, chunk_tokens=64, checkpointing=False, weights=torch.bfloat16),
    "entropy": Way(tokens=192, sequences=3, chunk_tokens=64, checkpointing=False, entropy_gradient=True),
    "bfloat16 base": Way(
        tokens=192,
        sequences=3,
        chunk_tokens=64,
        checkpointing=True,
        autocast=True,
        lora=LoRA(rank=4, base_dtype="bfloat16"),
    ),
    "lora": Way(tokens=192, sequences=3, chunk_tokens=64, checkpointing=True, lora=LoRA(rank=4)),
}


def really(way: Way) -> list[RowBytes]:
    """The first and the second row of an update, with values and with all layers."""
    whole = architecture(vocabulary=1000)
    with LiveBytes() as live:
        policy = policy_of(whole.build(), way)
        prepare(policy, way)
        row = row_of(way, policy.device)
        gc.collect()
        return [measure_row(policy, row, way, live) for _ in range(2)]


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_a_row_without_values_takes_what_a_real_one_does(way: Way) -> None:
    for planned, real in zip(row_bytes(architecture(vocabulary=1000), way), really(way), strict=True):
        assert planned.saved > 0
        for name, size in asdict(real).items():
            assert getattr(planned, name) == pytest.approx(size, rel=0.01), name


def test_tensors_without_values_draw_no_random_number() -> None:
    before = torch.get_rng_state()
    row_bytes(architecture(), WAYS["lora"])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_storage_counts_once_and_only_while_it_is_there() -> None:
    with LiveBytes() as live:
        whole = torch.zeros(1000)
        view = whole[:10].view(2, 5)
        view.add_(1)
        assert live.live == 4000
        del whole
        assert live.live == 4000
        del view
        assert live.live == 0
        assert live.restart() == 4000
        assert live.peak == 0


def test_saved_are_storages_that_are_no_parameters() -> None:
    weight, other = (torch.ones(100, 100, requires_grad=True) for _ in range(2))
    inputs = torch.ones(100, 100)
    with saved_bytes(without=[weight]) as saved:
        kept = ((inputs @ weight) * other * inputs).sum()
    assert kept.requires_grad
    assert sorted(saved.values()) == [40_000] * 3  # inputs, which two products need, other, and the first product


@pytest.mark.parametrize("checkpointing", [False, True])
def test_on_a_gpu_the_trace_takes_variable_length_attention(checkpointing: bool) -> None:
    """Which repeats keys and values for the heads that share them, and keeps no block of padding."""
    way = Way(tokens=4096, sequences=2, chunk_tokens=512, checkpointing=checkpointing, autocast=True, of_a_gpu=True)
    found = row_bytes(architecture(), way).further
    assert found.peak > found.kept > 0
    twice = row_bytes(architecture(), way._replace(tokens=8192)).further
    fixed = 2 * found.kept - twice.kept  # casts of weights, whatever the tokens
    assert abs(fixed) < 0.2 * found.kept


def test_a_layer_is_not_kept_twice_where_it_is_recomputed() -> None:
    known: Architecture = architecture_of("Qwen/Qwen3-0.6B")
    way = Way(tokens=2048, sequences=2, chunk_tokens=512, checkpointing=False, autocast=True, of_a_gpu=True)
    kept, recomputed = (row_bytes(known, way._replace(checkpointing=on)).further.saved for on in (False, True))
    assert recomputed < kept / 10
