"""Keys and choices that do not exist, and the ones that were probably meant."""

import difflib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf

from rsgrpo.command_line import program

PLACED = "dataset"
"""A group whose choices are put into others: `+dataset@data.tests.NAME=aime24`."""

LAUNCHER = "launcher"
"""A group whose choice starts the jobs of a sweep: it is no part of any run."""

LONGEST_WORD = 120
"""Characters of a word that a message repeats."""

LONGEST_PATH = 1000
"""Characters between two spaces of a message; no path, no module and no key that anyone meant has more."""

FOREIGN = {
    "beta": "objective.beta",
    "lr": "optimizer.lr",
    "learning_rate": "optimizer.lr",
    "lr_scheduler": "optimizer.lr_schedule",
    "lr_scheduler_type": "optimizer.lr_schedule",
    "lr_scheduler_kwargs": "optimizer.lr_schedule_args",
    "max_grad_norm": "optimizer.grad_clip",
    "gradient_clip_val": "optimizer.grad_clip",
    "batch_size": "batching.prompts_per_iteration",
    "train_batch_size": "batching.prompts_per_iteration",
    "mini_batch_size": "batching.prompts_per_update",
    "micro_batch_size": "batching.row_tokens",
    "gradient_accumulation_steps": "batching.row_tokens",
    "accumulate_grad_batches": "batching.row_tokens",
    "group_size": "batching.completions_per_prompt",
    "num_generations": "batching.completions_per_prompt",
    "n": "batching.completions_per_prompt",
    "num_iterations": "batching.epochs",
    "ppo_epochs": "batching.epochs",
    "gpus": "trainer.devices",
    "num_gpus": "trainer.devices",
    "n_gpus_per_node": "trainer.devices",
    "max_steps": "iterations",
    "max_epochs": "iterations",
    "steps": "iterations",
    "temperature": "sampling.temperature",
    "max_tokens": "sampling.max_new_tokens",
    "max_completion_length": "sampling.max_new_tokens",
    "max_response_length": "sampling.max_new_tokens",
    "max_prompt_length": "data.max_prompt_tokens",
    "model_name_or_path": "model.path",
    "system_prompt": "data.system",
    "num_fewshot": "data.few_shot",
    "enable_thinking": "model.chat_template_kwargs",
    "apply_chat_template_kwargs": "model.chat_template_kwargs",
    "resume_from_checkpoint": "ckpt",
    "epochs": "batching.epochs",
    "num_epochs": "batching.epochs",
    "num_train_epochs": "batching.epochs",
    "total_epochs": "batching.epochs",
    "save_steps": "callbacks.checkpoint.every",
    "clip_ratio_low": "loss.clip_low",
    "clip_ratio_high": "loss.clip_high",
    "epsilon": "loss.clip_low",
    "epsilon_high": "loss.clip_high",
    "clip_ratio_c": "loss.dual_clip",
    "delta": "loss.dual_clip",
    "loss_agg_mode": "loss.aggregation",
    "max_num_gen_batches": "batching.max_refills",
    "eval_steps": "eval.every",
}
"""What other trainers call a key of this one."""

ALSO = {
    "batching.epochs": " (passes over the rollouts of an iteration), or iterations (of the run)",
    "trainer.devices": ", with trainer=fsdp2",
    "objective.beta": ", or TRL's weight of a KL penalty: +term/kl=k3 term.kl.coefficient=0.04",
    "model.chat_template_kwargs": ", a mapping: model.chat_template_kwargs.enable_thinking=false",
}
"""What is added about a key that another trainer's word may stand for."""

SECTIONS = {
    "batching": "set batching.prompts_per_iteration=64 or batching.completions_per_prompt=16, for example",
    "sampling": "set sampling.temperature=0.6 or sampling.max_new_tokens=1024, for example",
}
"""The sections that are not groups, with keys that whoever gives them a value may have meant."""

ISOLATION = re.compile(r"reward\.(.+\.)?(isolated|isolation(\..+)?)")

OWN_CALLBACK = re.compile(r"callbacks\.(\w+)(\._target_)?")
"""A key of `callbacks` that may name a metric or a callback of one's own."""

