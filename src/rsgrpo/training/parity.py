"""After new weights have gone to an engine: do its log-probs agree with the trainer's?"""

import random
from typing import cast

import torch
from torch.distributed.fsdp import FSDPModule

from rsgrpo.batching.packing import pack, sequences_of
from rsgrpo.distributed import ranks
from rsgrpo.errors import UserError
from rsgrpo.evaluation.sampling import sampled_groups
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.seeds import derive_seed
from rsgrpo.types import Problem, Prompt, Sampling

PROMPT_TOKENS = (1, 9, 40, 100)
"""Lengths of the canary prompts: some shorter than a block of an engine's prefix cache, some longer than several."""

NEW_TOKENS, COMPLETIONS = 4, 2
"""32 tokens on each rank: rounding in float32 is alike on all tokens, and these are cheap."""

MANY_TOKENS, MANY_COMPLETIONS = 32, 8
"""1,024 tokens, for an engine in half precision: single tokens are then off by half a nat, and the mean is not."""


def check_parity(policy: Policy, engine: RolloutEngine, temperature: float) -> float | None:
    """Compare the engine's log-probs of fixed canary prompts with the trainer's; their mean difference, in nats.

    The engine samples the same prompts at every check, so that keys and values that it kept of older weights would
    show. All ranks have to call it, each with its own engine: the trainer's forward pass is a collective.

    The mean tells rounding from wrong weights, which differ on all tokens; the largest difference does not.

    Returns:
        The mean |log pi_engine - log pi_trainer| over the tokens of all ranks; None where the engine has none to
        compare.

    Raises:
        UserError: when it exceeds the engine's bound, or is not a number.
    """
    if engine.parity is None:
        return None
    many = engine.parity.half_precision
    sizes = (MANY_TOKENS, MANY_COMPLETIONS) if many else (NEW_TOKENS, COMPLETIONS)
    sums, counts = zip(*ranks.gather(_gaps(policy, engine, temperature, *sizes)), strict=True)
    gap = sum(sums) / sum(counts)
    if not gap <= engine.parity.bound:
        raise UserError(
            f"the engine's log-probs differ from the trainer's by {gap:.2g} nats on average, more than the "
            f"{engine.parity.bound:g} that rounding explains: it does not sample from the policy that is trained; "
            "report the model and the versions, and train with engine=HFEngine(...) (max_gap allows more)",
            max_gap="engine",
        )
    return gap


def _gaps(
    policy: Policy, engine: RolloutEngine, temperature: float, new_tokens: int, completions: int
) -> tuple[float, int]:
    """The sum of this rank's differences, infinite where one is not a number, and how many there are."""
    prompts = canaries(min(len(policy.tokenizer), policy.vocabulary), policy.context, new_tokens)
    sampling = Sampling(max_new_tokens=new_tokens, temperature=temperature)
    seeds = range(len(prompts))
    groups = list(sampled_groups(engine, prompts, sampling, num_completions=completions, seeds=seeds))
    ranks.barrier()  # a rank whose engine failed is not in the forward pass
    sequences = [sequence for _, group in groups for sequence in sequences_of(group, [0.0] * completions, no_weight)]
    tokens = sum(len(s.prompt_ids) + len(s.completion_ids) for s in sequences)
    (row,) = pack(sequences, row_tokens=tokens, device=policy.device)
    with torch.no_grad():
        logprobs = policy(row, temperature).logprobs
    if isinstance(policy, FSDPModule):
        cast(FSDPModule, policy).reshard()  # what only a backward pass would do
    gaps = (logprobs - row.sampler_logprobs).abs().double().nan_to_num(nan=torch.inf)
    return float(gaps.sum()), len(gaps)


def no_weight(length: int) -> float:
    """Of tokens whose log-probs are compared, and which are not trained."""
    return 0.0


def canaries(vocabulary: int, context: int, new_tokens: int = NEW_TOKENS) -> list[Prompt]:
    """The fixed prompts: tokens drawn from the whole vocabulary, as many as fit into the context."""
    draw = random.Random(derive_seed("canaries"))
    lengths = [min(length, context - new_tokens) for length in PROMPT_TOKENS]
    return [
        Prompt(
            problem=Problem(id=f"canary/{i}", text="", answer=""),
            token_ids=tuple(draw.randrange(vocabulary) for _ in range(length)),
        )
        for i, length in enumerate(lengths)
    ]
