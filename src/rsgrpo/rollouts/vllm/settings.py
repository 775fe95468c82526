"""What vLLM is started with, besides its memory."""

from typing import Any

import torch

ALWAYS: dict[str, Any] = {
    "load_format": "dummy",
    "generation_config": "vllm",
    "enable_prefix_caching": True,
    "logprobs_mode": "processed_logprobs",
    "disable_log_stats": True,
    "seed": 0,
}


def batches(*, max_rows: int, max_tokens: int, prefill_tokens: int) -> dict[str, Any]:
    """The settings that bound a forward pass; see the fields of `VLLMEngine`.

    vLLM draws a token after each part of a prompt that it has cut, and drops all but the last one. On a GPU a draw is a
    function of seed and position, so this changes nothing. On a CPU a request has a generator, which draws once too
    often and cannot be set back: there a prompt is never cut.
    """
    cuts = torch.cuda.is_available()
    return {
        "max_model_len": max_tokens,
        "max_num_seqs": max_rows,
        "enable_chunked_prefill": cuts,
        "max_num_batched_tokens": max(prefill_tokens, max_rows, 0 if cuts else max_tokens),
    }


def ranks_that_share(ranks: int, tensor_parallel_size: int) -> dict[str, Any]:
    """The settings of several ranks, which are there already when vLLM starts."""
    if ranks == 1:
        return {}
    return {"distributed_executor_backend": "external_launcher", "tensor_parallel_size": tensor_parallel_size}
