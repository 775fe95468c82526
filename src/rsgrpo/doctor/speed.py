"""How quick the copy is: tokens sampled and trained in a second."""

import time

import torch

from rsgrpo.doctor.bench import Bench
from rsgrpo.doctor.table import Result
from rsgrpo.evaluation.sampling import sampled_groups
from rsgrpo.training.parity import canaries
from rsgrpo.types import Sampling

SAMPLED_TOKENS, TRAINED_TOKENS = 64, 1024
"""New tokens of each completion, and tokens of the packed row."""


def sampling(bench: Bench, completions: int) -> Result:
    """The second of two rounds, since the first compiles."""
    prompts = canaries(min(len(bench.policy.tokenizer), bench.policy.vocabulary), bench.policy.context, SAMPLED_TOKENS)
    asked, seconds, tokens = Sampling(max_new_tokens=SAMPLED_TOKENS, temperature=bench.temperature), 0.0, 0
    with bench.autocast():
        for round_ in range(2):
            begun = time.perf_counter()
            seeds = range(round_, round_ + len(prompts))
            groups = sampled_groups(bench.engine, prompts, asked, num_completions=completions, seeds=seeds)
            tokens = sum(len(c.token_ids) for _, group in list(groups) for c in group.completions)
            seconds = time.perf_counter() - begun
    return Result(f"{tokens / seconds:,.0f} tokens/s, {len(prompts) * completions} completions side by side")


def training(bench: Bench) -> Result:
    """Forward and backward of a packed row, the second of two."""
    [row] = bench.rows(bench.random_sequences([TRAINED_TOKENS // 8 - 3] * 8))
    seconds = 0.0
    for _ in range(2):
        if bench.on_gpu:
            torch.cuda.synchronize()
        begun = time.perf_counter()
        bench.gradients([row])
        if bench.on_gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begun
    return Result(f"{sum(row.lengths) / seconds:,.0f} tokens/s, forward and backward")
