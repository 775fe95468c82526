"""What the checks work on: a copy of the run's model with few layers, and the run's engine on it."""

import gc
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rsgrpo.batching.packing import TrainingSequence, pack, sequences_of
from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.evaluation.sampling import sampled_groups
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import RolloutEngine, parts_of
from rsgrpo.training.parity import canaries, no_weight
from rsgrpo.types import PackedRow, Sampling, TokenStatistics

LENGTHS = (1, 2, 7, 31, 64, 65, 130)
"""Of the sequences that are packed, in tokens."""

NEW_TOKENS, COMPLETIONS = 24, 4
"""Of each canary prompt, sampled to compare log-probs: 384 tokens."""


@dataclass(slots=True, kw_only=True)
class Bench:
    """A policy on its device, and an engine that is made when it is first needed."""

    policy: Policy
    make_engine: Callable[[], RolloutEngine]
    half: bool
    """Whether the run computes in bfloat16."""
    temperature: float = 1.0
    _engine: RolloutEngine | None = field(default=None, init=False)
    version: int = field(default=0, init=False)

    @property
    def engine(self) -> RolloutEngine:
        """The run's engine, with the policy's weights of the last `sync`."""
        if self._engine is None:
            self._engine = self.make_engine()
            self.sync()
        return self._engine

    @property
    def on_gpu(self) -> bool:
        return self.policy.device.type == "cuda"

    def sync(self) -> list[str]:
        """Give the engine the policy's weights; the names that it took, where it takes any."""
        taken: list[str] = []

        if self._engine is None:
            self._engine = self.make_engine()
        parts = parts_of(self._engine)

        def noted() -> Iterator[tuple[str, Tensor]]:
            for name, tensor in full_tensors(self.policy.model, parts):
                taken.append(name)
                yield name, tensor

        self.version += 1
        self._engine.load_policy(noted(), version=self.version)
        return taken

    def close(self) -> None:
        """The engine gives back what it holds."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        gc.collect()

    def autocast(self) -> torch.autocast:
        """The one of Lightning's bf16-mixed, where the run computes in bfloat16."""
        return torch.autocast(self.policy.device.type, dtype=torch.bfloat16, cache_enabled=False, enabled=self.half)

    def forward(self, row: PackedRow) -> TokenStatistics:
        """Of a row, as the run computes it."""
        with self.autocast():
            return self.policy(row, self.temperature)

    def random_sequences(self, lengths: Sequence[int] = LENGTHS) -> list[TrainingSequence]:
        """Prompts of a few tokens and completions of `lengths`, of tokens that nobody sampled, one weight a token."""
        draw, known = random.Random(0), min(len(self.policy.tokenizer), self.policy.vocabulary)
        return [
            TrainingSequence(
                prompt_ids=tuple(draw.randrange(known) for _ in range(3)),
                completion_ids=tuple(draw.randrange(known) for _ in range(length)),
                advantage=draw.choice([-1.0, 1.0]),
                weight=1 / sum(lengths),
                sampler_logprobs=torch.zeros(length),
            )
            for length in lengths
        ]

    def rows(self, sequences: Sequence[TrainingSequence], row_tokens: int = 10**9) -> list[PackedRow]:
        """Packed."""
        return pack(sequences, row_tokens=row_tokens, device=self.policy.device)

    def gradients(self, rows: Sequence[PackedRow]) -> dict[str, Tensor]:
        """Of the clipped surrogate, summed over the rows, by parameter."""
        self.policy.zero_grad(set_to_none=True)
        for row in rows:
            tokens = self.forward(row)
            output = ClipLoss()(tokens, tokens.logprobs.detach(), row)
            (output.per_token * row.weights).sum().backward()
        found = {name: p.grad.float() for name, p in self.policy.named_parameters() if p.grad is not None}
        self.policy.zero_grad(set_to_none=True)
        return found

    @torch.no_grad()
    def gaps(self, new_tokens: int = NEW_TOKENS) -> Tensor:
        """|trainer - engine| log-prob of what the engine samples now after canary prompts, per token, in nats."""
        row = self.canary_row(new_tokens)
        return (self.forward(row).logprobs.float() - row.sampler_logprobs).abs()

    def canary_row(self, new_tokens: int = NEW_TOKENS) -> PackedRow:
        """What the engine samples after the canary prompts."""
        known = min(len(self.policy.tokenizer), self.policy.vocabulary)
        prompts = canaries(known, self.policy.context, new_tokens)
        sampling = Sampling(max_new_tokens=new_tokens, temperature=self.temperature)
        with self.autocast():
            groups = list(
                sampled_groups(self.engine, prompts, sampling, num_completions=COMPLETIONS, seeds=range(len(prompts)))
            )
        sequences = [s for _, group in groups for s in sequences_of(group, [0.0] * COMPLETIONS, no_weight)]
        [row] = self.rows(sequences)
        return row
