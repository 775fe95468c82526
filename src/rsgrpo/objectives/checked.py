"""The advantages of an objective, when they are what an objective must return."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.errors import OwnCodeFailed, UserError, failures_name_their_place
from rsgrpo.objectives.base import NEEDS, AdvantageContext, Objective, as_floats, needs_of


def checked_advantages(
    objective: Objective, rewards: Float[Tensor, "P N"], context: AdvantageContext
) -> Float[Tensor, "P N"]:
    """The objective's advantages, checked to be what an objective must return, in the type of the rewards.

    Raises:
        UserError: naming the objective's class and what is wrong with its result, or what it raised.
    """
    rewards = as_floats(rewards)  # a class of the user's need not inherit
    with (
        _undeclared_needs_are_named(objective, context),
        failures_name_their_place("objective", objective, "advantages", like=Objective.advantages),
    ):
        advantages: object = objective.advantages(rewards.clone(), context)  # which it may change in place
    name = type(objective).__name__
    if not isinstance(advantages, Tensor) or advantages.shape != rewards.shape:
        what = list(advantages.shape) if isinstance(advantages, Tensor) else type(advantages).__name__
        raise UserError(
            f"objective: {name}.advantages returned {what}; return a tensor of the rewards' shape {list(rewards.shape)}"
        )
    if advantages.is_complex() or advantages.dtype in (torch.float16, torch.bfloat16):
        raise UserError(f"objective: {name}.advantages returned {advantages.dtype}; return the type of the rewards")
    advantages = advantages.detach().to(rewards)
    if not advantages.sum().isfinite() and not advantages.isfinite().all():
        raise UserError(f"objective: {name}.advantages returned a value that is not finite; check its divisions")
    return advantages


@contextmanager
def _undeclared_needs_are_named(objective: Objective, context: AdvantageContext) -> Iterator[None]:
    """Add to what a class of the user's raised that it reads a field which nobody has filled in for it."""
    try:
        yield
    except OwnCodeFailed as error:
        raised = error.__cause__
        frames = [] if raised is None else [frame for frame, _ in traceback.walk_tb(raised.__traceback__)]
        read = {name for frame in frames for name in frame.f_code.co_names}
        lacks = [name for name in NEEDS if name in read and getattr(context, name) is None]
        if not lacks or "NoneType" not in str(raised):
            raise
        needs = tuple(name for name in NEEDS if name in lacks or name in needs_of(objective))
        said = str(error).partition(" raised ")[2].rpartition("; correct it")[0]
        raise OwnCodeFailed(
            f"objective: {type(objective).__name__} reads context.{lacks[0]}, which is None for a class that does not "
            f"declare it; write needs = {needs} in the class (it raised {said})"
        ) from raised
