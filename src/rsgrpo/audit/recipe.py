"""What a whole recipe makes of an objective in expectation: rescaling, filter, aggregation, loss and terms, step by
step, over every group that each prompt of a mix can draw. Nothing is sampled.

In the update of a run, prompts share one divisor and nothing else, so the expectation factors: over the groups of one
prompt, given the distribution of what the others add to the divisor (`divisor.py`). Each prompt has logits of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rsgrpo.audit.divisor import Divisor, others_of_update
from rsgrpo.audit.enumeration import claimed_gradient
from rsgrpo.audit.groups import KindOfPrompt, RecipeParts, check_parts, kind_of_prompt
from rsgrpo.audit.mix import Mix
from rsgrpo.audit.moved import moved_policies
from rsgrpo.audit.surrogate import Policies, completion_gradients
from rsgrpo.objectives.claims import multisets
from rsgrpo.terms.base import Term

NOTHING = 1e-12
"""Below this, relative to what it is compared with, an expected gradient is rounding."""


def audit_of_recipe(parts: RecipeParts, mix: Mix, rewards: Sequence[float]) -> dict[str, Any]:
    """What each part of a recipe adds, as plain numbers.

    The expected gradients are those of one pass over an iteration, in units in which `constant_sum` without a filter
    has the objective's own: those of the sums are times max_new_tokens and the prompts of an update, those of the means
    times the mean length of a completion and the prompts of an update.

    Args:
        parts: of the recipe.
        mix: the prompts; with `mix.kl`, loss and terms are those of a policy that has moved along the objective's
            expected gradient, and are held against the claim there.
        rewards: of the answers.

    Raises:
        UserError, FieldError: naming a part that refuses such groups, or cannot be enumerated, and the cure.
    """
    check_parts(parts, mix)
    sampled = mix.policies()
    without = _Enumerated.of(parts.with_terms(), mix, rewards, sampled)
    whole = _Enumerated.of(parts, mix, rewards, sampled) if parts.terms else without
    updated = moved_policies(sampled, without.mean_of_objective(), mix.kl)
    claims, at_updated = (_references(parts, mix, rewards, policies) for policies in (sampled, updated))
    surrogate = without.trained(updated, {})
    found = {
        "objective": (without.plain(rescaled=False, filtered=False), claims),
        "rescale": (without.plain(rescaled=True, filtered=False), claims),
        "filter": (without.plain(rescaled=True, filtered=True), claims),
        "aggregation": (without.aggregated(), claims),
        "loss": (surrogate, at_updated),
        "terms": (whole.trained(updated, parts.terms), at_updated),
    }
    claimed = claimed_gradient(parts.objective, sampled[0], torch.tensor(rewards).double(), without.completions)
    return {
        "against": "objective" if claimed is None else "claim",
        "stages": [{"part": part, **_measured(moments, of, mix)} for part, (moments, of) in found.items()],
        "terms": [
            {"term": name, **_contribution(parts, name, mix, rewards, updated, surrogate)} for name in parts.terms
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moments:
    """Of the gradient that one prompt of each of J kinds contributes, by its own M logits."""

    mean: Float[Tensor, "J M"]
    square: Float[Tensor, " J"]
    """E |g|^2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Enumerated:
    """All groups of all kinds of prompts, as one set of terms leaves their rewards."""

    parts: RecipeParts
    mix: Mix
    counts: Int[Tensor, "G M"]
    sampled: Float[Tensor, "J M"]
    kinds: Sequence[KindOfPrompt]

    @classmethod
    def of(cls, parts: RecipeParts, mix: Mix, rewards: Sequence[float], sampled: Float[Tensor, "J M"]) -> "_Enumerated":
        counts = multisets(sampled.shape[1], parts.batching.completions_per_prompt)
        kinds = [kind_of_prompt(parts, mix, rewards, policy, counts) for policy in sampled]
        return cls(parts=parts, mix=mix, counts=counts, sampled=sampled, kinds=kinds)

    @property
    def completions(self) -> int:
        return self.parts.batching.completions_per_prompt

    def mean_of_objective(self) -> Float[Tensor, "J M"]:
        return self.plain(rescaled=False, filtered=False).mean

    def plain(self, *, rescaled: bool, filtered: bool) -> _Moments:
        """Of (1/N) sum_i A_i grad log pi(y_i), where a dropped group counts as 0."""
        gradients = []
        for kind, policy in zip(self.kinds, self.sampled, strict=True):
            advantages = kind.rescaled if rescaled else kind.advantages
            total = (self.counts * advantages) @ _scores(policy) / self.completions
            gradients.append(total * kind.kept[:, None] if filtered else total)
        ones = [torch.ones(len(self.counts), dtype=torch.float64)] * len(self.kinds)
        return self._moments(gradients, ones, ones)

    def aggregated(self) -> _Moments:
        """The same with the weights that the aggregation gives the tokens of an update."""
        return self._weighted(
            [kind.rescaled[:, :, None] * _scores(policy) for kind, policy in zip(self.kinds, self.sampled, strict=True)]
        )

    def trained(self, updated: Float[Tensor, "J M"], terms: Mapping[str, Term]) -> _Moments:
        """The gradient of the loss with these terms, at policies that may differ from the sampled ones."""
        groups, answers = self.counts.nonzero(as_tuple=True)
        of_loss = {name: term for name, term in terms.items() if term.place == "loss"}
        reference = torch.tensor(self.mix.reference, dtype=torch.float64)
        found = []
        for kind, before, now in zip(self.kinds, self.sampled, updated, strict=True):
            gradients = torch.zeros(*self.counts.shape, self.counts.shape[1], dtype=torch.float64)
            gradients[groups, answers] = completion_gradients(
                kind.loss,
                of_loss,
                answers,
                kind.rescaled[groups, answers],
                self.mix.tokens,
                Policies(sampled=before, updated=now, reference=reference),
            )
            found.append(gradients)
        return self._weighted(found)

    def _weighted(self, gradients: Sequence[Float[Tensor, "G M M"]]) -> _Moments:
        """Of one pass over an iteration, from the gradient of one completion of each answer in each group."""
        loss, plan = self.kinds[0].loss, self.parts.batching
        divisor = Divisor(aggregation=loss.aggregation, plan=plan, longest=max(self.mix.tokens))
        lengths = torch.tensor(self.mix.tokens)
        units = self.counts @ lengths if divisor.counts_tokens else torch.ones(len(self.counts), dtype=torch.long)
        of_length = torch.tensor([divisor.of_length(length) for length in self.mix.tokens], dtype=torch.float64)
        distributions = [_distribution(units, kind.chances * kind.kept) for kind in self.kinds]
        each = plan.prompts_per_iteration // len(self.kinds)
        unit = plan.prompts_per_update * self._tokens_of_unit()
        totals, first, second = [], [], []
        for i, (kind, of_kind) in enumerate(zip(self.kinds, gradients, strict=True)):
            others = [each - (j == i) for j in range(len(self.kinds))]
            one, two = divisor.moments(units, others_of_update(distributions, others, plan))
            first.append(one * unit)
            second.append(two * unit**2)
            totals.append(torch.einsum("gm,m,gmk->gk", self.counts.double(), of_length, of_kind) * kind.kept[:, None])
        return self._moments(totals, first, second)

    def _tokens_of_unit(self) -> float:
        """Tokens that a completion of the mix has, or could have."""
        if self.kinds[0].loss.aggregation in ("token_mean", "sequence_mean"):
            return (self.sampled @ torch.tensor(self.mix.tokens).double()).mean().item()
        return float(max(self.mix.tokens))

    def _moments(
        self,
        gradients: Sequence[Float[Tensor, "G M"]],
        first: Sequence[Float[Tensor, " G"]],
        second: Sequence[Float[Tensor, " G"]],
    ) -> _Moments:
        """Over the groups, each gradient times a random weight with these moments."""
        triples = list(zip(self.kinds, gradients, first, second, strict=True))
        return _Moments(
            mean=torch.stack([(kind.chances * weight) @ g for kind, g, weight, _ in triples]),
            square=torch.stack([(kind.chances * square) @ g.square().sum(1) for kind, g, _, square in triples]),
        )


