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

NEW_TOKENS = 4
COMPLETIONS = 2


def check_parity(policy: Policy, engine: RolloutEngine, temperature: float) -> float | None:
    """Compare the engine's log-probs of fixed canary prompts with the trainer's; the largest difference, in nats.

    The engine samples the same prompts at every check, so that keys and values that it kept of older weights would
    show. All ranks have to call it, each with its own engine: the trainer's forward pass is a collective.

    Returns:
        max |log pi_engine - log pi_trainer| over the tokens of all ranks; None where the engine has none to compare.

    Raises:
        UserError: when it exceeds the engine's bound, or is not a number.
    """
    if engine.parity is None:
        return None
    gap = max(ranks.gather(_gap(policy, engine, temperature)))
    if not gap <= engine.parity.bound:
        raise UserError(
            f"the engine's log-probs differ from the trainer's by {gap:.2g} nats, more than the "
            f"{engine.parity.bound:g} that rounding explains: it does not sample from the policy that is trained; "
            "report the model and the versions, and train with engine=HFEngine(...) (max_gap allows more)",
            max_gap="engine",
        )
    return gap


def _gap(policy: Policy, engine: RolloutEngine, temperature: float) -> float:
    prompts = canaries(min(len(policy.tokenizer), policy.vocabulary), policy.context)
    sampling = Sampling(max_new_tokens=NEW_TOKENS, temperature=temperature)
    seeds = range(len(prompts))
    groups = list(sampled_groups(engine, prompts, sampling, num_completions=COMPLETIONS, seeds=seeds))
    ranks.barrier()  # a rank whose engine failed is not in the forward pass
    sequences = [sequence for _, group in groups for sequence in sequences_of(group, [0.0] * COMPLETIONS, no_weight)]
    (row,) = pack(sequences, row_tokens=sum(PROMPT_TOKENS) * COMPLETIONS * 2, device=policy.device)
    with torch.no_grad():
        logprobs = policy(row, temperature).logprobs
    if isinstance(policy, FSDPModule):
        cast(FSDPModule, policy).reshard()  # what only a backward pass would do
    return float((logprobs - row.sampler_logprobs).abs().nan_to_num(nan=torch.inf).max())


def no_weight(length: int) -> float:
    """Of tokens whose log-probs are compared, and which are not trained."""
    return 0.0


def canaries(vocabulary: int, context: int) -> list[Prompt]:
    """The fixed prompts: tokens drawn from the whole vocabulary, as many as fit into the context."""
    draw = random.Random(derive_seed("canaries"))
    lengths = [min(length, context - NEW_TOKENS) for length in PROMPT_TOKENS]
    return [
        Prompt(
            problem=Problem(id=f"canary/{i}", text="", answer=""),
            token_ids=tuple(draw.randrange(vocabulary) for _ in range(length)),
        )
        for i, length in enumerate(lengths)
    ]
