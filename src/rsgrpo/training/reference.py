"""The policy that training began with, for whatever measures how far the trained one has moved."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from rsgrpo.models.lora import without_adapters
from rsgrpo.models.policy import Policy
from rsgrpo.types import PackedRow


@runtime_checkable
class Reference(Protocol):
    """A policy whose weights never change."""

    def lay_out(self, policy: Policy, apply: Callable[[Policy], None]) -> None:
        """Put its weights where those of the trained policy are; `apply` shards a policy over the ranks."""
        ...

    def logprobs(self, row: PackedRow, temperature: float) -> Float[Tensor, " T"]:
        """Log-probs of the row's loss tokens, in nats, without a gradient. A collective where weights are sharded."""
        ...


def reference_of(policy: Policy) -> Reference:
    """The reference of a policy that has not been trained yet: itself without its adapters, or else a frozen copy."""
    if policy.has_adapters:
        return WithoutAdapters(policy)
    if policy.is_on_meta:
        return FrozenCopy(Policy.from_pretrained(policy.source, chunk_tokens=policy.chunk_tokens, on_meta=True))
    return FrozenCopy(deepcopy(policy))


@dataclass(slots=True)
class WithoutAdapters:
    """LoRA freezes the weights that training began with: they are the reference, and no second copy is made."""

    policy: Policy

    def lay_out(self, policy: Policy, apply: Callable[[Policy], None]) -> None:
        """There is nothing to lay out."""

    def logprobs(self, row: PackedRow, temperature: float) -> Float[Tensor, " T"]:
        """Log-probs under the policy with its adapters switched off."""
        with torch.no_grad(), without_adapters(self.policy.model):
            return self.policy(row, temperature).logprobs


@dataclass(slots=True)
class FrozenCopy:
    """A second policy beside the trained one."""

    policy: Policy

    def lay_out(self, policy: Policy, apply: Callable[[Policy], None]) -> None:
        """Shard it as the trained policy is, or put it on that policy's device."""
        self.policy.requires_grad_(False)
        apply(self.policy)
        self.policy.to(policy.device)

    def logprobs(self, row: PackedRow, temperature: float) -> Float[Tensor, " T"]:
        """Log-probs under the copy, whose shards are given back afterwards."""
        with torch.no_grad():
            logprobs = self.policy(row, temperature).logprobs
        if isinstance(self.policy, FSDPModule):
            cast(FSDPModule, self.policy).reshard()  # what only a backward pass would do
        return logprobs
