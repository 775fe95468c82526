"""The records that one stage of a training step hands to the next, and the project's dimension legend.

Legend, used in every shape annotation of the project:

    P  prompts of one iteration        S  tokens of one packed row
    N  completions per prompt          M  packed rows (micro-batches) of one update
    T  tokens of one completion        V  vocabulary
    B  sequences of one packed row     k  as in pass@k

Log-probs and entropies are in nats. Every record is frozen: a stage makes a new one and never edits one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields, example, number_of, truth_of


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str
    """`system`, `user`, `assistant`, or whatever else a chat template takes."""
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One verifiable problem as a data source knows it, before any tokenizer."""

    id: str
    """Stable identity across runs, for example `countdown/1042`."""
    text: str
    """What the policy is asked."""
    answer: str
    """The gold answer that the reward compares with."""
    origin: str = ""
    """Where it was read, for messages: `problems.jsonl line 12`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the reward needs, for example `{"numbers": (6, 12, 9), "level": 1}`."""
    messages: tuple[Message, ...] = ()
    """Of a problem that is a conversation, its turns, which the policy is given as they stand instead of `text`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A problem in the policy's tokens."""

    problem: Problem
    token_ids: tuple[int, ...]

    @property
    def id(self) -> str:
        return self.problem.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How completions are drawn from the policy.

    `top_p = 1`, `top_k = 0` and `min_p = 0` mean "off". Several are applied one after another to the distribution at
    `temperature`, what is left renormalised each time: min_p, top_k, top_p.

    Raises:
        FieldError: for a value outside its range.
    """

    max_new_tokens: int = example(1024)
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        check_fields(
            self,
            max_new_tokens=(1, math.inf),
            temperature=(1e-3, 100.0),
            top_p=(1e-6, 1.0),
            top_k=(0, math.inf),
            min_p=(0.0, 1.0),
        )

    @property
    def truncates(self) -> bool:
        """Whether some tokens can never be drawn, so that sampler and trainer disagree about the distribution."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sampled continuation of a prompt."""

    token_ids: tuple[int, ...]
    """Sampled tokens, the stop token included when there is one."""
    logprobs: Float[Tensor, " T"]
    """The sampler's log-prob of each token, under the distribution it was drawn from."""
    text: str
    """The tokens decoded, without the stop token."""
    finished: bool
    """True when a stop token ended it, False when it ran into `max_new_tokens`."""
    policy_version: int
    """How many iterations the sampled policy had been trained for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The N completions of one prompt."""

    prompt: Prompt
    completions: tuple[Completion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a reward says of one completion: objectives see `value`, pass@k and the solve rate see `correct`.

    Numbers of any kind (int, bool, numpy's, a tensor of one) are kept as floats, so that nothing after a reward meets
    another type.

    Raises:
        FieldError: for a value or a part that is not a number, a part without a name, or a `correct` that is neither
            true nor false.
    """

    value: float
    correct: bool
    parts: Mapping[str, float] = field(default_factory=dict)
    """Components and diagnostics, for example `{"no_box": 1.0}`."""

    def __post_init__(self) -> None:
        if not isinstance(self.parts, Mapping) or not all(isinstance(name, str) and name for name in self.parts):
            raise FieldError("parts", repr(self.parts), "must have names and numbers", "try parts={'length': 1.0}")
        parts = {name: number_of(f"parts[{name!r}]", part) for name, part in self.parts.items()}
        kept = {"value": number_of("value", self.value), "correct": truth_of(self.correct), "parts": parts}
        for name, content in kept.items():
            object.__setattr__(self, name, content)  # the way of frozen dataclasses


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one group, without tokens and texts: all that filters, objectives and metrics look at. Groups
    stay on the rank that sampled them; every rank knows the outcomes of all."""

    prompt_id: str
    scores: tuple[Score, ...]
    """The verdict on each of the N completions."""
    lengths: tuple[int, ...]
    """Tokens of each completion."""
    finished: tuple[bool, ...]
    """Whether a stop token ended it."""
    mean_logprobs: tuple[float, ...]
    """The sampler's mean log-prob per token of each completion, in nats."""
    answers: tuple[str | None, ...] | None = None
    """The answer that the reward found in each completion, where the objective needs them."""
    mean_entropies: tuple[float, ...] | None = None
    """The policy's mean entropy per token of each completion, in nats, where the objective needs them."""

    @property
    def rewards(self) -> tuple[float, ...]:
        return tuple(score.value for score in self.scores)

    @property
    def num_correct(self) -> int:
        return sum(score.correct for score in self.scores)

    @property
    def accuracy(self) -> float:
        """Share of the completions that are correct."""
        return self.num_correct / len(self.scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredGroup:
    """A group with the verdict on each of its completions."""

    group: Group
    scores: tuple[Score, ...]

    @property
    def outcome(self) -> Outcome:
        completions = self.group.completions
        return Outcome(
            prompt_id=self.group.prompt.id,
            scores=self.scores,
            lengths=tuple(len(completion.token_ids) for completion in completions),
            finished=tuple(completion.finished for completion in completions),
            mean_logprobs=tuple(completion.logprobs.mean().item() for completion in completions),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedRow:
    """Sequences laid end to end, no padding: one micro-batch. Tensors of shape T are aligned with `target_index`, which
    points at the positions whose next token is a completion token, in row order: the loss tokens of the row.
    """

    token_ids: Int[Tensor, " S"]
    position_ids: Int[Tensor, " S"]
    lengths: tuple[int, ...]
    """Tokens of each of the B sequences; they sum to S."""
    target_index: Int[Tensor, " T"]
    target_ids: Int[Tensor, " T"]
    sequence_of_target: Int[Tensor, " T"]
    """Which of the B sequences each loss token belongs to."""
    advantages: Float[Tensor, " T"]
    weights: Float[Tensor, " T"]
    """Share of each token in the loss of the whole update: the aggregation, see `losses/aggregation.py`."""
    sampler_logprobs: Float[Tensor, " T"]
    origins: tuple[tuple[int, int], ...] = ()  # of each sequence: the place of its group, and its number in the group
    old_logprobs: Float[Tensor, " T"] | None = None
    """Log-probs under the policy that was sampled from; None where the first forward pass of the update gives them."""
    old_entropy: Float[Tensor, " T"] | None = None  # of that policy, before each token; None without a shaping
    reference_logprobs: Float[Tensor, " T"] | None = None
    """Log-probs under the policy that training began with; None where no term needs them."""
    marks: Float[Tensor, " T"] | None = None  # what a shaping's `added_loss` is told of each token
    diagnostics: Mapping[str, Float[Tensor, " T"] | Bool[Tensor, " T"]] = field(default_factory=dict)  # of the shaping

    @property
    def num_loss_tokens(self) -> int:
        return self.target_ids.numel()


class TokenStatistics(NamedTuple):
    """What the policy says of each loss token of a row, in nats: log pi(token), with a gradient, and the entropy before
    it, which has one where a part of the loss has asked for it."""

    logprobs: Float[Tensor, " T"]
    entropy: Float[Tensor, " T"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReport:
    """What one optimiser update saw."""

    loss: float
    grad_norm: float  # global l2 norm of the gradient before clipping
    learning_rate: float
    num_sequences: int
    num_rows: int
    loss_tokens: int
    row_tokens: int  # of the rows, prompts included: what went through forward and backward
    diagnostics: Mapping[str, float]
    """What the loss says of the update, as means over its loss tokens: `clip_fraction` and the like."""
    skipped: str | None = None
    """What was not finite, `the loss` or `the gradient`, where the optimiser did not step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerGap:
    """|trainer - sampler| of the trained tokens' log-probs before the update, in nats, and what follows from it."""

    mean: float
    p99: float  # at most 4.4 % too high
    largest: float
    kl: float
    """KL(sampler || trainer) per token: the mean of ratio - 1 - log ratio, which is never negative."""
    outside: float
    """Share of the tokens whose ratio of trainer to sampler is outside [.9, 1.1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """Everything that callbacks may see of one iteration. Built once, after its updates."""

    iteration: int
    """Iterations finished, this one included: 1, 2, ..., `iterations`."""
    iterations: int
    optimizer_steps: int
    policy_version: int
    train_set_size: int
    outcomes: tuple[Outcome, ...]
    """Of all groups of all ranks, in prompt order, before any filter."""
    dropped: tuple[str | None, ...]
    """Why each group was dropped, or None where it was kept; aligned with `outcomes`."""
    groups: Mapping[int, ScoredGroup]
    """The groups that this rank sampled, with their completions, by their place among `outcomes`."""
    advantages: Float[Tensor, "P_kept N"]
    in_force: Mapping[str, float]
    """What the schedule set: `beta` or `k`, with `_min` and `_max` where it differs from prompt to prompt."""
    updates: tuple[UpdateReport, ...]
    entropy: float | None
    """Mean entropy per trained token before the update; None when nothing was trained."""
    logprob_gap: float | None
    """Largest |trainer - sampler| log-prob over the trained tokens before the update; None when nothing was trained."""
    seconds: Mapping[str, float]  # wall time by stage, on this rank
    gpu_bytes: Mapping[str, int] = field(default_factory=dict)  # in use by stage, of this rank's GPU; empty without one
    sampler_gap: SamplerGap | None = None
    refills: int = 0  # draws of other prompts for groups that the filter had dropped
    stopped_by: str | None = None  # the signal that ends the run after this iteration, SIGTERM for example

    @property
    def is_last(self) -> bool:
        return self.iteration >= self.iterations or self.stopped_by is not None
