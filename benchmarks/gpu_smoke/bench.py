"""A policy, an engine on it, and the checks of both before anything is trained."""

import argparse
import gc
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor

from benchmarks.gpu_smoke.policy import autocast, build_policy, engine_settings
from benchmarks.gpu_smoke.table import Result
from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.rollouts.vllm.memory import GIB
from rsgrpo.training.parity import canaries, check_parity
from rsgrpo.types import Sampling

SAMPLING = Sampling(max_new_tokens=32)


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


class Bench:
    """A policy and an engine on it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.on_gpu = options.device == "cuda"
        self.taken = 0

    @property
    def policy(self) -> Policy:
        """On its device: Lightning moves a module to the CPU when a fit ends."""
        return self._policy.to(self.options.device)

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

    def awake(self) -> None:
        """The engine with the policy's weights."""
        self.engine.load_policy(full_tensors(self.policy.model), version=self.engine.version)

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
