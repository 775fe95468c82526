"""Attention over packed rows: sequences laid end to end never see each other, and a long row never costs its square.

Linear layers run on the packed row as it is. Inside attention, each bucket of similar lengths is gathered to a padded
[B, H, L, D] block, run through causal SDPA, and scattered back; in half precision on a GPU, variable-length attention
does the same without the padding. transformers knows the function as `attn_implementation="packed"`; calls without
`packed=` (sampling with a key-value cache) are ordinary SDPA.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

OF_A_GPU = "packed_of_a_gpu"
"""The `attn_implementation` that takes the way of a GPU wherever the tensors are."""

BUCKET_RATIO = 1.25
"""Sequences share a padded block while the longest is at most this much longer than the shortest."""


@dataclass(frozen=True, slots=True)
class PackedLayout:
    """Where each sequence of a packed row lies. Built once a row, used by every layer.

    `buckets` holds one index block [b, L] per bucket of similar lengths: entry [i, j] is the row position of token j
    of sequence i. Padded entries repeat a real token: causal attention keeps it from the tokens before it, and
    `keep`, the (i, j) of the real ones, leaves it out of the result.
    """

    buckets: tuple[tuple[Int[Tensor, "_ _"], tuple[Tensor, Tensor]], ...]
    boundaries: Int[Tensor, " ends"]
    max_length: int

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> "PackedLayout":
        """The layout of a row that holds sequences of `lengths` tokens, in order."""
        starts = np.cumsum([0, *lengths])  # numpy: sizes have to be known where tensors have no values (planning/)
        order = sorted(range(len(lengths)), key=lambda i: lengths[i])
        buckets, first = [], 0
        for last in range(1, len(order) + 1):
            if last == len(order) or lengths[order[last]] > BUCKET_RATIO * lengths[order[first]]:
                members = order[first:last]
                size = np.array([lengths[i] for i in members])[:, None]
                offset = np.arange(size.max())[None]
                index = starts[members][:, None] + np.minimum(offset, size - 1)
                sequences, places = (torch.from_numpy(kept).to(device) for kept in np.nonzero(offset < size))
                buckets.append((torch.from_numpy(index).to(device), (sequences, places)))
                first = last
        return cls(tuple(buckets), torch.from_numpy(starts).to(device, torch.int32), max(lengths))


def packed_attention(
    module: nn.Module,
    query: Float[Tensor, "b H Q D"],
    key: Float[Tensor, "b G K D"],
    value: Float[Tensor, "b G K D"],
    attention_mask: Tensor | None,
    packed: PackedLayout | None = None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' attention function for both uses of the policy; returns [b, Q, H, D]."""
    if packed is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    query, key, value = _as_autocast(query, key, value)
    repeats = query.shape[1] // key.shape[1]
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        return _varlen_attention(query, key, value, packed, scaling, repeats), None
    q, k, v = query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1)  # [S, heads, D]
    out = torch.empty_like(q)
    for index, keep in packed.buckets:
        qb, kb, vb = (x[index].transpose(1, 2) for x in (q, k, v))  # [b, heads, L, D]
        attended = F.scaled_dot_product_attention(qb, kb, vb, is_causal=True, scale=scaling, enable_gqa=repeats > 1)
        out = out.index_put((index[keep],), attended.transpose(1, 2)[keep])
    return out[None], None


def packed_attention_of_a_gpu(
    module: nn.Module,
    query: Float[Tensor, "b H Q D"],
    key: Float[Tensor, "b G K D"],
    value: Float[Tensor, "b G K D"],
    attention_mask: Tensor | None,
    packed: PackedLayout,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What `packed_attention` does in half precision on a GPU, wherever the tensors are: for tensors without values."""
    query, key, value = _as_autocast(query, key, value)
    return _varlen_attention(query, key, value, packed, scaling, query.shape[1] // key.shape[1]), None


def _as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """In autocast's type: norms and rotary embeddings leave queries and keys in float32."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors)


def _varlen_attention(
    query: Tensor, key: Tensor, value: Tensor, packed: PackedLayout, scaling: float | None, repeats: int
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    grouped: dict[str, Any] = {}
    if repeats > 1 and "enable_gqa" in signature(varlen_attn).parameters:
        grouped = {"enable_gqa": True}
    elif repeats > 1:  # torch 2.11
        k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    ends, longest = packed.boundaries, packed.max_length
    attended = varlen_attn(q, k, v, ends, ends, longest, longest, scale=scaling, window_size=(-1, 0), **grouped)
    return cast(Tensor, attended)[None]


def packed_mask(*args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """No mask for a packed row (it comes without a padding mask), SDPA's own for everything else."""
    return None if attention_mask is None else sdpa_mask(*args, attention_mask=attention_mask, **kwargs)


# Compiled layers leave it out: its blocks change with every row.
AttentionInterface.register("packed", torch.compiler.disable(packed_attention))
AttentionInterface.register(OF_A_GPU, torch.compiler.disable(packed_attention_of_a_gpu))
AttentionMaskInterface.register("packed", packed_mask)
AttentionMaskInterface.register(OF_A_GPU, packed_mask)
