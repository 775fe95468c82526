"""Sampling from the live module with transformers: no second copy of the weights, no engine to start."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import DynamicCache, LogitsProcessorList, MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from rsgrpo.fields import check_fields
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import Parity, Sample, check_prompts, group_of
from rsgrpo.types import Group, Prompt, Sampling

COMPACT_BELOW = 0.9
"""Rows that have finished leave the batch once fewer than this share of its rows are still being sampled."""


@dataclass(slots=True, kw_only=True)
class HFEngine:
    """Prompts are prefilled once for their N completions, keys and values are cached, finished rows leave.

    Raises:
        FieldError: for `max_rows` below 1.
    """

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"max_rows": (1, math.inf)}
    """Known, like the types of its settings, before there is a policy."""

    policy: Policy
    max_rows: int = 512
    """Completions sampled side by side; bounds memory. A group is never split, so at least one group is."""
    version: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_fields(self, **self.BOUNDS)

    def load_policy(self, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        """The live module already has the weights: only the version changes."""
        self.version = version

    @property
    def parity(self) -> Parity | None:
        """Nothing to compare: the trainer's weights are sampled."""
        return None

    def make_room(self) -> None:
        """It holds no memory between two calls."""

    def close(self) -> None:
        """It holds nothing."""

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, num_completions: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Group]]:
        """See `RolloutEngine.generate`. Prompts of similar length are sampled together.

        Raises:
            UserError: for a prompt that is empty or does not fit into the policy's context.
        """
        check_prompts(prompts, sampling, self.policy.context)
        return self._groups(prompts, sampling, num_completions, seeds)

    def _groups(
        self, prompts: Sequence[Prompt], sampling: Sampling, num_completions: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Group]]:
        per_batch = max(1, self.max_rows // num_completions)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].token_ids))
        training = self.policy.training
        self.policy.eval()
        try:
            with self.policy.whole():
                for start in range(0, len(order), per_batch):
                    chosen = order[start : start + per_batch]
                    batch = _Batch(self.policy, [prompts[i] for i in chosen], sampling, num_completions)
                    for j in batch.sample([seeds[i] for i in chosen]):
                        yield chosen[j], batch.group(j, self.version)
        finally:
            self.policy.train(training)


class _Batch:
    """Prompts x N rows that are decoded together. R rows in all, A of them still in the forward pass."""

    def __init__(self, policy: Policy, prompts: Sequence[Prompt], sampling: Sampling, num_completions: int) -> None:
        self.policy, self.prompts, self.sampling, self.n = policy, prompts, sampling, num_completions
        rows = len(prompts) * num_completions
        self.token_ids = torch.zeros(rows, sampling.max_new_tokens, dtype=torch.long, device=policy.device)
        self.logprobs = torch.zeros(rows, sampling.max_new_tokens, device=policy.device)
        self.lengths = torch.zeros(rows, dtype=torch.long, device=policy.device)
        self.finished = torch.zeros(rows, dtype=torch.bool, device=policy.device)
        self.stop_ids = torch.tensor(policy.stop_token_ids, device=policy.device)
        self.warp = _warpers(sampling)

    def sample(self, seeds: Sequence[int]) -> Iterator[int]:
        """Decode to the end; yield the index of each group as its last row ends."""
        uniforms = UniformStreams([(seed, sample) for seed in seeds for sample in range(self.n)])
        logits, cache, mask, position = self._prefill()
        rows = torch.arange(len(self.token_ids), device=logits.device)
        waiting = list(range(len(self.prompts)))
        for step in range(self.sampling.max_new_tokens):
            uniform = uniforms.at(step, rows).to(logits.device)
            token, logprob = draw(
                self.warp(cast(Any, self.token_ids[:0]), logits.float() / self.sampling.temperature), uniform
            )
            self._record(rows, step, token, logprob)
            ended = self.finished.view(-1, self.n).all(dim=1).tolist()
            done = [j for j in waiting if ended[j] or step + 1 == self.sampling.max_new_tokens]
            yield from done
            waiting = [j for j in waiting if j not in done]
            if not waiting:
                return
            running = ~self.finished[rows]
            if running.float().mean() < COMPACT_BELOW:
                keep = running.nonzero()[:, 0]
                cache.batch_select_indices(keep)
                rows, token, mask, position = rows[keep], token[keep], mask[keep], position[keep]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            logits = self._forward(token[:, None], mask, position[:, None] + step, cache)

    def group(self, j: int, version: int) -> Group:
        """The finished group of prompt j."""
        rows = slice(j * self.n, (j + 1) * self.n)
        lengths, finished = self.lengths[rows].tolist(), self.finished[rows].tolist()
        ids = [row[:length] for row, length in zip(self.token_ids[rows].tolist(), lengths, strict=True)]
        logprobs = self.logprobs[rows].cpu()
        samples = [Sample(tuple(ids[i]), logprobs[i, : lengths[i]].clone(), finished[i]) for i in range(self.n)]
        return group_of(self.prompts[j], samples, self.policy.tokenizer, version)

    def _prefill(self) -> tuple[Tensor, DynamicCache, Tensor, Tensor]:
        """One forward pass over the left-padded prompts, repeated for their N rows: logits, cache, mask, position."""
        longest = max(len(prompt.token_ids) for prompt in self.prompts)
        lengths = torch.tensor([len(prompt.token_ids) for prompt in self.prompts], device=self.policy.device)
        padded = [[0] * (longest - len(prompt.token_ids)) + list(prompt.token_ids) for prompt in self.prompts]
        mask = torch.arange(longest, device=lengths.device)[None] >= (longest - lengths)[:, None]
        position = (mask.long().cumsum(1) - 1).clamp(min=0)
        cache = ComputeTypeCache(config=self.policy.model.config)
        logits = self._forward(torch.tensor(padded, device=lengths.device), mask.long(), position, cache)
        cache.batch_repeat_interleave(self.n)
        logits, mask, lengths = (x.repeat_interleave(self.n, dim=0) for x in (logits, mask.long(), lengths))
        return logits, cache, mask, lengths

    @torch.no_grad()
    def _forward(self, token_ids: Tensor, mask: Tensor, position: Tensor, cache: DynamicCache) -> Float[Tensor, "A V"]:
        """Logits of the last position of each row."""
        model = self.policy.model
        hidden = model.get_decoder()(
            input_ids=token_ids, attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True
        ).last_hidden_state
        return cast(nn.Module, model.get_output_embeddings())(hidden[:, -1])

    def _record(self, rows: Tensor, step: int, token: Tensor, logprob: Tensor) -> None:
        """Store the new token of every row that had not finished, and note which finish with it."""
        live = ~self.finished[rows]
        self.token_ids[rows[live], step] = token[live]
        self.logprobs[rows[live], step] = logprob[live]
        self.lengths[rows[live]] = step + 1
        self.finished[rows] |= torch.isin(token, self.stop_ids)


class ComputeTypeCache(DynamicCache):
    """Keys and values in the type of the computation: under autocast, norms and rotary embeddings leave float32."""

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        kind = key_states.device.type
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
            key_states, value_states = key_states.to(dtype), value_states.to(dtype)
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)


