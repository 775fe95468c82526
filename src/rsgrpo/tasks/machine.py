"""What a configuration needs of this machine, checked before anything slow: GPU, weights, a writable run folder."""

import os
from pathlib import Path

import torch
from omegaconf import DictConfig

from rsgrpo.types import UserError

HUB_TIMEOUT_S = 2.0


def check_machine(cfg: DictConfig) -> None:
    """Refuse a run that could not start.

    Raises:
        UserError: naming everything that is missing, and the cure.
    """
    missing = [problem for problem in (_missing_weights(cfg), _missing_gpu(cfg)) if problem]
    if missing:
        raise UserError("; ".join(missing))


def check_writable(run: Path) -> None:
    """Refuse a run folder that cannot be written, before any work is done for it.

    Raises:
        UserError: naming the folder and the cure.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        probe = run / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"run folder {run} cannot be written ({error.strerror}); choose another: hydra.run.dir=..."
        ) from None


def _missing_gpu(cfg: DictConfig) -> str | None:
    if cfg.trainer.accelerator != "gpu" or torch.cuda.is_available():
        return None
    return "trainer=gpu: this machine has no usable NVIDIA GPU; run on a GPU node, or on the CPU with trainer=cpu"


def _missing_weights(cfg: DictConfig) -> str | None:
    path = cfg.model.path
    if path is None or (Path(path) / "config.json").is_file():
        return None
    cure = "give a Hugging Face folder with model.path=/path/to/folder"
    if Path(path).exists() or path.startswith(("/", ".", "~")) or path.count("/") != 1:
        return f"model.path={path} is not a Hugging Face folder (no config.json); {cure}"
    reason = _unreachable(path)
    return (
        None
        if reason is None
        else f"model.path={path}: the weights are neither here nor in the hub cache, and {reason}; {cure}"
    )


def _unreachable(repo: str) -> str | None:
    """Why the weights of a hub repository cannot be had, or None when they can."""
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    if isinstance(try_to_load_from_cache(repo, "config.json"), str):
        return None
    if constants.is_offline_mode() or os.environ.get("TRANSFORMERS_OFFLINE"):
        return "the hub is switched off (HF_HUB_OFFLINE)"
    try:
        HfApi().model_info(repo, timeout=HUB_TIMEOUT_S)
    except GatedRepoError:
        return "the repository is gated: accept its licence on the hub and log in with `hf auth login`"
    except RepositoryNotFoundError:
        return "the hub has no such repository"
    except (HfHubHTTPError, OSError, RuntimeError) as error:
        return f"the hub cannot be reached ({type(error).__name__})"
    return None
