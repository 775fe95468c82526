"""What a run folder is called."""

import hashlib
import re

LONGEST_NAME = 100
"""Characters of a run folder's name that come from the command line, beside its seed."""


def run_name(task: str, objective: str, overrides: str) -> str:
    """The name of a run folder: its task unless it is training, its objective, and what was set on the command line.

    Overrides are separated by `;`. A task about several objectives shows one when it is named. Where something is left
    out, because it is long or a path, a hash of all overrides stands for it: other overrides, another name. The seed is
    always the last word.

    >>> run_name("train", "rs_grpo", "objective.beta=4;seed=1")
    'rs_grpo_beta4_seed1'
    >>> run_name("train", "rs_grpo", "objective.beta=4;data.path=/tmp/a b.jsonl;seed=1")
    'rs_grpo_beta4_71f5b8_seed1'
    >>> run_name("audit", "rs_grpo", "task=audit"), run_name("audit", "grpo", "task=audit;objective=grpo")
    ('audit', 'audit_grpo')
    """
    settings = [override.split("=", 1) for override in overrides.split(";") if "=" in override]
    one = task in ("train", "pretrain") or any(key.lstrip("+~").split(".")[0] == "objective" for key, *_ in settings)
    others = [(key, value) for key, value in settings if key not in ("task", "objective", "seed")]
    shown = [(key.split(".")[-1], value) for key, value in others if "/" not in value and "_target_" not in key]
    words = [
        *([task] if task != "train" else []),
        *([objective] if one else []),
        *(_word(key, value) for key, value in shown),
    ]
    name = _plain("_".join(words))
    if len(shown) < len(others) or len(name) > LONGEST_NAME or name != "_".join(words):
        digest = hashlib.blake2b(overrides.encode(), digest_size=3).hexdigest()
        name = f"{name[:LONGEST_NAME].strip('-')}_{digest}"
    seeds = [_plain(_word(key, value)) for key, value in settings if key == "seed"]
    return "_".join([name, *seeds[-1:]])


def _word(key: str, value: str) -> str:
    return f"{key}{value}" if value[:1].isdigit() else f"{key}-{value}"


def _plain(text: str) -> str:
    """Without a character that the shell or Hydra's grammar would read as anything but itself."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-")
