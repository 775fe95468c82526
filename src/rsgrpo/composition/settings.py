"""The sections of a configuration that name no class, as classes that check them: `model`, `trainer`, `task`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omegaconf import DictConfig

from rsgrpo.audit.mix import Mix
from rsgrpo.command_line.keys import FOREIGN
from rsgrpo.comparison.moments import Match
from rsgrpo.composition.build import build_as
from rsgrpo.errors import FieldError, UserError, field_errors_name_their_key
from rsgrpo.fields import check_fields

Precision = Literal["auto", "32-true", "bf16-mixed", "bf16-true", "64-true"]
"""float16 needs a loss scale, which gradient clipping does not undo."""

MOST_THREADS = 1024


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The keys outside of all sections.

    Raises:
        FieldError: for a value that is not of its type.
    """

    seed: int = 0
    iterations: int = 60
    ckpt: str | None = None

    def __post_init__(self) -> None:
        check_fields(self, seed=(0, math.inf), iterations=(1, math.inf))


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """`model`, without `lora` and `pretrain`, which have classes of their own.

    Raises:
        FieldError: for a value that is not of its type.
    """

    path: str | None = None
    chunk_tokens: int = 4096
    chat_template: bool = False
    chat_template_kwargs: Mapping[str, Any] | None = None
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        check_fields(self, chunk_tokens=(1, math.inf))
        for name in ("path", "cache_dir"):
            if getattr(self, name) == "":
                raise FieldError(name, "", "is empty", "name a folder, or leave it out")


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """`trainer`, without `strategy`: what Lightning and the layers of the policy are set to.

    Whatever else Lightning's trainer takes is set by the run itself, or means nothing to its manual optimisation.

    Raises:
        FieldError: for a value that is not of its type.
    """

    accelerator: Literal["auto", "cpu", "gpu", "cuda"] = "cpu"
    devices: int | str | Sequence[int] = 1
    num_nodes: int = 1
    precision: Precision = "32-true"
    threads: int | None = 1
    activation_checkpointing: bool | Literal["auto"] = "auto"
    weights: Literal["float32", "bfloat16"] = "float32"
    offload_optimizer: bool | Literal["auto"] = "auto"
    cpu_offload: bool = False
    compile: bool = False
    deterministic: bool = False
    check_memory: bool = True
    detect_anomaly: bool = False
    profiler: Literal["simple", "advanced", "pytorch"] | None = None

    def __post_init__(self) -> None:
        check_fields(self, num_nodes=(1, 4096), threads=(1, MOST_THREADS))


@dataclass(frozen=True, kw_only=True)
class AuditSettings(Mix):
    """`task` of task=audit: the groups, what is audited, and the prompts that a whole recipe is audited on.

    Raises:
        FieldError: for groups of one, or values that are not of their type.
    """

    completions: int = 16
    settings: Sequence[str] = ()
    betas: Sequence[float] = (0, 1, 2, 4, 8)
    rivals: Sequence[str] = ("rs_grpo",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.completions, int) or isinstance(self.completions, bool) or self.completions < 2:
            raise FieldError(
                "completions", self.completions, "must be a whole number of at least 2", "try completions=16"
            )
        check_fields(self, completions=(2, MOST_ENUMERATED))


MOST_ENUMERATED = 256
"""Completions of a group that is enumerated: time and memory grow with the square."""