ABROAD = {
    "use_kl_loss": "a term of the loss: +term/kl=k3 term.kl.coefficient=0.001",
    "kl_loss_type": "the choice of a term: +term/kl=k3, or k2",
    "use_kl_in_reward": "a term of the reward: +term/kl=k1 term.kl.coefficient=0.001",
    "kl_penalty": "the choice of a term: +term/kl=k1 is off the reward",
    **dict.fromkeys(
        ("entropy_coeff", "entropy_coef", "ent_coef"), "a term: +term/entropy=bonus term.entropy.coefficient=0.001"
    ),
    "loss_type": "loss=clip, gspo or cispo and loss.aggregation, or objective=dr_grpo",
    "loss_mode": "loss=clip, gspo or cispo; shaping=clip_cov or kl_cov",
    **dict.fromkeys(("clip_cov_ratio", "clip_cov_lb", "clip_cov_ub"), "shaping=clip_cov and its share, low and high"),
    **dict.fromkeys(("kl_cov_ratio", "ppo_kl_coef"), "shaping=kl_cov and its share and coefficient"),
    "importance_sampling_level": "loss=gspo, for a ratio of whole completions",
    **dict.fromkeys(
        ("scale_rewards", "norm_adv_by_std_in_grpo"), "objective=grpo with objective.normalize_std=true or false"
    ),
    "dynamic_sampling": "filter=drop_equal_rewards (the default) with batching.max_refills=10",
    "filter_groups": "filter=drop_equal_rewards (the default) with batching.max_refills=10",
    "adv_estimator": "objective=grpo, rs_grpo and so on",
}
"""What other trainers set by a key, and a run of this one by several, or by a choice."""

HERE = {
    ("objective", "gspo"): "loss=gspo",
    ("objective", "cispo"): "loss=cispo",
    ("objective", "dapo"): "objective=grpo batching.max_refills=10",
    ("loss", "grpo"): "objective=grpo",
    ("loss", "dr_grpo"): "objective=dr_grpo",
    ("loss", "dapo"): "loss=clip batching.max_refills=10",
    ("loss", "clip_cov"): "shaping=clip_cov",
    ("loss", "kl_cov"): "shaping=kl_cov",
    ("objective", "rl_zvp"): "shaping=rl_zvp filter=none",
}
"""Choices that another group has."""

PENALTY = ("kl", "kl_coef", "kl_loss_coef", "kl_beta", "init_kl_coef")
"""What other trainers call the weight of a KL penalty against the base policy."""


def shown(word: object) -> str:
    """A word as a message repeats it: on one line, and not longer than a line or two."""
    text = str(word)
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= LONGEST_WORD else f"{text[:LONGEST_WORD]}..."


def without_endless_words(message: str) -> str:
    """A message that repeats what it was given, whichever part of the program wrote it."""
    return re.sub(rf"\S{{{LONGEST_PATH},}}", lambda found: shown(found[0]), message)


def add_callback(name: str, target: str, *, plus: str = "+") -> str:
    """The words that add a metric or a callback of one's own to a run; without a plus, in the place of another."""
    words = f"{plus}callbacks.{name}._target_={target or 'my_module.my_metric'}"
    return f"name a metric or a callback of yours with '{shown(words)}'"


def groups_of(*folders: Path) -> set[str]:
    """The groups in these folders of configuration: `objective`, `model/base`."""
    return {path.relative_to(folder).as_posix() for folder in folders for path in folder.rglob("*") if path.is_dir()}


def choices(group: str, *folders: Path) -> list[str]:
    """The choices of a group in these folders of configuration."""
    files = [file.relative_to(folder / group) for folder in folders for file in (folder / group).glob("*.yaml")]
    return sorted({file.with_suffix("").as_posix() for file in files})


def unknown_choice(group: str, name: str, known: str) -> str:
    """A message about a choice that a group does not have, with those that it has."""
    if (group, name) in HERE:
        return f"{group}={shown(name)}: no such choice; it is {HERE[group, name]}"
    near = difflib.get_close_matches(name, known.split(", "), n=1)
    meant = f", did you mean {near[0]}?" if near else ""
    return f"{group}={shown(name)}: no such choice{meant}; {group} is one of {known}"


