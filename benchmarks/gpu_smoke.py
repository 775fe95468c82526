"""Does rollout=vllm work on this GPU, together with the trainer? One table, a row per check, in 8 minutes at most.

    make gpu-smoke
    python benchmarks/gpu_smoke.py [--max-gap NATS] [--minutes 7]
    python benchmarks/gpu_smoke.py --device cpu --size tiny      # all that needs no GPU, with vLLM's CPU build

The policy has the size of Qwen3-0.6B and random weights: nothing is downloaded. The trainer keeps float32 weights and
computes in bfloat16, the engine is in bfloat16; on a CPU both are float32 unless --dtype says otherwise. What would
start after --minutes is not started. The exit status is 1 when a check failed or was skipped, and
2 where there is nothing to check.
"""

import argparse
import faulthandler
import gc
import logging
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, NamedTuple, TypeVar

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import lightning
import torch
from engines import Speed, measure, random_prompts
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from rsgrpo.analysis.tables import plain_table, whole_width
from rsgrpo.batching.filters import KeepAll
from rsgrpo.batching.packing import pack, sequences_of
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import CONTEXT, EOS, PAD, build_tokenizer
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.rollouts.vllm.memory import GIB
from rsgrpo.rollouts.vllm.process import missing
from rsgrpo.schedules.constant import Constant
from rsgrpo.training.datamodule import PromptData
from rsgrpo.training.module import RLModule
from rsgrpo.training.optimizer import AdamW
from rsgrpo.training.parity import NEW_TOKENS, canaries, check_parity
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Completion, PackedRow, Prompt, Sampling, Score, StepReport

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "vocab_size": 1000,  # more than the tokenizer knows, as below
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
    },
    "qwen3_0_6b": {
        "vocab_size": 151_936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
}

LAST_CHECK = 45.0
"""Seconds that the last check has at least, before it counts as failed and the process ends."""

ITERATIONS = 2
SAMPLING = Sampling(max_new_tokens=32)
LEFT_FREE = 0.1
"""Of the GPU's free memory, the share that a trainer which needs a lot leaves."""

Found = TypeVar("Found")
State = Literal["ok", "FAILED", "needs a GPU", "skipped"]


