"""A completion as vLLM is asked for it, and as it gives it back."""

from collections.abc import Sequence
from typing import Any

import torch

from rsgrpo.rollouts.engine import Sample
from rsgrpo.types import Sampling


def parameters(sampling: Sampling, *, seed: int, stop_token_ids: Sequence[int]) -> Any:
    """How to draw one completion, as vLLM's record."""
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]
    from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]

    return SamplingParams(
        max_tokens=sampling.max_new_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        seed=seed,
        logprobs=0,
        stop_token_ids=list(stop_token_ids),
        ignore_eos=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def sample_of(output: Any) -> Sample:
    """vLLM's record of one completion as ours."""
    logprobs = [step[token].logprob for step, token in zip(output.logprobs, output.token_ids, strict=True)]
    return Sample(
        token_ids=tuple(output.token_ids), logprobs=torch.tensor(logprobs), finished=output.finish_reason == "stop"
    )
