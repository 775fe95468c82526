"""`python run.py task=doctor`: does everything on this machine do what a run needs of it? One table, with cures."""

import sys
import warnings
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from rsgrpo import run_folder
from rsgrpo.analysis.tables import wide_console
from rsgrpo.composition.build import build_as
from rsgrpo.composition.machine import check_run_folder, set_threads
from rsgrpo.composition.patient import Patient
from rsgrpo.composition.settings import DoctorSettings
from rsgrpo.doctor import engine, memory, node, speed, trainer
from rsgrpo.doctor.table import Check, Checks, Result, limited
from rsgrpo.doctor.versions import versions

LAST_CHECK = 60.0
"""Seconds that the last check has at least, before it counts as failed and the process ends."""


def doctor(cfg: DictConfig) -> None:
    """Run all checks, print their table, and leave with exit code 1 where one failed.

    Raises:
        UserError: for a mistake in the configuration.
        SystemExit: 1 where a check failed or had no time.
    """
    settings = build_as(cfg, "task", DoctorSettings)
    run = Path(HydraConfig.get().runtime.output_dir)
    check_run_folder(run, resumes=False)
    warnings.simplefilter("ignore")
    set_threads(cfg)
    seconds = 60 * settings.minutes
    checks = Checks(title="doctor", seconds=seconds, limit=seconds + LAST_CHECK)
    patient = Patient(cfg, run, settings)
    try:
        with limited(checks):
            checks.run(checks_of(patient))
    finally:
        patient.close()
    checks.show(wide_console())
    run_folder.write_json(run / run_folder.DOCTOR, checks.content())
    if checks.failed:
        sys.exit(1)


def checks_of(patient: Patient) -> list[Check]:
    """In the order in which they build on one another."""
    no_gpu = "" if patient.on_gpu else "a GPU"
    no_vllm = no_gpu or ("" if patient.has_vllm else "rollout=vllm")
    no_tokenizer = "" if patient.has_tokenizer else "the model's tokenizer"
    two = "two GPUs" if patient.on_gpu and torch.cuda.device_count() < 2 else ""
    bench, sleep = (lambda: patient.bench), (lambda: memory.Sleep(patient.bench))
    copy, start, runs = "copy of the model", "engine start", "resumed = uninterrupted"
    return [
        *(Check(name=found.name, run=lambda found=found: _of_node(found), needs=no_gpu) for found in node.checks()),
        Check(name="versions", run=versions, cure="install what constraints.txt names: make train"),
        Check(name="this run on this machine", run=patient.machine),
        Check(name="memory by plan", run=patient.plan, needs=no_gpu),
        Check(
            name="prompt as the model sees it",
            run=patient.prompt,
            cure="the tokenizer does not return its own tokens: model.chat_template, model.chat_template_kwargs",
            needs=no_tokenizer,
        ),
        Check(
            name="stop tokens",
            run=patient.stop_tokens,
            cure="name the end-of-sequence token in generation_config.json or the tokenizer's configuration",
            needs=no_tokenizer,
        ),
        Check(
            name="reward",
            run=patient.judges,
            cure="python run.py task=score shows the verdicts one by one; is it the reward of these data?",
        ),
        Check(name=copy, run=patient.write_copy),
        Check(
            name="packed = separate",
            run=lambda: trainer.packed_is_separate(bench()),
            cure="sequences of a row see each other: report the model, and its transformers version",
            after=copy,
        ),
        Check(
            name="micro-batches = one",
            run=lambda: trainer.micro_batches_are_one(bench()),
            cure="the gradient depends on batching.row_tokens: a loss of your own that is not a sum over tokens?",
            after=copy,
        ),
        Check(
            name="attention on the GPU",
            run=lambda: trainer.attention_of_a_gpu(patient.bench.policy.device),
            cure="install the PyTorch that constraints-gpu.txt names: make gpu",
            needs=no_gpu,
            after=copy,
        ),
        Check(name=start, run=lambda: engine.start(bench()), after=copy),
        Check(
            name="sync hands over every tensor",
            run=lambda: engine.names(bench()),
            cure="names differ between trainer and engine: install the versions of the lock",
            after=start,
        ),
        Check(
            name="sampler = trainer",
            run=lambda: engine.parity(bench()),
            cure="the engine samples another policy than the one that is trained: rollout=hf, or rollout.dtype=float32",
            after=start,
        ),
        Check(
            name="sync moves every tensor",
            run=lambda: engine.every_tensor_moves(bench()),
            cure="the engine keeps old weights: install the versions of the lock, or sample with rollout=hf",
            after=start,
        ),
        Check(
            name="same seeds, same samples",
            run=lambda: engine.same_seeds_same_samples(bench()),
            cure="draws depend on what else is sampled: rollout=hf draws the same always",
            after=start,
        ),
        Check(
            name="sampling speed",
            run=lambda: speed.sampling(bench(), patient.recipe.batching.completions_per_prompt),
            after=start,
        ),
        Check(name="training speed", run=lambda: speed.training(bench()), after=copy),
        Check(name="sleep gives memory back", run=lambda: sleep().sleeps(), needs=no_vllm, after=start),
        Check(name="wake", run=lambda: sleep().wakes(), needs=no_vllm, after=start),
        Check(
            name="wake beside cached memory",
            run=lambda: sleep().wakes_beside_cached_memory(),
            needs=no_vllm,
            after=start,
        ),
        Check(
            name="a second engine in this process", run=lambda: sleep().a_second_engine(), needs=no_vllm, after=start
        ),
        Check(
            name=runs,
            run=lambda: patient.without_engine().resumed_is_uninterrupted(),
            cure="something is not in the checkpoint: an optimiser or a part of your own without state_dict?",
            after=copy,
        ),
        Check(
            name="two ranks = one",
            run=lambda: patient.without_engine().two_ranks_are_one(),
            cure="ranks do not train the same: run tests/distributed, and report what fails",
            needs=two,
            after=runs,
        ),
    ]


def _of_node(found: node.Check) -> Result:
    return Result(found.found, found.needed, found.ok, found.cure)
