"""The trainer's own arithmetic, on the copy: packed rows, micro-batches, attention."""

import torch
from torch import Tensor

from rsgrpo.doctor.bench import LENGTHS, Bench
from rsgrpo.doctor.table import Result
from rsgrpo.models.attention import PackedLayout, packed_attention

EXACT, ROUNDED = 1e-3, 0.05
"""Bounds of relative differences, in float32 and in bfloat16; wrong rows and masks differ by the whole."""

ATTENTION = 0.02
"""Bound of variable-length attention in bfloat16, relative to the largest value: four of its steps."""


def packed_is_separate(bench: Bench) -> Result:
    """Log-probs of sequences that share a row, against those of each alone, in nats: the mean difference."""
    sequences = bench.random_sequences()
    with torch.no_grad():
        [row] = bench.rows(sequences)
        together = bench.forward(row).logprobs
        order = sorted(sequences, key=lambda s: len(s.prompt_ids) + len(s.completion_ids))
        alone = torch.cat([bench.forward(bench.rows([sequence])[0]).logprobs for sequence in order])
    gap, bound = float((together - alone).abs().mean()), _bound(bench)
    return Result(f"{gap:.2g} nats on average, {len(sequences)} sequences", f"{bound:g} nats", gap <= bound)


def micro_batches_are_one(bench: Bench) -> Result:
    """The gradient of several rows, against that of one row: the largest difference over the largest value."""
    sequences = bench.random_sequences()
    one, many = bench.gradients(bench.rows(sequences)), bench.gradients(bench.rows(sequences, row_tokens=max(LENGTHS)))
    largest = max(float(g.abs().max()) for g in one.values())
    gap, bound = max(float((many[name] - g).abs().max()) for name, g in one.items()) / largest, _bound(bench)
    return Result(f"{gap:.2g} of the largest gradient", f"{bound:g}", gap <= bound and largest > 0)


def attention_of_a_gpu(device: torch.device) -> Result:
    """Variable-length attention in bfloat16 with grouped heads, forward and backward, against SDPA in float32."""
    errors = attention_errors(device)
    words = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
    return Result(words, f"{ATTENTION:g} of the largest", max(errors.values()) <= ATTENTION)


def attention_errors(device: torch.device) -> dict[str, float]:
    """The largest differences of the output and of each gradient, over the largest value."""
    torch.manual_seed(0)
    lengths = (1, 2, 63, 64, 65, 777, 4096)
    layout, size = PackedLayout.of(lengths, device), sum(lengths)
    inputs = [torch.randn(1, heads, size, 128, device=device).bfloat16() for heads in (32, 8, 8)]
    found: list[list[Tensor]] = []
    for dtype in (torch.float32, torch.bfloat16):
        leaves = [x.to(dtype).requires_grad_() for x in inputs]
        query, key, value = leaves
        out, _ = packed_attention(torch.nn.Identity(), query, key, value, None, packed=layout, scaling=128**-0.5)
        direction = torch.linspace(-1, 1, 128, device=device)
        found.append([out.detach(), *torch.autograd.grad((out.float() * direction).sum(), leaves)])
    names = ("output", "query", "key", "value")
    return {
        name: float((ours.float() - exact).abs().max() / exact.abs().max())
        for name, exact, ours in zip(names, *found, strict=True)
    }


def _bound(bench: Bench) -> float:
    return ROUNDED if bench.half else EXACT
