"""A run from Python that goes on from a checkpoint: what the run is, and whether it still is that one."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rsgrpo import checkpoints, run_folder
from rsgrpo.checkpoints.unpickling import check_weights_only
from rsgrpo.data.source import digest
from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.distributed.terminal import say
from rsgrpo.errors import UserError, maker_of
from rsgrpo.models.policy import Policy
from rsgrpo.training.module import RLModule
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Prompt

MAY_CHANGE = ("iterations", "batching.row_tokens", "schedule.iterations")
"""What a resumed run may set anew, beside the `workers` of a reward; everything else makes it the same run."""

EARLIER: dict[str, Any] = {
    "optimizer.lr_schedule": "constant",
    "optimizer.max_bad_updates": 3,
    "optimizer.fused": "auto",
    "batching.max_refills": 0,
    "loss.dual_clip": None,
    "order": "rsgrpo.data.order.Uniform",
    "correction": "rsgrpo.corrections.automatic.Automatic",
    "correction.cap": 2.0,
    "shaping": "rsgrpo.shaping.none.NoShaping",
}
"""What fields are taken for that run folders of earlier versions lack."""


class Resumed(NamedTuple):
    """Where a run goes on."""

    run: Path
    checkpoint: Path
    done: int
    """Iterations."""

    @property
    def state(self) -> Path:
        return run_folder.state_of(self.checkpoint)


def find_resumed(resume: Path | str, folder: Path | str | None, recipe: Recipe) -> Resumed:
    """The run and the checkpoint that `resume` names.

    Raises:
        UserError: when there is none, it is damaged, has nothing left to do, or `folder` is another one.
    """
    run, checkpoint = checkpoints.find_checkpoint(str(resume), say=say, key="resume")
    if folder is not None and Path(folder).resolve() != run:
        raise UserError(f"folder={folder}: a resumed run goes on in its own folder, {run}; leave folder out")
    check_weights_only(run_folder.state_of(checkpoint))
    done = run_folder.iteration_of(checkpoint)
    if done >= recipe.iterations:
        raise UserError(
            f"resume={resume} has finished {done} iterations, and the recipe has iterations={recipe.iterations}; "
            f"extend it with iterations={2 * done}"
        )
    return Resumed(run, checkpoint, done)


def describe(recipe: Recipe, train: Sequence[Prompt], validation: Sequence[Prompt]) -> dict[str, Any]:
    """The content of `run.json`: whatever makes a resumed run the same run."""
    splits = {"train": train, "validation": validation}
    return {
        "format": run_folder.FORMAT,
        "id": uuid.uuid4().hex,
        "data": {name: {"problems": len(prompts), "blake2b": digest(prompts)} for name, prompts in splits.items()},
        "recipe": settings_of(recipe, ""),
    }


def digest_of_weights(policy: Policy) -> str:
    """A hash of the names, types, shapes and values of a policy's weights. About two seconds per GiB."""
    content = hashlib.blake2b(digest_size=16)
    for name, tensor in full_tensors(policy.model):
        content.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        content.update(tensor.contiguous().cpu().flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()


def check_same(resumed: Resumed, now: Mapping[str, Any]) -> None:
    """Refuse to go on with another recipe, or on other problems.

    Raises:
        UserError: naming the first field that differs.
    """
    before, named = run_folder.read_json(resumed.run / run_folder.RUN), f"resume={resumed.run}"
    if "recipe" not in before:
        raise UserError(f"{named} was not written by rsgrpo.fit; go on with `python run.py ckpt={resumed.run}`")
    was, is_now = (EARLIER | recipe for recipe in (before["recipe"], now["recipe"]))
    for field in sorted(was.keys() | is_now.keys()):
        free = field in MAY_CHANGE or (field.startswith("reward.") and field.endswith(".workers"))
        if not free and was.get(field) != is_now.get(field):
            raise UserError(
                f"{named}: recipe.{field} was {was.get(field)} and is {is_now.get(field)} now; keep it as it was, or "
                "start a new run from the trained weights"
            )
    for split, problems in now["data"].items():
        if before.get("data", {}).get(split) != problems:
            raise UserError(
                f"{named}: {split} holds other problems than the run began with; give it the same, in order"
            )


def check_same_policy(resumed: Resumed, module: RLModule) -> None:
    """Refuse a policy whose weights are not of the shapes that the checkpoint has.

    Raises:
        UserError: naming the first weight that differs.
    """
    if resumed.state.is_dir():
        return  # shards are compared as they are read
    saved = torch.load(resumed.state, map_location="meta", mmap=True, weights_only=True)["state_dict"]
    here = module.state_dict()
    for name in sorted(saved.keys() | here.keys()):
        was, now = (list(d[name].shape) if name in d else None for d in (saved, here))
        if was != now:
            raise UserError(
                f"resume={resumed.run}: the policy's {name.removeprefix('policy.')} had the shape {was} and has {now} "
                "now; give fit the policy that the run began with"
            )


def check_same_base(resumed: Resumed, policy: Policy) -> None:
    """Refuse a policy that is not the one that the run began with, where a term compares with that one.

    Raises:
        UserError: naming the cure.
    """
    before = run_folder.read_json(resumed.run / run_folder.RUN).get("base")
    if before is not None and before != digest_of_weights(policy):
        raise UserError(
            f"resume={resumed.run}: a term compares the policy with the one that training began with, and `policy` has "
            "other weights; give fit that policy again, not the trained one"
        )


def settings_of(value: Any, name: str) -> dict[str, Any]:
    """What a part of a recipe is, as plain values by dotted name: its class, and the fields of dataclasses.

    >>> from rsgrpo.objectives.rs_grpo import RSGRPO
    >>> settings_of(RSGRPO(beta=4.0), "objective")["objective.beta"]
    4.0
    """
    inside = f"{name}." if name else ""
    if value is None or isinstance(value, bool | int | float | str):
        return {name: value}
    if isinstance(value, Tensor):
        return {name: value.tolist()}
    if isinstance(value, Mapping):
        return {key: v for item in value for key, v in settings_of(value[item], f"{inside}{item}").items()}
    if isinstance(value, Sequence):
        return {key: v for i, item in enumerate(value) for key, v in settings_of(item, f"{inside}{i}").items()}
    maker = maker_of(value)
    kind = {name: f"{maker.__module__}.{maker.__qualname__}"} if name else {}
    if is_dataclass(value):
        own = {spec.name: getattr(value, spec.name) for spec in fields(value) if spec.init}
    else:
        own = getattr(value, "keywords", {})  # of a function with its settings filled in
    return kind | {key: v for field, item in own.items() for key, v in settings_of(item, f"{inside}{field}").items()}
