"""A value for each prompt, by its difficulty."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo import run_folder
from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, PromptFloat
from rsgrpo.objectives.entropic import REACHED, beta_of_kl
from rsgrpo.schedules.base import Schedule

NO_SOLUTION = 1e6
"""Stands for the beta of an accuracy whose KL is never reached, before it is clipped."""

BETA_ONLY = ("peak", "kl")
"""Curves that are derived for beta and mean nothing for k."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive(Schedule):
    """Harder prompts get a value nearer `hardest`, easier ones a value nearer the objective's own; a is the accuracy.

    linear: final + (hardest - final) (1 - a)
    power:  final + (hardest - final) (1 - a)^gamma
    peak:   2 log((1 - a)/a), the beta for which sum_i |A_i| of RS-GRPO is largest at accuracy a: a = 1/(1 + e^(beta/2))
    kl:     the beta with KL(softmax(beta r) || uniform) = kl for rewards of which a share a are 1 and the rest 0

    The last two are clipped to the interval between `final` and `hardest`, and are for beta only. A group of accuracy a
    reaches at most log(1/a) nats: where `kl` is more than .95 of that, easy prompts, its value is `final`.

    The accuracy is the prompt's own, from earlier visits, so that each prompt's objective stays a fixed one while its
    completions are weighed.

    Raises:
        FieldError: for a value outside its range, or a run that has no records.
    """

    per_prompt: ClassVar[bool] = True

    hardest: float = 8.0
    """The value of a prompt that is never solved."""
    curve: Literal["linear", "power", "peak", "kl"] = "linear"
    gamma: float = 1.0
    """Exponent of `power`."""
    kl: float = 0.693147
    """Of `kl`, in nats."""
    source: Literal["ema", "group", "offline"] = "ema"
    """`ema`: moving average over the prompt's earlier visits. `group`: the present completions, which biases the
    gradient further. `offline`: the first visit of each prompt in another run."""
    decay: float = 0.5
    """How much of `ema` stays at each visit; the first visit sets it."""
    prior: float = 0.5
    """Accuracy of a prompt that was never visited."""
    run: str | None = None
    """The run folder whose `prompts.jsonl` `source=offline` reads."""
    accuracy: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_fields(self, gamma=(0.0, math.inf), kl=(1e-12, math.inf), decay=(0.0, 1.0), prior=(0.0, 1.0))
        if self.source == "offline":
            self.accuracy.update(_first_visits(self.run))

    def value(self, name: str, final: PromptFloat, context: AdvantageContext) -> PromptFloat:
        known = [self.accuracy.get(prompt, self.prior) for prompt in context.prompt_ids]
        present = self.source == "group"
        a = (context.accuracies.double() if present else torch.tensor(known, dtype=torch.float64))[:, None]
        if self.curve not in BETA_ONLY:
            exponent = self.gamma if self.curve == "power" else 1.0
            return final + (self.hardest - final) * (1 - a) ** exponent
        solved = 2 * ((1 - a) / a).log() if self.curve == "peak" else self._beta_of_kl(a)
        ends = torch.as_tensor(final, dtype=torch.float64), torch.tensor(self.hardest, dtype=torch.float64)
        clipped = solved.clamp(torch.minimum(*ends), torch.maximum(*ends))
        return clipped if self.curve == "peak" else clipped.where(self.kl <= -REACHED * a.log(), ends[0])

    def _beta_of_kl(self, accuracies: Float[Tensor, "P 1"]) -> Float[Tensor, "P 1"]:
        weights = torch.cat([1 - accuracies, accuracies], dim=1)
        outcomes = torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand_as(weights)
        return beta_of_kl(outcomes, self.kl, beta_max=NO_SOLUTION, weights=weights)

    def extremes(self, name: str, final: float) -> Sequence[float]:
        if name != "beta" and self.curve in BETA_ONLY:
            raise UserError(
                f"curve={self.curve} is defined for beta; use curve=linear or power for {name}", curve="schedule"
            )
        return [final, self.hardest]

    def observe(self, prompt_ids: Sequence[str], accuracies: Sequence[float]) -> None:
        if self.source != "ema":
            return
        for prompt, now in zip(prompt_ids, accuracies, strict=True):
            self.accuracy[prompt] = self.decay * self.accuracy.get(prompt, now) + (1 - self.decay) * now

    def state_dict(self) -> dict[str, Any]:
        return {"accuracy": dict(self.accuracy)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.accuracy.clear()
        self.accuracy.update(state["accuracy"])


def _first_visits(run: str | None) -> dict[str, float]:
    """Accuracy of each prompt when the run saw it first: the nearest to its base policy.

    Raises:
        FieldError: when there is no such record.
    """
    cure = "name a run folder with its prompts: run=outputs/RUN"
    if run is None:
        raise FieldError("run", run, "is needed by source=offline", cure)
    records = run_folder.read(Path(run) / run_folder.PROMPTS)
    if not records:
        raise FieldError("run", run, f"has no {run_folder.PROMPTS}", cure)
    first: dict[str, float] = {}
    for record in records:
        first.setdefault(record["prompt"], record["correct"] / record["n"])
    return first
