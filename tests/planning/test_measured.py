"""The plan beside what a GPU was measured to take: docs/distributed.md, Memory, by `benchmarks/gpu_training.py`."""

import pytest

from rsgrpo.planning.architecture import architecture_of
from rsgrpo.planning.row_trace import Way, row_bytes
from rsgrpo.planning.settings import GIB

pytestmark = pytest.mark.usefixtures("as_users_run_it")
"""Checks of annotations would take most of the time of a trace."""

MEASURED = {
    "Qwen/Qwen2.5-Math-1.5B": (16_384, 86.0, 33.0),
    "Qwen/Qwen3-4B-Base": (16_384, 181.0, 65.0),
    "Qwen/Qwen2.5-7B": (16_384, 230.0, 118.0),
    "Qwen/Qwen3-0.6B": (8192, 38.5, 20.2),
}
"""Tokens of a row, and GiB on an H200 without and with activation checkpointing: the peak of forward and backward of
one row in an update, float32 weights and moments included, under bfloat16 autocast with chunks of 4,096 tokens."""

CASES = [
    pytest.param(model, tokens, gib, checkpointing, id=f"{model}-{'AC' if checkpointing else 'plain'}")
    for model, (tokens, *both) in MEASURED.items()
    for gib, checkpointing in zip(both, (False, True), strict=True)
]


@pytest.mark.parametrize(("model", "tokens", "gib", "checkpointing"), CASES)
def test_the_plan_is_what_an_h200_took(model: str, tokens: int, gib: float, checkpointing: bool) -> None:
    architecture = architecture_of(model)
    numbers = sum(shape.numel() for shape in architecture.parameters.values())
    way = Way(
        tokens=tokens,
        sequences=12,
        chunk_tokens=4096,
        checkpointing=checkpointing,
        autocast=True,
        of_a_gpu=True,
    )
    weights_and_moments = 3 * 4 * numbers
    planned = (weights_and_moments + row_bytes(architecture, way).first.peak) / GIB
    assert planned == pytest.approx(gib, rel=0.05)
