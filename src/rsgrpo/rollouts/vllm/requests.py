"""Completions as vLLM is asked for them, and as it gives them back."""

from collections.abc import Sequence
from typing import Any

import torch

from rsgrpo.errors import UserError
from rsgrpo.rollouts.engine import Sample
from rsgrpo.types import Sampling

LOWEST_TEMPERATURE = 1e-2
"""vLLM silently samples at this temperature when a lower one is asked for."""


def check_temperature(sampling: Sampling) -> None:
    """Refuse a temperature that vLLM would change.

    Raises:
        UserError: naming it and what to do instead.
    """
    if sampling.temperature < LOWEST_TEMPERATURE:
        raise UserError(
            f"temperature={sampling.temperature}: vLLM samples at {LOWEST_TEMPERATURE} or above; try "
            f"temperature={LOWEST_TEMPERATURE}, top_k=1 for the best token, or engine=HFEngine(...)"
        )


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


class Batch:
    """The requests of one call of `generate`, one for each completion: which of them wait, and what the others gave."""

    def __init__(self, name: str, prompts: Sequence[int], num_completions: int) -> None:
        """`name` tells its requests from those of other batches; `prompts` are how many each sharer asks for."""
        self.waiting = {
            f"{name}.{sharer}.{index}.{sample}": (sharer, index, sample)
            for sharer, count in enumerate(prompts)
            for index in range(count)
            for sample in range(num_completions)
        }
        """(sharer, index of the prompt, number of the completion) by the name of the request, in order."""
        self._drawn: dict[tuple[int, int], dict[int, Sample]] = {}
        self._num_completions = num_completions

    def take(self, name: str, output: Any) -> tuple[int, int] | None:
        """Take what a request gave; (sharer, index of the prompt) if it was the last one of its prompt."""
        sharer, index, sample = self.waiting.pop(name)
        drawn = self._drawn.setdefault((sharer, index), {})
        drawn[sample] = sample_of(output)
        return (sharer, index) if len(drawn) == self._num_completions else None

    def samples(self, sharer: int, index: int) -> list[Sample]:
        """The completions of a prompt, in the order of their numbers; they are forgotten here."""
        drawn = self._drawn.pop((sharer, index))
        return [drawn[sample] for sample in range(self._num_completions)]
