"""The policy of a configuration: a Hugging Face folder, or the tiny base, shipped or pretrained."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import transformers
from huggingface_hub import snapshot_download
from omegaconf import DictConfig, OmegaConf
from rich.progress import Progress as Bar
from rich.progress import TextColumn, TimeRemainingColumn

from rsgrpo import checkpoints
from rsgrpo.composition.build import build
from rsgrpo.composition.device import is_on_gpu
from rsgrpo.distributed.terminal import say, terminal
from rsgrpo.errors import UserError, field_errors_name_their_key
from rsgrpo.models.lora import LoRA
from rsgrpo.models.policy import Policy
from rsgrpo.pretraining.bases import base_folder
from rsgrpo.pretraining.corpus import Corpus
from rsgrpo.pretraining.pretrain import Pretraining, Progress

HASHING_THREADS = 4

LINE_EVERY = 200
"""Pretraining steps between progress lines where there is no terminal."""


def load_policy(cfg: DictConfig, *, on_meta: bool = False) -> Policy:
    """The policy that training starts from; `on_meta`, without its weights, which are then read shard by shard."""
    lora = build_lora(cfg)
    if lora is not None and lora.base_dtype is None and is_on_gpu(cfg):
        lora = replace(lora, base_dtype="bfloat16")
    policy = Policy.from_pretrained(policy_folder(cfg), chunk_tokens=cfg.model.chunk_tokens, on_meta=on_meta)
    if lora is not None:
        with field_errors_name_their_key("model.lora"):
            policy.add_adapters(lora, seed=cfg.seed)
    if cfg.trainer.weights == "bfloat16":
        policy.keep_weights_in(torch.bfloat16)
    for remark in remarks(policy):
        say(remark)
    return policy


def digest_of_base(cfg: DictConfig) -> str:
    """A hash of the weights that training starts from, wherever they lie: in `model.path`, or of `model.pretrain`.

    About a second per GiB and thread.
    """
    known = Path(policy_folder(cfg))
    folder = known if known.is_dir() else Path(snapshot_download(cfg.model.path, local_files_only=True))
    files = [file for pattern in ("*.safetensors", "*.bin") for file in sorted(folder.glob(pattern))]
    with ThreadPoolExecutor(HASHING_THREADS) as threads:
        hashes = [content["blake2b"] for content in threads.map(checkpoints.fingerprint, files)]
    return hashlib.blake2b("".join(hashes).encode(), digest_size=16).hexdigest()


def remarks(policy: Policy) -> list[str]:
    """What is unusual about a policy, but not certainly a mistake."""
    found, known = [], len(policy.tokenizer)
    if not any(token < policy.vocabulary for token in policy.stop_token_ids):
        found.append(
            f"note: neither the tokenizer nor the generation config of {policy.source} has an end-of-sequence token "
            "that the model can sample: every completion will run to sampling.max_new_tokens"
        )
    if known > policy.vocabulary:
        found.append(
            f"note: the tokenizer of {policy.source} has {known:,} tokens, and its model has embeddings for "
            f"{policy.vocabulary:,}: a problem with one of the others will be refused"
        )
    return found


def check_policy(cfg: DictConfig) -> None:
    """Build what describes the policy, without a weight.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    build_lora(cfg)
    if cfg.model.path is None:
        base_recipe(cfg)


def build_lora(cfg: DictConfig) -> LoRA | None:
    """The adapters that `model.lora` asks for; None without a rank: all weights are trained.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    if cfg.model.lora is None:
        return None
    if not isinstance(cfg.model.lora, DictConfig):
        raise UserError(f"model.lora={cfg.model.lora}: it has keys of its own; try model.lora.rank=16")
    given = {str(name): value for name, value in cfg.model.lora.items() if value is not None}
    if not given:
        return None
    if "rank" not in given:
        name = min(given)
        raise UserError(
            f"model.lora.{name}={given[name]}: there are no adapters without a rank; add model.lora.rank=16"
        )
    settings = {"_target_": "rsgrpo.models.lora.LoRA", **given}
    return build(OmegaConf.create({"model": {"lora": settings}}).model, "lora")


def policy_folder(cfg: DictConfig) -> str | Path:
    """`model.path`, or the folder of the base model that `model.pretrain` describes."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    if cfg.model.path is not None:
        return cfg.model.path
    recipe = base_recipe(cfg)
    with shown_progress(recipe) as progress:
        return base_folder(recipe, Path(cfg.model.cache_dir).expanduser(), progress, say)


def base_recipe(cfg: DictConfig) -> Pretraining:
    """What `model.pretrain` and `demonstrations` describe.

    Raises:
        UserError: when neither a path nor a recipe is set, or the demonstrations are not a corpus.
    """
    if cfg.model.pretrain is None:
        raise UserError("model.path is not set; give a Hugging Face folder or hub id with model.path=...")
    if not isinstance(build(cfg, "demonstrations"), Corpus):  # built here first: a refusal then names their own key
        raise UserError(
            f"demonstrations._target_={cfg.demonstrations._target_} is not a corpus: it needs max_tokens, problems() "
            "and draw(problem, rng), see rsgrpo.pretraining.corpus.Corpus"
        )
    return build(cfg.model, "pretrain")


@contextmanager
def shown_progress(recipe: Pretraining) -> Iterator[Progress]:
    """Shows how far the pretraining is, from its first step on."""
    console = terminal()
    bar = Bar(
        *Bar.get_default_columns()[:3],
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("pretraining the base model", total=recipe.steps, loss=float("nan"), visible=False)

        def show(step: int, steps: int, loss: float) -> None:
            bar.update(task, completed=step, loss=loss, visible=True)
            if not console.is_terminal and (step % LINE_EVERY == 0 or step == steps):
                console.print(f"pretraining the base model: step {step}/{steps}, loss {loss:.3f}")

        yield show
