"""The policy of a configuration: a Hugging Face folder, or the tiny base, pretrained on first use."""

from pathlib import Path

import transformers
from omegaconf import DictConfig
from rich.progress import Progress, TextColumn, TimeRemainingColumn

from rsgrpo.data.corpus import Corpus
from rsgrpo.models.policy import Policy
from rsgrpo.tasks.compose import build
from rsgrpo.tasks.terminal import terminal
from rsgrpo.training.pretraining import Pretraining, cached_base
from rsgrpo.types import UserError

LINE_EVERY = 200
"""Pretraining steps between progress lines where there is no terminal."""


def load_policy(cfg: DictConfig, *, on_meta: bool = False) -> Policy:
    """The policy that training starts from; `on_meta`, without its weights, which are then read shard by shard."""
    return Policy.from_pretrained(policy_folder(cfg), chunk_tokens=cfg.model.chunk_tokens, on_meta=on_meta)


def policy_folder(cfg: DictConfig) -> str | Path:
    """`model.path`, or the folder of the cached base model that `model.pretrain` describes.

    Raises:
        UserError: when neither is set, or what it would be pretrained on is none.
    """
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    if cfg.model.path is not None:
        return cfg.model.path
    if cfg.model.pretrain is None:
        raise UserError("model.path is not set; give a Hugging Face folder or hub id with model.path=...")
    if not isinstance(build(cfg, "demonstrations"), Corpus):  # built here first: a refusal then names their own key
        raise UserError(
            f"demonstrations._target_={cfg.demonstrations._target_} is no corpus: it needs max_tokens, problems() and "
            "draw(problem, rng), see rsgrpo.data.corpus.Corpus"
        )
    return _base_with_progress(build(cfg.model, "pretrain"), Path(cfg.model.cache_dir).expanduser())


def _base_with_progress(recipe: Pretraining, cache: Path) -> Path:
    console = terminal()
    bar = Progress(
        *Progress.get_default_columns()[:3],
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

        return cached_base(recipe, cache, show)
