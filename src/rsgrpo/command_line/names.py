"""What a run folder is called."""

import hashlib
import re
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from rsgrpo.command_line.arguments import words_of_job

LONGEST_NAME = 60
"""Characters of a name. The time that stands before it has 20 more."""

LONGEST_PART = 24
"""Characters of an objective, or of a seed: more than any that makes sense."""


def name_of_job() -> str:
    """The name of the run that is starting."""
    choices = HydraConfig.get().runtime.choices
    return run_name(choices["task"], choices["objective"], words_of_job())


OmegaConf.register_new_resolver("run_name", name_of_job, replace=True)
"""`${run_name:}` in `conf/config.yaml`."""


def run_name(task: str, objective: str, words: Sequence[str]) -> str:
    """The name of a run folder: its task unless it is training, its objective, what the command line sets, its seed.

    A task about several objectives shows one when it is named. A name is made of ASCII letters, digits and `_.-`, and
    has at most `LONGEST_NAME` characters. Where something had to be changed or left out, a path for example, a hash of
    all words stands for it: other words, another name. The seed is always last.

    >>> run_name("train", "rs_grpo", ["objective.beta=4", "seed=1"])
    'rs_grpo_beta4_seed1'
    >>> run_name("train", "grpo", ["objective=grpo", "experiment=paper/qwen3_4b", "optimizer.lr=2e-6"])
    'grpo_experiment-paper.qwen3_4b_optimizer.lr2e-6'
    >>> run_name("train", "rs_grpo", ["data.path=/tmp/a b.jsonl", "seed=1"])
    'rs_grpo_c2174a_seed1'
    >>> run_name("audit", "rs_grpo", ["task=audit"]), run_name("audit", "grpo", ["task=audit", "objective=grpo"])
    ('audit', 'audit_grpo')
    """
    words = sorted((word for word in words if _key(word) != "ckpt"), key=lambda w: (not w.startswith("objective."), w))
    one = task in ("train", "pretrain") or any(_key(word).split(".")[0] == "objective" for word in words)
    settings = [_setting(word) for word in words if _key(word) not in ("task", "objective", "seed")]
    parts = [*([task] if task != "train" else []), *([objective] if one else []), *settings]
    seed = ["seed" + word.partition("=")[2] for word in words if _key(word) == "seed"][-1:]
    kept, last = [plain(part) for part in parts if part], [plain(part)[:LONGEST_PART] for part in seed]
    if [*kept, *last] == [*parts, *seed] and len(name := "_".join([*kept, *last])) <= LONGEST_NAME:
        return name
    last = [hashlib.blake2b(";".join(words).encode(), digest_size=3).hexdigest(), *last]
    kept = [kept[0][:LONGEST_PART], *kept[1:]]
    while len("_".join([*kept, *last])) > LONGEST_NAME:
        kept.pop()
    return "_".join([*kept, *last])


def _key(word: str) -> str:
    return word.lstrip("+~").split("=")[0]


def _setting(word: str) -> str:
    """What a name shows of an override: nothing of a path, of a class, or of what adds or removes a key."""
    key, equals, value = word.partition("=")
    if "." not in key and re.fullmatch(r"\w+(/\w+)*", value):  # a choice may lie in a folder of its group
        value = value.replace("/", ".")
    if not equals or not key[0].isalpha() or "_target_" in key or "/" in value or "@" in key:
        return ""
    return key.removeprefix("objective.").removeprefix("term/") + (value if value[:1].isdigit() else f"-{value}")


def plain(text: str) -> str:
    """As a part of a name: without what a shell, a file system or Hydra's grammar would read as anything but itself."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-")
