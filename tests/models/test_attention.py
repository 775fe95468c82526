from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rsgrpo.models.attention import BUCKET_RATIO, PackedLayout, packed_attention

CPU = torch.device("cpu")


def random_row(
    lengths: Sequence[int], heads: int, kv_heads: int, *, seed: int = 0, dim: int = 8
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(1, heads, sum(lengths), dim, generator=generator),
        torch.randn(1, kv_heads, sum(lengths), dim, generator=generator),
        torch.randn(1, kv_heads, sum(lengths), dim, generator=generator),
    )


def naive(lengths: Sequence[int], query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Causal softmax attention written out, one sequence after the other, in float64; [1, S, H, D]."""
    q, k, v = (x[0].double() for x in (query, key, value))
    per_kv_head = q.shape[0] // k.shape[0]
    blocks, start = [], 0
    for length in lengths:
        part = slice(start, start + length)
        rows = []
        for head in range(q.shape[0]):
            kh, vh = k[head // per_kv_head, part], v[head // per_kv_head, part]
            scores = q[head, part] @ kh.T * scale
            future = torch.ones(length, length, dtype=torch.bool).triu(1)
            rows.append(scores.masked_fill(future, -torch.inf).softmax(-1) @ vh)
        blocks.append(torch.stack(rows, dim=1))
        start += length
    return torch.cat(blocks)[None]


LENGTHS = [[1], [7], [3, 3, 3], [50, 1, 2, 49, 7, 1, 30, 31, 33], list(range(1, 20)), [1] * 20, [200, 2, 150]]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(("heads", "kv_heads"), [(2, 2), (2, 1), (4, 2)])
@pytest.mark.parametrize("scaling", [None, 0.2])
def test_a_packed_row_is_attention_within_each_sequence(
    lengths: list[int], heads: int, kv_heads: int, scaling: float | None
):
    query, key, value = random_row(lengths, heads, kv_heads)
    packed, weights = packed_attention(
        nn.Module(), query, key, value, None, packed=PackedLayout.of(lengths, CPU), scaling=scaling
    )
    assert weights is None
    expected = naive(lengths, query, key, value, scaling or 8**-0.5)
    assert packed.shape == expected.shape
    torch.testing.assert_close(packed.double(), expected, atol=1e-5, rtol=0)


def test_gradients_through_a_packed_row_are_those_of_the_separate_sequences():
    lengths = [5, 1, 40, 38, 12, 6]
    query, key, value = random_row(lengths, 4, 2)
    inputs = [x.requires_grad_() for x in (query, key, value)]
    out, _ = packed_attention(nn.Module(), query, key, value, None, packed=PackedLayout.of(lengths, CPU))
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    packed = torch.autograd.grad((out * direction).sum(), inputs)
    separate = torch.autograd.grad((naive(lengths, query, key, value, 8**-0.5) * direction).sum(), inputs)
    for got, expected in zip(packed, separate, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_under_autocast_queries_and_keys_in_float32_meet_values_in_bfloat16():
    """As they come from a model: its projections are in bfloat16, what norms and rotary embeddings touch is not."""
    lengths = [5, 1, 40]
    query, key, value = random_row(lengths, 4, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, _ = packed_attention(nn.Module(), query, key, value.bfloat16(), None, packed=PackedLayout.of(lengths, CPU))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), naive(lengths, query, key, value, 8**-0.5), atol=0.03, rtol=0)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=25))
def test_the_buckets_hold_every_token_once_and_only_lengths_that_are_alike(lengths: list[int]):
    layout = PackedLayout.of(lengths, CPU)
    kept = torch.cat([index[keep] for index, keep in layout.buckets])
    assert sorted(kept.tolist()) == list(range(sum(lengths)))
    assert layout.boundaries.tolist() == [sum(lengths[:i]) for i in range(len(lengths) + 1)]
    assert layout.max_length == max(lengths)
    sequence_at = [i for i, length in enumerate(lengths) for _ in range(length)]
    for index, kept_places in layout.buckets:
        keep = torch.zeros(index.shape, dtype=torch.bool)
        keep[kept_places] = True
        sizes = keep.sum(1)
        assert sizes.max() <= BUCKET_RATIO * sizes.min()
        for places, kept_here in zip(index, keep, strict=True):
            real = places[kept_here].tolist()
            assert real == list(range(real[0], real[0] + len(real)))
            assert len(real) == lengths[sequence_at[real[0]]]
            # Padding repeats a token of the same sequence, never of a neighbour.
            assert set(places.tolist()) == set(real)


def test_padding_costs_at_most_a_quarter():
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(1, 400, (100,), generator=generator).tolist()
    assert sum(index.numel() for index, _ in PackedLayout.of(lengths, CPU).buckets) <= BUCKET_RATIO * sum(lengths)
