"""The reference is the policy that training began with: a frozen copy, or the policy without its adapters."""

from pathlib import Path

import pytest
import torch

from rsgrpo.batching.packing import TrainingSequence, pack
from rsgrpo.models.lora import LoRA
from rsgrpo.models.policy import Policy
from rsgrpo.training.reference import FrozenCopy, WithoutAdapters, reference_of
from rsgrpo.types import PackedRow


def row() -> PackedRow:
    sequences = [
        TrainingSequence(
            prompt_ids=(3, 4), completion_ids=ids, advantage=0.0, weight=0.0, sampler_logprobs=torch.zeros(len(ids))
        )
        for ids in ((5, 6, 7), (8,))
    ]
    return pack(sequences, row_tokens=100, device=torch.device("cpu"))[0]


def nothing(policy: Policy) -> None:
    """What lays a policy out on one device."""


@pytest.mark.parametrize("adapters", [False, True])
def test_it_stays_where_training_began_and_costs_no_copy_with_adapters(random_policy: Path, adapters: bool) -> None:
    policy = Policy.from_pretrained(random_policy)
    before = policy(row(), 0.7).logprobs.detach()
    if adapters:
        policy.add_adapters(LoRA(rank=2), seed=1)
    reference = reference_of(policy)
    assert isinstance(reference, WithoutAdapters if adapters else FrozenCopy)
    reference.lay_out(policy, nothing)
    assert torch.equal(reference.logprobs(row(), 0.7), before)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    moved = policy(row(), 0.7).logprobs
    assert (moved - before).abs().max() > 0.01
    said = reference.logprobs(row(), 0.7)
    assert torch.equal(said, before)
    assert not said.requires_grad
    assert torch.equal(policy(row(), 0.7).logprobs, moved), "the policy itself computes as before"


def test_a_copy_is_not_trained(random_policy: Path) -> None:
    reference = reference_of(Policy.from_pretrained(random_policy))
    assert isinstance(reference, FrozenCopy)
    reference.lay_out(reference.policy, nothing)
    assert not any(parameter.requires_grad for parameter in reference.policy.parameters())
