"""What the doctor examines: the parts of a configuration, each built when it is first looked at."""

import random
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from transformers import PreTrainedTokenizerBase

from rsgrpo.command_line.same_run import flat
from rsgrpo.composition.asking import build_format, build_source
from rsgrpo.composition.build import build
from rsgrpo.composition.device import is_on_gpu, precision_of
from rsgrpo.composition.machine import check_machine, missing_weights
from rsgrpo.composition.plan import architecture_in, plan_of
from rsgrpo.composition.policy import policy_folder
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.composition.settings import DoctorSettings
from rsgrpo.doctor import prompts, rewards
from rsgrpo.doctor.bench import Bench
from rsgrpo.doctor.copied import load_copy, tokenizer_of, write_copy
from rsgrpo.doctor.runs import SMALL, Runs
from rsgrpo.doctor.table import Result
from rsgrpo.rewards.base import close as close_reward
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Problem

PROBLEMS = 16
"""Of the run's training data, that the reward judges."""

GROUPS = ("trainer", "rollout", "optimizer")
"""What the small runs of the copy take from the run."""

DRAWS = 20
"""Demonstrations of a problem."""

VLLM = "rsgrpo.rollouts.vllm.VLLMEngine"


class Patient:
    """The parts of a configuration, each built when it is first looked at: what cannot be built fails its own check."""

    def __init__(self, cfg: DictConfig, run: Path, settings: DoctorSettings) -> None:
        self.cfg, self.run, self.layers, self.weights = cfg, run, settings.layers, settings.weights
        self.on_gpu = is_on_gpu(cfg) and torch.cuda.is_available()
        self.device = "cuda" if self.on_gpu else "cpu"
        self.has_vllm = cfg.rollout.get("_target_") == VLLM

    @cached_property
    def recipe(self) -> Recipe:
        return build_recipe(self.cfg)

    @property
    def has_tokenizer(self) -> bool:
        """Whether it can be had on this machine; one that is here and broken fails the checks that read it."""
        return missing_weights(self.cfg) is None

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Of the run's model; None where it is not to be had on this machine."""
        return tokenizer_of(policy_folder(self.cfg)) if self.has_tokenizer else None

    @cached_property
    def problems(self) -> Sequence[Problem]:
        return build_source(self.cfg).split("train")[:PROBLEMS]

    @cached_property
    def bench(self) -> Bench:
        """The copy and the run's engine on it."""
        folder = self.run / "copy"
        policy = load_copy(folder, chunk_tokens=min(int(self.cfg.model.chunk_tokens), 256), device=self.device)
        make = build(self.cfg, "rollout")
        half = precision_of(self.cfg) == "bf16-mixed"
        return Bench(policy=policy, make_engine=lambda: make(policy=policy), half=half)

    @cached_property
    def runs(self) -> Runs:
        return Runs(folder=self.run / "runs", words=self._words(), on_gpu=self.on_gpu)

    def _words(self) -> list[str]:
        """The run's trainer, engine, optimiser and adapters, for the small runs of the copy."""
        chosen = HydraConfig.get().runtime.choices
        taken = {word.partition("=")[0] for word in SMALL}
        words = [f"{group}={chosen[group]}" for group in GROUPS]
        for section in (*GROUPS, "model.lora"):
            values = flat(OmegaConf.to_container(OmegaConf.select(self.cfg, section), resolve=True))
            words += [
                f"{section}.{key}={'null' if value is None else value}"
                for key, value in values.items()
                if f"{section}.{key}" not in taken and not key.endswith("_partial_")
            ]
        return [*words, f"model.path={self.run / 'copy'}", f"seed={self.cfg.seed}"]

    def write_copy(self) -> Result:
        """Its real widths, on the disk, from where every part of the doctor and its runs load it."""
        architecture = architecture_in(self.cfg)
        write_copy(architecture, self.tokenizer, self.run / "copy", layers=self.layers, device=self.device)
        count = sum(p.numel() for p in self.bench.policy.parameters())
        of = "its own tokenizer" if self.tokenizer is not None else "the built-in tokenizer, for lack of its own"
        return Result(f"{count:,} parameters of {architecture.source}, {self.layers} layers, {of}")

    def prompt(self) -> Result:
        """The first problem of the run's data."""
        assert self.tokenizer is not None
        return prompts.round_trip(self.tokenizer, self.problems[0], build_format(self.cfg))

    def stop_tokens(self) -> Result:
        """Those of the run's tokenizer and generation config."""
        assert self.tokenizer is not None
        source = policy_folder(self.cfg)
        return prompts.stop_tokens(self.tokenizer, prompts.stops_of(source, self.tokenizer), build_format(self.cfg))

    def judges(self) -> Result:
        """The run's reward on the run's problems."""
        return rewards.judges(self.recipe.reward, self.problems, self._answers)

    def machine(self) -> Result:
        check_machine(self.cfg, weights=self.weights)
        device = "GPU" if self.on_gpu else "CPU"
        there = (
            "weights, folder, engine, optimiser and logger" if self.weights else "folder, engine, optimiser and logger"
        )
        return Result(f"{device}; {there} are there")

    def plan(self) -> Result:
        memory_plan = plan_of(self.cfg, self.recipe).memory
        words = f"{memory_plan.largest} needs most, {memory_plan.peak / 2**30:.1f} GiB of each GPU"
        cure = "python run.py task=plan with the same words says which key to turn"
        return Result(words, f"{memory_plan.settings.usable / 2**30:.1f} GiB", memory_plan.fits, cure)

    def _answers(self, problem: Problem) -> list[str]:
        """Texts of which one should be right: the gold answer, and a demonstration if there are some."""
        found = rewards.boxed(problem)
        if self.cfg.get("demonstrations") is not None:
            corpus = build(self.cfg, "demonstrations")
            found += [corpus.draw(problem, random.Random(seed)) for seed in range(DRAWS)]  # some are wrong on purpose
        return found

    def without_engine(self) -> Runs:
        """The small runs, which need the memory."""
        if "bench" in self.__dict__:
            self.bench.close()
        return self.runs

    def close(self) -> None:
        """End the engine and the reward, and remove the copy."""
        if "bench" in self.__dict__:
            self.bench.close()
        if "recipe" in self.__dict__:
            close_reward(self.recipe.reward)
        for name in ("copy", "runs"):
            shutil.rmtree(self.run / name, ignore_errors=True)