class UniformStreams:
    """A stream of uniform numbers per row, from numpy's counter-based Philox generator keyed by (seed, sample)."""

    BLOCK = 64

    def __init__(self, keys: Sequence[tuple[int, int]]) -> None:
        self.generators = [np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64))) for key in keys]

    def at(self, step: int, rows: Int[Tensor, " A"]) -> Float[Tensor, " A"]:
        """The number of each of `rows` at `step`; steps are visited in order."""
        if step % self.BLOCK == 0:
            self.block = torch.from_numpy(np.stack([g.random(self.BLOCK, dtype=np.float32) for g in self.generators]))
        return self.block[rows.cpu(), step % self.BLOCK]


def draw(logits: Float[Tensor, "A V"], uniform: Float[Tensor, " A"]) -> tuple[Int[Tensor, " A"], Float[Tensor, " A"]]:
    """Inverse-CDF sampling: the first token whose cumulative probability exceeds `uniform`, and its log-prob.

    A token of probability zero is never drawn, whatever the rounding.
    """
    logprobs = logits.log_softmax(dim=-1)
    cumulative = logprobs.exp().cumsum(dim=-1)
    total = cumulative[:, -1]
    point = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    token = torch.searchsorted(cumulative, point[:, None], right=True)
    return token[:, 0], logprobs.gather(-1, token)[:, 0]


def _warpers(sampling: Sampling) -> LogitsProcessorList:
    """transformers' own truncations, in the order of `Sampling`; none in training."""
    warpers = LogitsProcessorList()
    if sampling.min_p > 0:
        warpers.append(MinPLogitsWarper(sampling.min_p))
    if sampling.top_k > 0:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return warpers