def _scores(policy: Float[Tensor, " M"]) -> Float[Tensor, "M M"]:
    """grad log pi(y) by the logits, of each answer y."""
    return torch.eye(len(policy), dtype=policy.dtype) - policy


def _distribution(units: Int[Tensor, " G"], chances: Float[Tensor, " G"]) -> Float[Tensor, " L"]:
    """The chance of 0, 1, ... units."""
    return torch.zeros(int(units.max()) + 1, dtype=torch.float64).index_add(0, units, chances)


def _references(
    parts: RecipeParts, mix: Mix, rewards: Sequence[float], policies: Float[Tensor, "J M"]
) -> Float[Tensor, "J M"]:
    """The gradients that an objective claims, or its own expected ones where it claims nothing."""
    n, values = parts.batching.completions_per_prompt, torch.tensor(rewards, dtype=torch.float64)
    claims = [claimed_gradient(parts.objective, policy, values, n) for policy in policies]
    if None in claims:
        return _Enumerated.of(parts.with_terms(), mix, rewards, policies).mean_of_objective()
    return torch.stack([claim for claim in claims if claim is not None])


def _measured(moments: _Moments, reference: Float[Tensor, "J M"], mix: Mix) -> dict[str, Any]:
    """An expected gradient against the claimed one: over all prompts, and by how much more of it hard ones get."""
    mean, accuracies = moments.mean, list(mix.accuracies)
    square, size = reference.square().sum().item(), mean.norm().item()
    along = (mean * reference).sum(dim=1) / reference.square().sum(dim=1)
    hard, easy = (along[accuracies.index(p)].item() for p in (min(accuracies), max(accuracies)))
    variance = max(0.0, (moments.square.sum() - mean.square().sum()).item())
    has_direction = square > 0 and size > NOTHING * square**0.5
    return {
        "mean": mean.tolist(),
        "claimed": reference.tolist(),
        "scale": (mean * reference).sum().item() / square if square > 0 else None,
        "cosine": (mean * reference).sum().item() / (size * square**0.5) if has_direction else None,
        "hard": hard / easy if len(accuracies) > 1 and has_direction and abs(easy) > NOTHING else None,
        "noise": variance**0.5 / size if has_direction else None,
    }


def _contribution(
    parts: RecipeParts,
    name: str,
    mix: Mix,
    rewards: Sequence[float],
    updated: Float[Tensor, "J M"],
    surrogate: _Moments,
) -> dict[str, Any]:
    """What one term alone adds to the expected gradient: its size, and its cosine with what it is added to."""
    alone = parts.with_terms(name)
    added = _Enumerated.of(alone, mix, rewards, mix.policies()).trained(updated, alone.terms).mean - surrogate.mean
    size, own = added.norm().item(), surrogate.mean.norm().item()
    is_none = size <= NOTHING * own
    return {
        "place": parts.terms[name].place,
        "size": size / own if own > 0 else None,
        "cosine": None if is_none or own == 0 else ((added * surrogate.mean).sum() / (size * own)).item(),
    }
