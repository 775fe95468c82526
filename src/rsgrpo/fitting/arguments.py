"""What `rsgrpo.fit` and `rsgrpo.evaluate` are given, held to what it must be before anything is done with it."""

import difflib
import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.loggers.logger import Logger

from rsgrpo.data.prompting import Example, PromptFormat
from rsgrpo.errors import FieldError, UserError
from rsgrpo.models.policy import Policy
from rsgrpo.rewards.base import Reward
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Problem, Sampling

SET_HERE = {
    "max_epochs": "Recipe(iterations=...) says how long a run is",
    "min_epochs": "Recipe(iterations=...) says how long a run is",
    "max_steps": "Recipe(iterations=...) says how long a run is",
    "min_steps": "Recipe(iterations=...) says how long a run is",
    "max_time": "Recipe(iterations=...) says how long a run is",
    "gradient_clip_val": "give Recipe an optimizer=AdamW(grad_clip=...)",
    "gradient_clip_algorithm": "give Recipe an optimizer=AdamW(grad_clip=...)",
    "accumulate_grad_batches": "BatchPlan(row_tokens=...) bounds the memory of an update",
    "val_check_interval": "EvaluationPlan(every=...) says when",
    "check_val_every_n_epoch": "EvaluationPlan(every=...) says when",
    "limit_val_batches": "give fit fewer problems as validation=",
    "default_root_dir": "give fit a folder=",
    "enable_checkpointing": "give fit callbacks=[rsgrpo.callbacks.checkpoint.Checkpoint(every=20, keep=2)]",
    **dict.fromkeys(
        ("num_sanity_val_steps", "log_every_n_steps", "use_distributed_sampler", "inference_mode"), "leave it out"
    ),
    **dict.fromkeys(("enable_progress_bar", "enable_model_summary", "fast_dev_run", "barebones"), "leave it out"),
}
"""What `lightning.Trainer` takes and a run decides itself, with what to do instead."""

OF_PROMPTS = ("chat_template", "chat_template_kwargs", "system", "few_shot")

OWN = ("validation", "engine", "metrics", "callbacks", "folder", "resume", *OF_PROMPTS)
"""The keywords of `fit` itself."""


def check_policy(policy: object) -> None:
    """Refuse anything but a policy.

    Raises:
        UserError: naming the argument.
    """
    cure = "give a rsgrpo.Policy: rsgrpo.Policy.from_pretrained(FOLDER)"
    _need("policy", policy, isinstance(policy, Policy), cure)


def check_problems(name: str, problems: object, *, some: bool) -> None:
    """Refuse anything but a list of problems; with `some`, an empty one too.

    Raises:
        UserError: naming the argument, and the first item that is none.
    """
    cure = "give a list of rsgrpo.types.Problem, those of a split for example: Countdown().split('train')"
    _need(name, problems, isinstance(problems, Sequence) and not isinstance(problems, str | bytes), cure)
    assert isinstance(problems, Sequence)
    for place, problem in enumerate(problems):
        _need(f"{name}[{place}]", problem, isinstance(problem, Problem), cure)
    if some and not problems:
        raise UserError(f"{name} holds no problem; {cure}")


def check_engine(engine: object) -> None:
    """Refuse what is neither an engine nor None.

    Raises:
        UserError: naming the argument.
    """
    right = engine is None or (isinstance(engine, RolloutEngine) and not isinstance(engine, type))
    _need("engine", engine, right, "give an object like rsgrpo.rollouts.hf.HFEngine(policy=policy), or leave it out")


def prompt_format(chat_template: Any, chat_template_kwargs: Any, system: Any, few_shot: Any) -> PromptFormat:
    """How problems become prompts.

    Raises:
        UserError: naming the argument that is of another kind.
    """
    _need("chat_template", chat_template, isinstance(chat_template, bool), "give True or False")
    cure = "give a list of rsgrpo.data.prompting.Example(question=..., answer=...)"
    shown = () if few_shot is None else few_shot
    several = isinstance(shown, Sequence) and all(isinstance(example, Example) for example in shown)
    _need("few_shot", few_shot, several, cure)
    try:
        return PromptFormat(
            chat_template=chat_template,
            chat_template_kwargs={} if chat_template_kwargs is None else chat_template_kwargs,
            system=system,
            few_shot=tuple(shown),
        )
    except FieldError as error:
        raise UserError(in_arguments(str(error))) from error


