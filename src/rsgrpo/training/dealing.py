"""Which sequences are trained on, as every rank knows them, and how they get to the ranks that train them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rsgrpo.batching.packing import TrainingSequence
from rsgrpo.batching.plan import deal
from rsgrpo.distributed import ranks
from rsgrpo.losses.aggregation import token_weight
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.selection import Selection
from rsgrpo.types import ScoredGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """All of a sequence that is trained on but its tokens and their log-probs."""

    place: int
    """Of its group."""
    number: int
    """Of the completion in its group."""
    sampled_by: int
    """The rank that has its tokens."""
    prompt_tokens: int
    completion_tokens: int
    advantage: float
    weight: float
    """Of each of its completion tokens, see `TrainingSequence`."""

    @property
    def tokens(self) -> int:
        """Of prompt and completion."""
        return self.prompt_tokens + self.completion_tokens


def trained_of_updates(groups: Mapping[int, ScoredGroup], selection: Selection, recipe: Recipe) -> list[list[Trained]]:
    """The sequences of each update of an epoch, those of all ranks, the same list on each. A collective.

    A token's weight counts the tokens of all ranks, so the sum of all rows of all ranks is one big batch.

    Args:
        groups: those that this rank has sampled.
    """
    prompts = ranks.gather({place: len(scored.group.prompt.token_ids) for place, scored in groups.items()})
    sampled = {place: (rank, tokens) for rank, theirs in enumerate(prompts) for place, tokens in theirs.items()}
    advantages_of = dict(zip(selection.kept, selection.advantages.tolist(), strict=True))
    updates = []
    for hand in deal(selection.kept, recipe.batching.updates_per_epoch):
        weight = token_weight(
            [length for place in hand for length in selection.outcomes[place].lengths],
            selection.loss.aggregation,
            max_new_tokens=recipe.sampling.max_new_tokens,
            sequences=recipe.batching.completions_per_update,
        )
        updates.append(
            [
                Trained(
                    place=place,
                    number=number,
                    sampled_by=sampled[place][0],
                    prompt_tokens=sampled[place][1],
                    completion_tokens=length,
                    advantage=advantage,
                    weight=weight(length),
                )
                for place in hand
                for number, (length, advantage) in enumerate(
                    zip(selection.outcomes[place].lengths, advantages_of[place], strict=True)
                )
            ]
        )
    return updates


def fetched(
    groups: Mapping[int, ScoredGroup], trained_by: Mapping[Trained, int], device: torch.device
) -> dict[Trained, TrainingSequence]:
    """The sequences that this rank trains; those that others have sampled come from them. A collective.

    Args:
        groups: those that this rank has sampled.
        trained_by: the rank that trains each sequence, in the same order on every rank.
        device: where the ranks exchange tensors.
    """
    me, everyone = ranks.index(), range(ranks.count())
    moving = {s: rank for s, rank in trained_by.items() if s.sampled_by != rank}
    leaving = [
        [_sampled(groups, s) for s, to in moving.items() if s.sampled_by == me and to == rank] for rank in everyone
    ]
    coming = [[s for s, to in moving.items() if s.sampled_by == rank and to == me] for rank in everyone]
    token_ids = ranks.exchange(
        [_joined([torch.tensor(s.prompt_ids + s.completion_ids) for s in to], torch.long, device) for to in leaving],
        [sum(s.tokens for s in of) for of in coming],
    )
    logprobs = ranks.exchange(
        [_joined([s.sampler_logprobs for s in to], torch.float32, device) for to in leaving],
        [sum(s.completion_tokens for s in of) for of in coming],
    )
    here = {s: _sampled(groups, s) for s, rank in trained_by.items() if s.sampled_by == rank == me}
    for of, their_ids, their_logprobs in zip(coming, token_ids, logprobs, strict=True):
        ids = their_ids.cpu().split([s.tokens for s in of])
        sampler = their_logprobs.cpu().split([s.completion_tokens for s in of])
        for s, both, of_sampler in zip(of, map(Tensor.tolist, ids), sampler, strict=True):
            here[s] = _sequence(s, tuple(both[: s.prompt_tokens]), tuple(both[s.prompt_tokens :]), of_sampler)
    return here


def _sampled(groups: Mapping[int, ScoredGroup], sequence: Trained) -> TrainingSequence:
    """A sequence of a group that this rank has sampled."""
    group = groups[sequence.place].group
    completion = group.completions[sequence.number]
    return _sequence(sequence, group.prompt.token_ids, completion.token_ids, completion.logprobs.float())


def _sequence(
    s: Trained, prompt_ids: tuple[int, ...], completion_ids: tuple[int, ...], logprobs: Float[Tensor, " T"]
) -> TrainingSequence:
    return TrainingSequence(
        prompt_ids=prompt_ids,
        completion_ids=completion_ids,
        advantage=s.advantage,
        weight=s.weight,
        sampler_logprobs=logprobs,
        origin=(s.place, s.number),
    )


def _joined(parts: Sequence[Shaped[Tensor, " _"]], dtype: torch.dtype, device: torch.device) -> Shaped[Tensor, " all"]:
    """The parts end to end, which may be none."""
    return torch.cat([torch.empty(0, dtype=dtype), *parts]).to(device, dtype)