@dataclass(frozen=True, kw_only=True)
class BanditSettings:
    """`task` of task=bandit."""

    settings: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class LemmaSettings:
    """`task` of task=lemmas.

    Raises:
        FieldError: for fewer than two arms beside the best ones, or more numbers than a memory should be asked for.
    """

    bandits: int = 1000
    arms: int = 10
    optimal_arms: Sequence[int] = (1, 3)
    learning_rates: Sequence[float] = (0.01, 0.1, 1, 100)
    points: int = 400

    def __post_init__(self) -> None:
        check_fields(self, bandits=(1, math.inf), arms=(3, math.inf), points=(2, math.inf))
        for name, values in (("optimal_arms", self.optimal_arms), ("learning_rates", self.learning_rates)):
            if not values or min(values) <= 0:
                usual = "[1,3]" if name == "optimal_arms" else "[0.01,0.1,1,100]"
                raise FieldError(name, values, "must list positive numbers", f"try {name}={usual}")
        if max(self.optimal_arms) + 2 > self.arms:
            raise FieldError(
                "arms",
                self.arms,
                f"leaves fewer than two other arms beside task.optimal_arms={list(self.optimal_arms)}; the lemmas need "
                "a second best and a worst one",
                f"try arms={max(self.optimal_arms) + 2}",
            )
        numbers = self.bandits * self.arms * self.points
        if numbers > MOST_NUMBERS:
            raise FieldError(
                "bandits",
                self.bandits,
                f"with {self.arms} arms at {self.points} points makes {numbers:,} numbers, more than the "
                f"{MOST_NUMBERS:,} that are computed at once",
                f"try bandits={max(1, MOST_NUMBERS // (self.arms * self.points))}",
            )


MOST_NUMBERS = 2**27
"""A gigabyte in float64."""


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """`task` of task=score.

    Raises:
        FieldError: for columns that do not name the three that there are.
    """

    columns: Mapping[str, str]

    def __post_init__(self) -> None:
        check_fields(self)
        if set(self.columns) != {"answer", "response", "expected"}:
            raise FieldError(
                "columns", dict(self.columns), "must name the columns answer, response and expected", "leave it out"
            )


@dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """`task` of task=explain."""

    key: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """`task` of task=evaluate.

    Raises:
        FieldError: for a value that is not of its type.
    """

    splits: Sequence[str] = ("test",)
    block: int = 8192

    def __post_init__(self) -> None:
        check_fields(self, block=(1, math.inf))


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """`task` of task=compare.

    Raises:
        FieldError: for a value that is not of its type.
    """

    split: Literal["test", "validation"] = "test"
    match: Match = "iterations"
    baseline: str | None = None
    measures: Sequence[str] | None = None
    level: float = 0.95

    def __post_init__(self) -> None:
        check_fields(self, level=(0.5, 0.9999))


@dataclass(frozen=True, kw_only=True)
class DoctorSettings:
    """`task` of task=doctor.

    Raises:
        FieldError: for a value that is not of its type.
    """

    layers: int = 2
    weights: bool = True
    minutes: float = 9.0

    def __post_init__(self) -> None:
        check_fields(self, layers=(1, 1000), minutes=(0.05, 1440))


@dataclass(frozen=True, kw_only=True)
class InspectSettings:
    """`task` of task=inspect.

    Raises:
        FieldError: for a value that is not of its type.
    """

    completions: int = 20

    def __post_init__(self) -> None:
        check_fields(self, completions=(0, math.inf))


def run_settings(cfg: DictConfig) -> RunSettings:
    """The keys outside of all sections, checked.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    with field_errors_name_their_key(""):
        return RunSettings(seed=cfg.seed, iterations=cfg.iterations, ckpt=cfg.ckpt)


def model_settings(cfg: DictConfig) -> ModelSettings:
    """`model`, checked.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    return build_as(cfg, "model", ModelSettings, without=("lora", "pretrain"))


def trainer_settings(cfg: DictConfig) -> TrainerSettings:
    """`trainer`, checked.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    unknown = [name for name in cfg.trainer if name not in {*TrainerSettings.__dataclass_fields__, "strategy"}]
    if unknown:
        meant = f"did you mean {FOREIGN[unknown[0]]}?" if unknown[0] in FOREIGN else "leave it out"
        raise UserError(f"trainer.{unknown[0]}: a run sets this itself or has no use for it; {meant}")
    return build_as(cfg, "trainer", TrainerSettings, without=("strategy",))
