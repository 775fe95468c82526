"""What a configuration needs of this machine, checked before anything slow: GPU, weights, a writable run folder."""

import errno
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from huggingface_hub import constants, get_token, try_to_load_from_cache
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.composition.evaluation import evaluates, evaluations_of
from rsgrpo.composition.settings import model_settings, run_settings, trainer_settings
from rsgrpo.errors import UserError, causes

_ANOTHER_FOLDER = "choose another with hydra.run.dir=..."

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""Errors of a disk that is full, or that takes nothing any more."""

SAY_IT_THEMSELVES = ("explain", "plan", "doctor")
"""The tasks that say what another machine would run, and what this one lacks."""

HUB_DEADLINE_S = 1.5
"""How long the hub may take to say whether it has the weights."""


def check_machine(cfg: DictConfig, *, weights: bool = True) -> None:
    """Refuse a run that could not start: wrong settings of model and trainer, and whatever this machine lacks.

    Without `weights`, those of the model may be elsewhere.

    Raises:
        UserError: naming everything that is missing, and the cure.
    """
    run_settings(cfg)
    trainer_settings(cfg)
    checks = [_missing_gpu, _missing_folder, _missing_engine, _missing_logger, _missing_optimizer]
    if weights:
        checks.insert(1, missing_weights)
    for one in evaluations_of(cfg) if evaluates(cfg) else [cfg]:
        model_settings(one)
        missing = [problem for check in checks if (problem := check(one)) is not None]
        if missing:
            raise UserError("; ".join(missing))


def check_run_folder(run: Path, *, resumes: bool) -> None:
    """Refuse a run folder that cannot be written, or that holds something else, before any work is done for it.

    Raises:
        UserError: naming the folder and the cure.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        probe = run / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"run folder {run} cannot be written ({error.strerror}); {_ANOTHER_FOLDER}") from None
    if not resumes and any(path.name != run_folder.OUTPUT for path in run.iterdir()):
        resume = f", or resume the run in it with ckpt={run}" if run_folder.checkpoints(run) else ""
        raise UserError(f"run folder {run} is not empty; {_ANOTHER_FOLDER}{resume}")


def claim_run_folder(run: Path) -> None:
    """Make a new run folder this run's own, also against a run that was started in the same second.

    Raises:
        UserError: when another run was faster.
    """
    try:
        (run / run_folder.RUN).touch(exist_ok=False)
    except FileExistsError:
        raise UserError(f"run folder {run} was taken by another run; start again, or {_ANOTHER_FOLDER}") from None


@contextmanager
def disk_refusals_are_told(run: Path) -> Iterator[None]:
    """Turn the refusal of a full or broken disk into one sentence, whatever library writes below `run`.

    Raises:
        UserError: with the file, if the system named it, and the cure.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        refused = (cause for cause in causes(error) if isinstance(cause, OSError) and cause.errno in REFUSALS)
        cause = next(refused, None)
        if cause is None:
            raise
        named = cause.filename
        file = Path(os.fsdecode(named)) if isinstance(named, str | bytes | os.PathLike) else run
        raise run_folder.disk_error(file, cause) from error


def set_threads(cfg: DictConfig) -> None:
    """Compute with `trainer.threads` threads; null leaves PyTorch's own choice."""
    if cfg.trainer.threads is not None:
        torch.set_num_threads(cfg.trainer.threads)


def _missing_gpu(cfg: DictConfig) -> str | None:
    if cfg.trainer.accelerator != "gpu" or torch.cuda.is_available():
        return None
    return "trainer=gpu: this machine has no usable NVIDIA GPU; run on a GPU node, or on the CPU with trainer=cpu"


def _missing_engine(cfg: DictConfig) -> str | None:
    if OmegaConf.is_missing(cfg.rollout, "_target_") or cfg.rollout._target_ != "rsgrpo.rollouts.vllm.VLLMEngine":
        return None
    from rsgrpo.rollouts.vllm.process import missing

    problem = missing()
    return None if problem is None else f"rollout=vllm: {problem}"


def _missing_optimizer(cfg: DictConfig) -> str | None:
    target = cfg.optimizer.get("_target_") if "optimizer" in cfg else None
    if target != "rsgrpo.training.optimizer.AdamW8bit" or find_spec("torchao") is not None:
        return None
    return "optimizer=adamw8bit needs the package torchao, which is not installed: pip install 'rsgrpo[adamw8bit]'"


def _missing_logger(cfg: DictConfig) -> str | None:
    target = None if OmegaConf.is_missing(cfg.logger, "_target_") else cfg.logger.get("_target_")
    if target != "rsgrpo.loggers.wandb.Wandb" or find_spec("wandb") is not None:
        return None
    return "logger=wandb needs the package wandb, which is not installed: pip install 'rsgrpo[wandb]'"


def _missing_folder(cfg: DictConfig) -> str | None:
    """Ranks that torchrun or Slurm has started cannot agree on a folder that has the time in its name."""
    started = max(int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    if started == 1 or cfg.trainer.get("strategy") is None:
        return None
    if any(override.startswith("hydra.run.dir=") for override in HydraConfig.get().overrides.hydra):
        return None
    return f"hydra.run.dir is not set, and {started} ranks need one folder; add hydra.run.dir=outputs/my_run"


def missing_weights(cfg: DictConfig) -> str | None:
    """Why the model cannot be read on this machine, and the cure; None where it can."""
    path = cfg.model.path
    if path is None or any((Path(path) / name).is_file() for name in ("config.json", "adapter_config.json")):
        return None  # what else the folder lacks is told when it is read
    cure = "give a Hugging Face folder with model.path=/path/to/folder"
    if (Path(path) / run_folder.POLICY / "config.json").is_file():
        return f"model.path={path} is a run folder; its policy is model.path={Path(path) / run_folder.POLICY}"
    if Path(path).exists() or path.startswith(("/", ".", "~")) or path.count("/") != 1:
        return f"model.path={path} is not a Hugging Face folder (no config.json); {cure}"
    if isinstance(try_to_load_from_cache(path, "config.json"), str):
        return None
    reason = _why_not_downloadable(path)
    return None if reason is None else f"model.path={path}: the weights are not on this machine, and {reason}; {cure}"


def _why_not_downloadable(repo: str) -> str | None:
    """Why the hub will not give the weights of `repo`, or None when it will. Answers within `HUB_DEADLINE_S`."""
    if constants.is_offline_mode():
        return "the hub is switched off (HF_HUB_OFFLINE)"
    answer: list[str | None] = []
    # A name server that does not answer has no time-out of its own, so the question is asked in a thread.
    asking = threading.Thread(target=lambda: answer.append(_ask_hub(repo)), daemon=True)
    asking.start()
    asking.join(HUB_DEADLINE_S)
    return answer[0] if answer else f"the hub did not answer within {HUB_DEADLINE_S:g} s"


def _ask_hub(repo: str) -> str | None:
    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{constants.ENDPOINT}/{repo}/resolve/main/config.json", None, headers)
    try:
        with urllib.request.urlopen(request, timeout=HUB_DEADLINE_S):
            return None
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return "the hub refuses access: accept the model's licence there and log in with `hf auth login`"
        return f"the hub answered {error.code}"
    except OSError as error:
        return f"the hub cannot be reached ({error})"