def unknown_key(key: str, conf: Path, groups: Sequence[str] = (), *, value: str | None = None) -> str | None:
    """What to say about a key that the configuration of these `groups` lacks; None when it has the key.

    `value` is what it was to be set to, when it was.
    """
    present = _composed_keys(conf, groups)
    if key in present:
        return None
    parent, _, leaf = key.rpartition(".")
    if leaf in PENALTY and parent not in ("objective", "schedule"):
        of = f"term.kl.coefficient={value or 0.001}"
        return f"{shown(key)}: no such key; a KL penalty is a term of the loss: +term/kl=k3 {shown(of)}"
    if leaf in ABROAD and parent not in ("objective", "schedule"):
        return (
            f"{shown(key)}: no such key; here it is {ABROAD[leaf]} (docs/recipe.md has the other keys of verl and TRL)"
        )
    if (of_term := re.fullmatch(r"term\.(kl|entropy)(\..+)?", key)) and f"term.{of_term[1]}" not in present:
        choose = f"+term/{of_term[1]}={'k3' if of_term[1] == 'kl' else 'bonus'}"
        return f"{shown(key)}: this run has no such term; choose one as well: {choose}"
    if ISOLATION.fullmatch(key):
        return (
            f"{shown(key)}: no such key; it is for rewards of your own (reward=custom): built-in ones cannot hang, or "
            "have workers already; leave it out"
        )
    siblings = {known.rpartition(".")[2]: known for known in present if known.rpartition(".")[0] == parent}
    has = sorted(name for name in siblings if name[:1] != "_")
    if key in written_keys(conf):
        near = difflib.get_close_matches(key, [known for known in present if "." not in known], n=1, cutoff=0.8)
        if "." not in key and near:  # `run` where the task has `runs`
            return f"{key}: no such key here; did you mean {near[0]}?"
        own = f", which has {', '.join(has)}" if parent and has else ""
        return f"{key}: {_whose(key, conf)}, but the chosen one does not{own}; remove it"
    if parent and key.partition(".")[0] not in present:  # a section that is spelt wrong
        near = difflib.get_close_matches(key, sorted(present), n=1, cutoff=0.9)
        if near and near[0].rpartition(".")[2] == leaf:
            return f"{shown(key)}: no such key; did you mean {near[0]}?"
    # A word without its section may be a key of any section, but not of one within: those are rarely meant.
    elsewhere = {} if parent else {known.rpartition(".")[2]: known for known in present if known.count(".") == 1}
    near = difflib.get_close_matches(leaf, sorted(siblings), n=1, cutoff=0.85)
    if near:
        meant = siblings[near[0]]
    elif leaf in elsewhere or FOREIGN.get(leaf) in present:
        foreign = FOREIGN.get(leaf)
        meant = foreign if foreign in present else elsewhere[leaf]
    elif value is not None and (own := OWN_CALLBACK.fullmatch(key)):
        return f"{shown(key)}: no such key; {add_callback(own[1], value)}"
    else:
        near = difflib.get_close_matches(leaf, sorted(siblings), n=1)
        meant = siblings[near[0]] if near else None
    if meant:
        also = ALSO.get(meant, "") if leaf in FOREIGN else ""
        return f"{shown(key)}: no such key; did you mean {meant}{also}?"
    is_own = any(word.startswith(f"{parent}=custom") for word in groups)
    if parent in groups_of(conf) and has and not is_own:
        return f"{shown(key)}: no such key; {parent} has {', '.join(has)}"
    if parent in present and value is not None:
        added = shown(f"+{key}={value or '...'}")
        return f"{shown(key)}: no such key; a key that your own class takes is added with {added}"
    whose = "hydra" if key.startswith("hydra.") else "job"
    return f"{shown(key)}: no such key; `{program.typed()} --cfg {whose}` shows them all"


def _whose(key: str, conf: Path) -> str:
    """Which choices have a key that the chosen one lacks."""
    group = key.split(".")[0]
    texts = {name: (conf / group / f"{name}.yaml").read_text(encoding="utf-8") for name in choices(group, conf)}
    having = [f"{group}={name}" for name, text in texts.items() if key in dotted(yaml.safe_load(text), group)]
    if not having:
        return f"another {'choice of ' + group if '.' in key else 'task'} has this key"
    return f"{having[0]} has it" if len(having) == 1 else f"{', '.join(having[:-1])} and {having[-1]} have it"


def _composed_keys(conf: Path, groups: Sequence[str]) -> set[str]:
    """Every dotted key of the configuration with these choices of groups, or else of the one by default."""
    GlobalHydra.instance().clear()
    for chosen in (list(groups), []):
        try:
            with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
                return dotted(OmegaConf.to_container(compose("config", chosen), resolve=False))
        except HydraException:
            continue
    return written_keys(conf)


@cache
def written_keys(conf: Path) -> set[str]:
    """Every dotted key and every group that some file of the configuration names."""
    keys = {folder.name for folder in conf.iterdir() if folder.is_dir()}
    for file in conf.rglob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        if file.parent.name == PLACED:
            continue
        whole = file.parent == conf or text.startswith("# @package _global_")
        keys |= dotted(yaml.safe_load(text), "" if whole else file.relative_to(conf).parts[0])
    return keys


def dotted(tree: Any, prefix: str = "") -> set[str]:
    """{"a": {"b": 1}} -> {"a", "a.b"}."""
    if not isinstance(tree, dict):
        return set()
    named = {f"{prefix}.{name}" if prefix else str(name): branch for name, branch in tree.items()}
    branches: Iterable[set[str]] = (dotted(branch, name) for name, branch in named.items())
    return set(named).union(*branches)