class Result(NamedTuple):
    """What a check has found."""

    measured: str
    bound: str = ""
    ok: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the table."""

    name: str
    run: Callable[[], Result]
    on_gpu_only: bool = False
    after: str = ""
    """The check that has to be ok for this one to mean anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A check and what came of it."""

    name: str
    state: State
    measured: str = ""
    bound: str = ""
    trace: str = ""


@dataclass(slots=True, kw_only=True)
class Checks:
    """The checks one after another; an exception fails its own row and those that build on it."""

    on_gpu: bool
    seconds: float
    """No check starts later than this."""
    limit: float
    """Seconds after which the process ends, whatever is running."""
    rows: list[Row] = field(default_factory=list)
    running: str = ""
    started: float = field(default_factory=time.monotonic)

    def run(self, checks: Sequence[Check]) -> None:
        """Fill `rows`, and say on standard error how far it is: a crash would take the table with it."""
        for check in checks:
            self.running = check.name
            row = self._row(check)
            self.rows.append(row)
            elapsed = time.monotonic() - self.started
            print(f"{elapsed:6.1f} s  {row.name}: {row.state} {row.measured}", file=sys.stderr, flush=True)

    def _row(self, check: Check) -> Row:
        if check.on_gpu_only and not self.on_gpu:
            return Row(name=check.name, state="needs a GPU")
        if time.monotonic() - self.started >= self.seconds:
            return Row(name=check.name, state="skipped", measured="no time left")
        if check.after and not any(row.name == check.after and row.state == "ok" for row in self.rows):
            return Row(name=check.name, state="skipped", measured=f"without '{check.after}'")
        try:
            result = check.run()
        except Exception as error:
            words = str(error).partition("\n")[0] or "without a word"
            return Row(
                name=check.name,
                state="FAILED",
                measured=f"{type(error).__name__}: {words}",
                trace=traceback.format_exc(),
            )
        return Row(name=check.name, state="ok" if result.ok else "FAILED", measured=result.measured, bound=result.bound)

    def out_of_time(self) -> None:
        """End the process from another thread, with the table of what there is: what runs may never return."""
        faulthandler.dump_traceback(all_threads=True)
        self.rows.append(Row(name=self.running, state="FAILED", measured=f"still running after {self.limit:.0f} s"))
        self.show(Console())
        for child in multiprocessing.active_children():
            child.kill()
        sys.stdout.flush()
        os._exit(1)

    def show(self, console: Console) -> None:
        """The table, tracebacks below it, and a sentence that counts."""
        table: Table = plain_table("vLLM and the trainer on one device", "")
        for column in ("check", "measured", "bound", "result"):
            table.add_column(column)
        for row in self.rows:
            style = {"ok": "green", "FAILED": "bold red"}.get(row.state, "dim")
            table.add_row(row.name, Text(row.measured), row.bound, Text(row.state, style))
        whole_width(console, table)
        for row in self.rows:
            if row.trace:
                console.print(f"{row.name}:\n{row.trace}", markup=False, highlight=False, soft_wrap=True)
        counts = {state: sum(row.state == state for row in self.rows) for state in ("ok", "FAILED", "skipped")}
        not_here = sum(row.state == "needs a GPU" for row in self.rows)
        console.print(
            f"{counts['ok']} ok, {counts['FAILED']} failed, {counts['skipped']} skipped, {not_here} that need a GPU; "
            f"{time.monotonic() - self.started:.0f} s",
            highlight=False,
        )

    @property
    def failed(self) -> bool:
        """Whether a check failed, or one had no time: nothing is known of that."""
        return any(row.state in ("FAILED", "skipped") for row in self.rows)


class Watched(VLLMEngine):
    """The engine, and when it handed the GPU's memory over: what was in use then."""

    used_sampling = 0
    used_training = 0

    def make_room(self) -> None:
        self.used_sampling = max(self.used_sampling, used_memory())
        VLLMEngine.make_room(self)

    def load_policy(self, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        if self._memory.asleep:
            self.used_training = max(self.used_training, used_memory())
        VLLMEngine.load_policy(self, weights, version=version)


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


def build_policy(size: str, device: str) -> Policy:
    """Random weights of `size`, made on the device, with the tiny tokenizer: it knows some of the tokens only."""
    if size == "tiny":
        torch.set_num_threads(1)  # several wait for one another longer than they compute
    tokenizer = build_tokenizer()
    config = Qwen3Config(
        **SIZES[size],
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.get_vocab()[PAD],
        eos_token_id=tokenizer.get_vocab()[EOS],
        bos_token_id=None,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = Qwen3ForCausalLM(config)
    return Policy(model, tokenizer, chunk_tokens=1024)


class Bench:
    """A policy, an engine on it, and the checks of both."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.on_gpu = options.device == "cuda"
        self.taken = 0

    @property
    def policy(self) -> Policy:
        """On its device: Lightning moves a module to the CPU when a fit ends."""
        return self._policy.to(self.options.device)

    @property
    def checks(self) -> list[Check]:
        """In the order in which they build on one another."""
        start, fit = "engine start, first sync", f"{ITERATIONS} iterations of training"
        return [
            Check(name="versions and device", run=self.versions),
            Check(name="random policy", run=self.build),
            Check(name=start, run=self.start, after="random policy"),
            Check(name="sync at version 0", run=self.sync, after=start),
            Check(name="parity at version 0, trainer in float32", run=self.parity, after=start),
            Check(
                name="parity at version 0, trainer in bfloat16",
                run=self.parity_in_bfloat16,
                after=start,
                on_gpu_only=True,
            ),
            Check(name="a sync empties the prefix cache", run=self.prefixes, after=start),
            Check(name=fit, run=self.fit, after=start),
            Check(name="the updates would show in the parity", run=self.moved, after=fit),
            Check(name="parity after the updates", run=self.parity, after=fit),
            Check(name="peak memory, GiB", run=self.peaks, after=fit, on_gpu_only=True),
            Check(name="sleep gives memory back", run=self.sleep, after=start, on_gpu_only=True),
            Check(name="parity after sleep and wake", run=self.wake, after=start),
            Check(
                name="parity after a wake beside cached memory", run=self.crowded_wake, after=start, on_gpu_only=True
            ),
            Check(name="close gives memory back", run=self.close, after=start, on_gpu_only=True),
            Check(
                name="a second engine in the same process",
                run=self.again,
                after="close gives memory back",
                on_gpu_only=True,
            ),
            Check(name="vllm without CUDA graphs", run=lambda: self.speed("vllm", enforce_eager=True)),
            Check(name="vllm with CUDA graphs", run=lambda: self.speed("vllm", enforce_eager=False), on_gpu_only=True),
            Check(name="hf, on fewer tokens", run=lambda: self.speed("hf")),
            Check(name="parity of an engine in float32", run=self.parity_in_float32, on_gpu_only=True),
        ]

    def versions(self) -> Result:
        """Which software on which device; a GPU has to know bfloat16."""
        software = ", ".join(f"{name} {installed(name)}" for name in ("torch", "vllm", "transformers", "lightning"))
        if not self.on_gpu:
            return Result(f"CPU, {torch.get_num_threads()} threads; {software}")
        properties = torch.cuda.get_device_properties(0)
        return Result(
            f"{properties.name}, {properties.total_memory / GIB:.0f} GiB, compute capability {properties.major}."
            f"{properties.minor}, CUDA {torch.version.cuda}; {software}",
            "bfloat16",
            torch.cuda.is_bf16_supported(including_emulation=False),
        )

    def build(self) -> Result:
        """The policy of the trainer: float32 weights."""
        start = time.perf_counter()
        self._policy = build_policy(self.options.size, self.options.device)
        count = sum(parameter.numel() for parameter in self._policy.parameters())
        return Result(f"{count:,} parameters, {time.perf_counter() - start:.1f} s")

    def start(self) -> Result:
        """The first sync starts vLLM."""
        before, start = used_memory(), time.perf_counter()
        self.engine = Watched(policy=self.policy, **engine_settings(self.options))
        self.engine.load_policy(full_tensors(self.policy.model), version=0)
        seconds, self.taken = time.perf_counter() - start, used_memory() - before
        return Result(f"{seconds:.1f} s" + (f", {self.taken / GIB:.1f} GiB" if self.on_gpu else ""))

    def sync(self) -> Result:
        """Every parameter of the policy goes to the engine once."""
        expected = [name for name, _ in self.policy.model.named_parameters()]
        best = float("inf")
        sent: list[str] = []
        for _ in range(3):
            sent, start = [], time.perf_counter()
            self.engine.load_policy(noting(full_tensors(self.policy.model), sent), version=0)
            best = min(best, time.perf_counter() - start)
        ok = sent == expected and self.engine.version == 0
        return Result(
            f"{len(sent)} names, version {self.engine.version}, {best:.3f} s", f"{len(expected)} names, version 0", ok
        )

    def parity(self) -> Result:
        """The trainer's own check. It raises where the bound is exceeded."""
        gap, bound = check_parity(self.policy, self.engine, SAMPLING.temperature), self.engine.parity.bound
        assert gap is not None
        return Result(f"{gap:.2g} nats", f"{bound:g} nats")

    def parity_in_bfloat16(self) -> Result:
        """As in training: `trainer=gpu` computes in bfloat16."""
        with autocast(self.options.device):
            return self.parity()

    def prefixes(self) -> Result:
        """A prompt of several blocks is found in the cache, until there are new weights."""
        self.cached_tokens()
        kept = self.cached_tokens()
        self.engine.load_policy(full_tensors(self.policy.model), version=0)
        left = self.cached_tokens()
        return Result(f"{kept} tokens found, {left} after a sync", "some, then none", kept > 0 and left == 0)

    def cached_tokens(self) -> int:
        """Of the longest canary, the tokens whose keys and values vLLM finds in its cache; now they all are there."""
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

        longest = canaries(len(self.policy.tokenizer), self.policy.context)[-1]
        with self.engine._visiting():
            [output] = self.engine._llm.generate(
                {"prompt_token_ids": list(longest.token_ids)}, SamplingParams(max_tokens=1), use_tqdm=False
            )
        return int(output.num_cached_tokens)

    def fit(self) -> Result:
        """A real run of the module: sync, rollout, sleep, update, wake, sync, parity, and all of it again."""
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
        module = RLModule(self.policy, self.engine, recipe, train_set_size=len(prompts))
        observer, start = Reports(), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            trainer = lightning.Trainer(
                accelerator="gpu" if self.on_gpu else "cpu",
                devices=1,
                precision="bf16-mixed" if engine_dtype(self.options) == "bfloat16" else "32-true",
                max_epochs=-1,
                logger=False,
                callbacks=[observer],
                limit_val_batches=0,
                enable_progress_bar=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                default_root_dir=folder,
            )
            trainer.fit(module, datamodule=PromptData(prompts, [], []))
        self.policy.train()  # back on its device,
        module.sync()  # and to the engine, which would get it with the next samples
        seconds = time.perf_counter() - start
        norms = [update.grad_norm for report in observer.reports for update in report.updates]
        gaps = [report.logprob_gap for report in observer.reports if report.logprob_gap is not None]
        sampled_from = [g.group.completions[0].policy_version for r in observer.reports for g in r.groups.values()]
        ok = (
            (module.iteration, self.engine.version, sorted(set(sampled_from))) == (ITERATIONS, ITERATIONS, [0, 1])
            and module.optimizer_steps == len(norms) == 2 * ITERATIONS
            and min(norms) > 0
            and len(gaps) == ITERATIONS
            and max(gaps) <= self.engine.parity.bound
        )
        return Result(
            f"{module.optimizer_steps} updates, version {self.engine.version}, gradient norms {min(norms):.2g} to "
            f"{max(norms):.2g}, gap of what was trained {max(gaps):.2g} nats, {seconds:.1f} s",
            f"{2 * ITERATIONS} updates, version {ITERATIONS}, gap {self.engine.parity.bound:g} nats",
            ok,
        )

    def canary_row(self) -> PackedRow:
        """Completions of the canaries as they are sampled now."""
        prompts = canaries(len(self.policy.tokenizer), self.policy.context)
        sampling = Sampling(max_new_tokens=NEW_TOKENS)
        groups = self.engine.generate(prompts, sampling, num_completions=1, seeds=range(len(prompts)))
        sequences = [sequence for _, group in groups for sequence in sequences_of(group, [0.0])]
        weights = [torch.zeros(len(sequence.completion_ids)) for sequence in sequences]
        [row] = pack(sequences, weights, row_tokens=CONTEXT, device=self.policy.device)
        return row

    @torch.no_grad()
    def canary_logprobs(self) -> Tensor:
        """What the trainer says of them."""
        return self.policy(self.row, SAMPLING.temperature).logprobs

    def moved(self) -> Result:
        """By how much: old weights in the engine would differ from the trainer's by more than the bound."""
        moved, bound = float((self.canary_logprobs() - self.before).abs().max()), self.engine.parity.bound
        return Result(f"log-probs moved by {moved:.2g} nats", f"more than {bound:g} nats", moved > bound)

    def peaks(self) -> Result:
        """What was in use on the whole device, with what the CUDA context and PyTorch's allocator hold."""
        return Result(
            f"trainer beside the sleeping engine {self.engine.used_training / GIB:.1f}, with the engine awake "
            f"{self.engine.used_sampling / GIB:.1f}, of {torch.cuda.mem_get_info()[1] / GIB:.1f}"
        )

    def sleep(self) -> Result:
        """Nearly all that the engine took at its start is free while it sleeps."""
        self.awake()
        before = used_memory()
        self.engine.make_room()
        after = used_memory()
        return Result(
            f"{before / GIB:.1f} -> {after / GIB:.1f} GiB in use",
            f"{0.8 * self.taken / GIB:.1f} GiB freed",
            before - after >= 0.8 * self.taken,
        )

    def wake(self) -> Result:
        """Asleep, awake with new weights, and right."""
        self.awake()
        self.engine.make_room()
        start = time.perf_counter()
        self.awake()
        seconds, result = time.perf_counter() - start, self.parity()
        return result._replace(measured=f"{result.measured}, wake and sync {seconds:.2f} s")

    def crowded_wake(self) -> Result:
        """PyTorch's allocator keeps what the trainer has freed, nearly the whole GPU here: the engine has to get it."""
        self.awake()
        self.engine.make_room()
        free, _ = torch.cuda.mem_get_info()
        kept = int(free * (1 - LEFT_FREE))
        torch.empty(kept, dtype=torch.uint8, device=self.options.device)
        self.awake()
        result = self.parity()
        return result._replace(measured=f"{result.measured}, {kept / GIB:.1f} GiB were cached")

    def awake(self) -> None:
        """The engine with the policy's weights."""
        self.engine.load_policy(full_tensors(self.policy.model), version=self.engine.version)

    def close(self) -> Result:
        """What is in use afterwards is the trainer's."""
        self.awake()
        before = used_memory()
        self.engine.close()
        after = used_memory()
        return Result(
            f"{before / GIB:.1f} -> {after / GIB:.1f} GiB in use",
            f"{0.8 * self.taken / GIB:.1f} GiB freed",
            before - after >= 0.8 * self.taken,
        )

    def again(self) -> Result:
        """As the next job of a sweep starts its own: vLLM's allocator has to be empty."""
        started, result = self.start(), self.parity()
        self.engine.close()
        return result._replace(measured=f"{result.measured}, start {started.measured}")

    def speed(self, name: str, enforce_eager: bool = True) -> Result:
        """In a process of its own, as every run has one engine."""
        self.clear()
        speed = in_child(speed_of, self.options, name, enforce_eager)
        return Result(
            f"{speed.tokens_per_second:,.0f} tokens/s, sync {speed.sync:.3f} s, first round {speed.first_round:.1f} s"
        )

    def parity_in_float32(self) -> Result:
        """Engine and trainer without rounding to bfloat16: much closer."""
        self.clear()
        return in_child(parity_of, argparse.Namespace(**vars(self.options) | {"dtype": "float32"}))

    def clear(self) -> None:
        """Leave the memory to another process."""
        engine = self.__dict__.pop("engine", None)
        for name in ("_policy", "row", "before"):
            self.__dict__.pop(name, None)
        if engine is not None:
            engine.close()
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()


def speed_of(options: argparse.Namespace, name: str, enforce_eager: bool) -> Speed:
    """Tokens per second and seconds per sync of one engine."""
    policy = build_policy(options.size, options.device)
    large = options.size != "tiny" and options.device == "cuda"
    work = {"prompts": 64, "completions": 8, "tokens": 256} if large else {"prompts": 8, "completions": 4, "tokens": 32}
    if name == "vllm":
        settings = engine_settings(options)
        return measure(
            lambda: VLLMEngine(policy=policy, enforce_eager=enforce_eager, **settings), policy, **work, repeats=1
        )
    work |= {"prompts": work["prompts"] // 4, "tokens": work["tokens"] // 4}
    with autocast(options.device):
        return measure(lambda: HFEngine(policy=policy), policy, **work, repeats=1)


def parity_of(options: argparse.Namespace) -> Result:
    """The first sync of an engine and its parity."""
    bench = Bench(options)
    bench.build()
    bench.start()
    return bench.parity()


def in_child(function: Callable[..., Found], *arguments: Any) -> Found:
    """The result of a function in a process of its own, or its exception; the process is gone then."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def engine_dtype(options: argparse.Namespace) -> Literal["float32", "bfloat16"]:
    """Of the engine, unless --dtype says otherwise: bfloat16 on a GPU, float32 on a CPU."""
    return options.dtype or ("bfloat16" if options.device == "cuda" else "float32")


def engine_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What the engine is built with: its defaults, and less memory on a CPU."""
    cache = {} if options.device == "cuda" else {"kv_cache_gib": 0.25}
    return {"dtype": engine_dtype(options), "max_gap": options.max_gap} | cache


def autocast(device: str) -> torch.autocast:
    """The one of Lightning's bf16-mixed."""
    return torch.autocast(device, dtype=torch.bfloat16, cache_enabled=False, enabled=device == "cuda")


def used_memory() -> int:
    """Bytes in use on the GPU, by whomever; 0 without one."""
    if not torch.cuda.is_available():
        return 0
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free


def noting(weights: Iterable[tuple[str, Tensor]], names: list[str]) -> Iterator[tuple[str, Tensor]]:
    """The stream as it is; its names are added to `names`."""
    for name, tensor in weights:
        names.append(name)
        yield name, tensor


def installed(package: str) -> str:
    """Its version; vLLM's CPU build is a package of its own."""
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "missing"


@contextmanager
def limited(checks: Checks) -> Iterator[None]:
    """Inside, the process ends after the limit of `checks`."""
    timer = threading.Timer(checks.limit, checks.out_of_time)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", default="qwen3_0_6b", choices=list(SIZES))
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="of the engine")
    parser.add_argument("--max-gap", type=float, help="bound of the parity in nats instead of the engine's own")
    parser.add_argument("--minutes", type=float, default=7.0, help="no check starts later than this")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            "gpu_smoke needs an NVIDIA GPU that PyTorch can use; --device cpu --size tiny checks what needs none",
            file=sys.stderr,
        )
        return 2
    if (problem := missing()) is not None:
        print(problem, file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    random.seed(0)
    seconds = 60 * options.minutes
    checks = Checks(on_gpu=options.device == "cuda", seconds=seconds, limit=seconds + LAST_CHECK)
    with limited(checks):
        checks.run(Bench(options).checks)
    checks.show(Console())
    return int(checks.failed)


if __name__ == "__main__":
    sys.exit(main())