def check_fit(recipe: object, metrics: object, callbacks: object, places: Mapping[str, object]) -> None:
    """Refuse what else `fit` cannot use; `places` are its folders by name.

    Raises:
        UserError: naming the argument.
    """
    _need("recipe", recipe, isinstance(recipe, Recipe), "give an object: rsgrpo.Recipe(objective=..., reward=..., ...)")
    cure = "give names and functions: metrics={'longest': my_function}"
    _need("metrics", metrics, metrics is None or isinstance(metrics, Mapping), cure)
    for name, metric in (metrics or {}).items():  # pyright: ignore[reportAttributeAccessIssue]
        _need("a name of metrics", name, isinstance(name, str) and name != "", cure)
        what = "give a function of a StepReport, or an object that is called as one"
        _need(f"metrics[{name!r}]", metric, callable(metric) and not isinstance(metric, type), what)
    cure = "give a list of objects: callbacks=[rsgrpo.callbacks.checkpoint.Checkpoint(every=20, keep=2)]"
    _need("callbacks", callbacks, isinstance(callbacks, list | tuple), cure)
    for place, callback in enumerate(callbacks):  # pyright: ignore[reportArgumentType]
        _need(f"callbacks[{place}]", callback, isinstance(callback, lightning.Callback), cure)
    for name, folder in places.items():
        _need(name, folder, folder is None or isinstance(folder, str | Path), "give the path of a folder")


def check_lightnings(given: Mapping[str, Any]) -> None:
    """Refuse keywords that Lightning's trainer does not take, or that a run decides itself.

    Raises:
        UserError: naming the keyword, and what to do instead.
    """
    known = [name for name in inspect.signature(lightning.Trainer).parameters if name not in SET_HERE]
    for name in given:
        if name in SET_HERE:
            raise UserError(f"{name} is not for fit to be told; {SET_HERE[name]}")
        if name not in known:
            near = difflib.get_close_matches(name, [*OWN, *known], n=1)
            cure = (
                f"did you mean {near[0]}?" if near else f"it takes {', '.join(OWN)}, and what lightning.Trainer takes"
            )
            raise UserError(f"{name}: fit takes no such argument; {cure}")


def loggers_of(logger: object) -> list[Logger]:
    """Lightning's loggers out of one, several, or none.

    Raises:
        UserError: for anything else.
    """
    several = list(logger) if isinstance(logger, list | tuple) else [] if logger in (None, False) else [logger]
    cure = "give an object, or a list of them: lightning.pytorch.loggers.CSVLogger(FOLDER)"
    for one in several:
        _need("logger", one, isinstance(one, Logger), cure)
    return [one for one in several if isinstance(one, Logger)]


def check_evaluation(
    reward: object, sampling: object, problems: Sequence[Problem], completions: object, k: object, seed: object
) -> None:
    """Refuse what `evaluate` cannot use.

    Raises:
        UserError: naming the argument.
    """
    right = isinstance(reward, Reward) and not isinstance(reward, type)
    _need("reward", reward, right, "give an object: rsgrpo.rewards.countdown.CountdownReward(), or a function")
    _need("sampling", sampling, isinstance(sampling, Sampling), "give a rsgrpo.types.Sampling(max_new_tokens=...)")
    _need("completions", completions, type(completions) is int, "give a whole number: completions=64")
    _need("seed", seed, type(seed) is int, "give a whole number: seed=0")
    whole = isinstance(k, Sequence) and not isinstance(k, str) and all(type(number) is int for number in k)
    _need("k", k, whole, "give a list of whole numbers: k=(1, 4, 32)")
    ks: Any = k
    drawn: Any = completions
    if drawn < 1 or not ks or not all(1 <= number <= drawn for number in ks):
        raise UserError(
            f"k={list(ks)}, completions={drawn}: evaluate needs some 1 <= k <= completions, and got "
            f"{len(problems)} problems; draw more completions, or give smaller k"
        )


def in_arguments(said: str) -> str:
    """A message about prompts with the names that Python's arguments have in the place of keys.

    >>> in_arguments("model.chat_template=true: no; drop longer prompts with data.max_prompt_tokens=9")
    'chat_template=True: no; leave out problems of more than 9 tokens'
    """
    said = re.sub(
        r"drop longer prompts with data\.max_prompt_tokens=(\d+)", r"leave out problems of more than \1 tokens", said
    )
    said = re.sub(r"model\.chat_template=(\w+)", lambda found: f"chat_template={found[1].title()}", said)
    return re.sub(r"model\.path=(\S*)", r"the policy of \1", said)


def _need(name: str, value: object, right: bool, cure: str) -> None:
    if not right:
        raise UserError(f"{name} is {_kind(value)}; {cure}")


def _kind(value: object) -> str:
    """What was given, in a few words."""
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    short = repr(value)
    plain = value is None or (isinstance(value, str | bytes | bool | int | float) and len(short) <= 40)
    return short if plain else f"of type {type(value).__name__}"
