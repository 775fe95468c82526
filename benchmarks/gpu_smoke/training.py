"""Two iterations of training with the engine, and what they change."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from benchmarks.engines import random_prompts
from benchmarks.gpu_smoke.bench import SAMPLING, Bench
from benchmarks.gpu_smoke.policy import engine_dtype
from benchmarks.gpu_smoke.table import Result
from rsgrpo.batching.filters import KeepAll
from rsgrpo.batching.packing import pack, sequences_of
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.models.tiny import CONTEXT
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.rollouts.vllm.memory import GIB
from rsgrpo.schedules.constant import Constant
from rsgrpo.training.datamodule import PromptData
from rsgrpo.training.lightning_trainer import lightning_trainer
from rsgrpo.training.module import RLModule
from rsgrpo.training.optimizer import AdamW
from rsgrpo.training.parity import NEW_TOKENS, canaries, no_weight
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Completion, PackedRow, Prompt, Sampling, Score, StepReport

ITERATIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class EvenTokens:
    """A reward that says something of every completion: the share of its token ids that are even."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        even = sum(token % 2 == 0 for token in completion.token_ids) / len(completion.token_ids)
        return Score(value=even, correct=False)


class Reports(lightning.Callback):
    """Keeps the reports of a run."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.reports.append(outputs["report"])


class Training:
    """A run of the trainer on a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def fit(self) -> Result:
        """A real run of the module: sync, rollout, sleep, update, wake, sync, parity, and all of it again."""
        engine = self.bench.engine
        self.row = self.canary_row()
        self.before = self.canary_logprobs()
        recipe = Recipe(
            objective=RSGRPO(beta=4.0),
            schedule=Constant(),
            loss=ClipLoss(),
            filter=KeepAll(),
            reward=EvenTokens(),
            batching=BatchPlan(
                prompts_per_iteration=4, completions_per_prompt=4, prompts_per_update=2, row_tokens=2048
            ),
            sampling=SAMPLING,
            optimizer=AdamW(lr=1e-3),
            evaluation=EvaluationPlan(sampling=SAMPLING, validation_completions=4, test_completions=4, k=(1, 4)),
            iterations=ITERATIONS,
            seed=0,
        )
        prompts = random_prompts(8, length=60)
        module = RLModule(self.bench.policy, engine, recipe, train_set_size=len(prompts))
        observer, start = Reports(), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            trainer = lightning_trainer(
                recipe,
                Path(folder),
                [observer],
                False,
                accelerator="gpu" if self.bench.on_gpu else "cpu",
                devices=1,
                precision="bf16-mixed" if engine_dtype(self.bench.options) == "bfloat16" else "32-true",
            )
            trainer.fit(module, datamodule=PromptData(prompts, [], []))
        self.bench.policy.train()  # back on its device,
        module.sync()  # and to the engine, which would get it with the next samples
        seconds = time.perf_counter() - start
        norms = [update.grad_norm for report in observer.reports for update in report.updates]
        gaps = [report.logprob_gap for report in observer.reports if report.logprob_gap is not None]
        sampled_from = [g.group.completions[0].policy_version for r in observer.reports for g in r.groups.values()]
        ok = (
            (module.iteration, engine.version, sorted(set(sampled_from))) == (ITERATIONS, ITERATIONS, [0, 1])
            and module.optimizer_steps == len(norms) == 2 * ITERATIONS
            and min(norms) > 0
            and len(gaps) == ITERATIONS
            and max(gaps) <= engine.parity.bound
        )
        return Result(
            f"{module.optimizer_steps} updates, version {engine.version}, gradient norms {min(norms):.2g} to "
            f"{max(norms):.2g}, gap of what was trained {max(gaps):.2g} nats, {seconds:.1f} s",
            f"{2 * ITERATIONS} updates, version {ITERATIONS}, gap {engine.parity.bound:g} nats",
            ok,
        )

    def canary_row(self) -> PackedRow:
        """Completions of the canaries as they are sampled now."""
        prompts = canaries(len(self.bench.policy.tokenizer), self.bench.policy.context)
        sampling = Sampling(max_new_tokens=NEW_TOKENS)
        groups = self.bench.engine.generate(prompts, sampling, num_completions=1, seeds=range(len(prompts)))
        sequences = [sequence for _, group in groups for sequence in sequences_of(group, [0.0], no_weight)]
        [row] = pack(sequences, row_tokens=CONTEXT, device=self.bench.policy.device)
        return row

    @torch.no_grad()
    def canary_logprobs(self) -> Tensor:
        """What the trainer says of them."""
        return self.bench.policy(self.row, SAMPLING.temperature).logprobs

    def moved(self) -> Result:
        """By how much: old weights in the engine would differ from the trainer's by more than the bound."""
        moved, bound = float((self.canary_logprobs() - self.before).abs().max()), self.bench.engine.parity.bound
        return Result(f"log-probs moved by {moved:.2g} nats", f"more than {bound:g} nats", moved > bound)

    def peaks(self) -> Result:
        """What was in use on the whole device, with what the CUDA context and PyTorch's allocator hold."""
        return Result(
            f"trainer beside the sleeping engine {self.bench.engine.used_training / GIB:.1f}, with the engine awake "
            f"{self.bench.engine.used_sampling / GIB:.1f}, of {torch.cuda.mem_get_info()[1] / GIB:.1f}"
        )
