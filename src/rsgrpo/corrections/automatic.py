"""A correction where the engine needs one."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.corrections.base import Correction, Weights
from rsgrpo.corrections.truncate import TokenTruncate
from rsgrpo.fields import check_fields
from rsgrpo.types import PackedRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Automatic(Correction):
    """`TokenTruncate` for an engine that computes in half precision, and nothing for one that computes as the trainer.

    Raises:
        FieldError: for a cap below 1.
    """

    cap: float = 2.0

    def __post_init__(self) -> None:
        check_fields(self, cap=(1.0, math.inf))

    def for_engine(self, *, half_precision: bool) -> Correction | None:
        return TokenTruncate(cap=self.cap) if half_precision else None

    def __call__(self, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> Weights:
        return TokenTruncate(cap=self.cap)(old_logprobs, row)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCorrection(Correction):
    """Every token counts as drawn from the trainer's policy: the paper's."""

    def for_engine(self, *, half_precision: bool) -> None:
        return None

    def __call__(self, old_logprobs: Float[Tensor, " T"], row: PackedRow) -> Weights:
        raise NotImplementedError("for_engine has said that nothing is corrected")
