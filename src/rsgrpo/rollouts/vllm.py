"""Sampling with vLLM in this process: continuous batching and paged attention, with new weights after every update.

vLLM is imported when the first weights arrive. It changes much of the process it runs in; `_visiting` puts back what
training relies on around every call.
"""

import gc
import importlib
import importlib.util
import logging
import math
import os
import random
import tempfile
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import check_fields
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import EngineLost, Parity, Sample, check_prompts, group_of
from rsgrpo.seeds import derive_seed
from rsgrpo.types import Group, Prompt, Sampling

GIB = 2**30

BOUNDS = {"float32": 1e-4, "tfloat32": 0.02, "bfloat16": 0.2}
"""Largest |sampler - trainer| log-prob, in nats, that rounding explains. Measured with random weights
(benchmarks/gpu_smoke.py): on a CPU 1e-6 in float32; in bfloat16 .003 at 0.2 million parameters and .033 at 596 million.
On an H200, at 596 million: .027 in bfloat16, and .0009 in float32, where vLLM's attention multiplies in TF32."""

FEWEST_TOKENS = 128
"""What the trainer's check of the log-probs needs."""

LOWEST_TEMPERATURE = 1e-2
"""vLLM silently samples at this temperature when a lower one is asked for."""

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine in this process
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else every rank is bound to the same cores
    "VLLM_USE_FLASHINFER_SAMPLER": "0",  # compiled at its first use, and silent on the truncated log-probs
    "VLLM_CONFIGURE_LOGGING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def missing() -> str | None:
    """Why there is no vLLM here, with the cure; None where it is installed."""
    if importlib.util.find_spec("vllm") is not None:
        return None
    return "rollout=vllm: vLLM is not installed; on a CPU: make vllm, on a GPU node: pip install 'rsgrpo[vllm]'"


@dataclass(slots=True, kw_only=True)
class VLLMEngine:
    """vLLM on the policy's configuration, with weights that only ever come through `load_policy`.

    It starts with the first `load_policy`, since the policy's weights may be on no device before that, and under
    several ranks the start is a collective. Nothing is read from the policy's folder and no weight is written to disk.

    Each rank has an engine of its own, or `tensor_parallel_size` ranks in a row share one: each holds a part of every
    layer, all of them sample the prompts of all of them in step, and each yields the groups of its own. They have to
    call `generate` together and to walk through all of it.

    The same seed draws the same tokens whatever else is in the batch, as long as no draw falls within the rounding
    error of the log-probs: these depend on the batch in their last digits.

    Raises:
        FieldError: for a value outside its range.
        UserError: where vLLM is not installed.
    """

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "max_rows": (1, math.inf),
        "max_tokens": (FEWEST_TOKENS, math.inf),
        "prefill_tokens": (1, math.inf),
        "kv_cache_gib": (1e-3, math.inf),
        "tensor_parallel_size": (1, math.inf),
        "gpu_memory_share": (0.01, 1.0),
        "check_every": (1, math.inf),
        "max_gap": (0.0, math.inf),
    }
    """Known, like the types of its settings, before there is a policy."""

    policy: Policy
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of weights, activations and cache; auto is bfloat16 on a GPU and float32 on the CPU."""
    max_rows: int = 512
    """Completions sampled side by side, at most."""
    max_tokens: int | None = None
    """Longest prompt plus completion; None is the policy's context."""
    prefill_tokens: int = 32768
    """Prompt tokens of one forward pass, at most; a prompt is never cut, so at least `max_tokens`."""
    kv_cache_gib: float | None = None
    """Memory for keys and values, in GiB; None is 1 on the CPU and `gpu_memory_share` on a GPU."""
    tensor_parallel_size: int = 1
    """Ranks that share an engine, for policies that one device cannot hold beside the trainer."""
    gpu_memory_share: float = 0.6
    """On a GPU, share of the memory that is free at the start that the engine may use, weights included."""
    enforce_eager: bool = True
    """Without CUDA graphs, which make short steps faster and the start slower."""
    check_every: int = 1
    """Syncs between two comparisons of the engine's log-probs with the trainer's; the first is always checked."""
    max_gap: float | None = None
    """Largest difference between the two in nats; None is 1e-4 in float32, .02 in float32 on a GPU, .2 in bfloat16."""
    version: int = field(default=0, init=False)
    _llm: Any = field(default=None, init=False, repr=False)
    _has_weights: bool = field(default=False, init=False, repr=False)
    _asleep: bool = field(default=False, init=False, repr=False)
    _made_process_group: bool = field(default=False, init=False, repr=False)
    _world: Any = field(default=None, init=False, repr=False)
    _batches: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        check_fields(self, **self.BOUNDS)
        if self.max_tokens is not None and self.max_tokens > self.policy.context:
            raise FieldError(
                "max_tokens",
                self.max_tokens,
                f"is more than the policy's context of {self.policy.context}",
                f"try max_tokens={self.policy.context}",
            )
        heads = self.policy.model.config.num_attention_heads
        if heads % self.tensor_parallel_size:
            raise FieldError(
                "tensor_parallel_size",
                self.tensor_parallel_size,
                f"does not divide the policy's {heads} attention heads",
                f"try tensor_parallel_size={math.gcd(heads, self.tensor_parallel_size)}",
            )
        if (problem := missing()) is not None:
            raise UserError(problem)

    @property
    def parity(self) -> Parity:
        """What the trainer holds the engine to."""
        dtype = "tfloat32" if self._dtype == "float32" and torch.cuda.is_available() else self._dtype
        return Parity(bound=BOUNDS[dtype] if self.max_gap is None else self.max_gap, every=self.check_every)

    def load_policy(self, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        """Take the policy's weights, one tensor at a time, and forget the keys and values of the old ones.

        Raises:
            RuntimeError: when `weights` are not exactly the policy's parameters, vLLM did not take all of them, or
                something is still being sampled.
        """
        self._start()
        if self._llm.llm_engine.has_unfinished_requests():
            raise RuntimeError("the weights would change under what is still being sampled")
        on_gpu(self, "wake weights")
        seen: set[str] = set()
        with self._visiting():
            self._llm.collective_rpc(_reload, args=(_named(weights, seen),))
        expected, allowed = self.policy.weight_names(), self.policy.weight_names(tied=True)
        if seen - allowed or expected - seen:
            raise RuntimeError(
                f"vLLM got other weights than the policy has: missing {sorted(expected - seen)}, unknown "
                f"{sorted(seen - allowed)}"
            )
        on_gpu(self, "wake cache")
        self._forget_prefixes()
        self.version, self._has_weights = version, True

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, num_completions: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Group]]:
        """See `RolloutEngine.generate`. All prompts are queued at once, in their order; vLLM fills its batch with them.

        Raises:
            UserError: for a prompt that is empty or does not fit, or a temperature that vLLM would change.
            RuntimeError: before the first `load_policy`, or between `make_room` and the next one.
        """
        if not self._has_weights:
            raise RuntimeError("the engine has no weights: load_policy comes before generate")
        shares = self._shares(list(zip(prompts, seeds, strict=True)))
        check_prompts([prompt for share in shares for prompt, _ in share], sampling, self._max_tokens)
        if sampling.temperature < LOWEST_TEMPERATURE:
            raise UserError(
                f"a temperature of {sampling.temperature} (sampling.temperature or eval.sampling.temperature): vLLM "
                f"samples at {LOWEST_TEMPERATURE} or above; try {LOWEST_TEMPERATURE}, top_k=1 for the best token, or "
                "rollout=hf"
            )
        return self._groups(shares, sampling, num_completions)

    def make_room(self) -> None:
        """Leave the GPU's memory to the trainer; the weights are gone until the next `load_policy`."""
        self._has_weights = False
        on_gpu(self, "sleep")

    def close(self) -> None:
        """End vLLM, and leave a process group that others have made as it is; its own may have gone before it."""
        if self._llm is None:
            return
        with self._visiting(), self._sparing_groups_of_others():
            try:
                self._llm.collective_rpc(_drop)
            finally:
                self._llm.llm_engine.engine_core.shutdown()
        self._llm, self._has_weights = None, False
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # what vLLM's allocator still holds would stop the next engine of this process

    @contextmanager
    def _sparing_groups_of_others(self) -> Iterator[None]:
        """Inside, vLLM destroys its own process groups and no other."""
        destroy = dist.destroy_process_group

        def destroy_own(group: Any = None) -> None:
            there = dist.is_initialized() and dist.group.WORLD is self._world  # all groups go with the first
            if there and (group is not None or self._made_process_group):
                destroy(group)

        dist.destroy_process_group = destroy_own
        try:
            yield
        finally:
            dist.destroy_process_group = destroy

    @property
    def _dtype(self) -> str:
        if self.dtype != "auto":
            return self.dtype
        return "bfloat16" if torch.cuda.is_available() else "float32"

    @property
    def _max_tokens(self) -> int:
        return self.policy.context if self.max_tokens is None else self.max_tokens

    def _start(self) -> None:
        """Once, import vLLM, and build its model out of the policy's configuration, weights unset."""
        if self._llm is not None:
            return
        had_process_group = dist.is_initialized()
        ranks = dist.get_world_size() if had_process_group else 1
        if ranks % self.tensor_parallel_size:
            raise UserError(
                f"rollout.tensor_parallel_size={self.tensor_parallel_size} does not divide the run's {ranks} "
                f"{'rank' if ranks == 1 else 'ranks'}; try "
                f"rollout.tensor_parallel_size={math.gcd(ranks, self.tensor_parallel_size)}, or trainer=fsdp2 "
                f"trainer.devices={self.tensor_parallel_size}"
            )
        several = ranks > 1
        with tempfile.TemporaryDirectory() as folder, self._visiting():
            self.policy.save_description(Path(folder))
            os.environ.update(ENVIRONMENT, OMP_NUM_THREADS=str(torch.get_num_threads()))
            if several:
                on_device = torch.cuda.current_device() if torch.cuda.is_available() else dist.get_rank()
                os.environ.update(RANK=str(dist.get_rank()), LOCAL_RANK=str(on_device))
            llm = _import()
            if self.tensor_parallel_size > 1 and not torch.cuda.is_available():
                _name_shared_memory()

            settings: dict[str, Any] = {
                "model": folder,
                "load_format": "dummy",
                "hf_overrides": {"architectures": [type(self.policy.model).__name__]},  # a new model's file has none
                "generation_config": "vllm",
                "dtype": self._dtype,
                "enforce_eager": self.enforce_eager,
                "max_model_len": self._max_tokens,
                "max_num_seqs": self.max_rows,
                # A prefill that is cut would draw from its request's generator twice.
                "enable_chunked_prefill": False,
                "max_num_batched_tokens": max(self.prefill_tokens, self._max_tokens, self.max_rows),
                "enable_prefix_caching": True,
                "logprobs_mode": "processed_logprobs",
                "disable_log_stats": True,
                "seed": 0,
                **memory(self),
            }
            if several:
                settings |= {
                    "distributed_executor_backend": "external_launcher",
                    "tensor_parallel_size": self.tensor_parallel_size,
                }
            try:
                self._llm = llm(**settings)
            except (torch.OutOfMemoryError, ValueError) as error:
                raise _in_words(error) from error
        self._world, self._made_process_group = dist.group.WORLD, dist.is_initialized() and not had_process_group

    def _forget_prefixes(self) -> None:
        with self._visiting():
            if not self._llm.reset_prefix_cache():
                raise RuntimeError("vLLM kept keys and values of the old weights")

    def _shares(self, mine: list[tuple[Prompt, int]]) -> list[list[tuple[Prompt, int]]]:
        """(prompt, seed) of each rank that shares this engine, in the order of the ranks."""
        if self.tensor_parallel_size == 1:
            return [mine]
        shares: list[Any] = [None] * self.tensor_parallel_size
        dist.all_gather_object(shares, mine, group=_sharers().cpu_group)
        return shares

    def _groups(
        self, shares: Sequence[Sequence[tuple[Prompt, int]]], sampling: Sampling, num_completions: int
    ) -> Iterator[tuple[int, Group]]:
        """Sample what all sharers ask for, all of them alike, and yield what this one has asked for."""
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]
        from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]

        engine = self._llm.llm_engine
        self._batches += 1
        me = _sharers().rank_in_group if self.tensor_parallel_size > 1 else 0
        places = [(sharer, index) for sharer, share in enumerate(shares) for index in range(len(share))]
        samples: dict[tuple[int, int], list[Sample | None]] = {place: [None] * num_completions for place in places}
        unfinished = dict.fromkeys(places, num_completions)
        waiting: dict[str, tuple[tuple[int, int], int]] = {}
        stop_token_ids = list(self.policy.stop_token_ids)
        try:
            with self._visiting():
                for place in places:
                    prompt, seed = shares[place[0]][place[1]]
                    for sample in range(num_completions):
                        params = SamplingParams(
                            max_tokens=sampling.max_new_tokens,
                            temperature=sampling.temperature,
                            top_p=sampling.top_p,
                            top_k=sampling.top_k,
                            min_p=sampling.min_p,
                            # Requests of their own, since vLLM gives sample i of one request the seed plus i.
                            seed=derive_seed(seed, sample),
                            logprobs=0,
                            stop_token_ids=stop_token_ids,
                            ignore_eos=True,
                            detokenize=False,
                            output_kind=RequestOutputKind.FINAL_ONLY,
                        )
                        tokens: Any = {"prompt_token_ids": list(prompt.token_ids)}
                        name = f"{self._batches}.{place[0]}.{place[1]}.{sample}"
                        engine.add_request(name, tokens, params)
                        waiting[name] = (place, sample)
            while waiting:
                for output in self._step():
                    place, sample = waiting.pop(output.request_id)
                    samples[place][sample] = _sample(output.outputs[0])
                    unfinished[place] -= 1
                    if not unfinished[place] and place[0] == me:
                        done = [s for s in samples.pop(place) if s is not None]
                        prompt, _ = shares[me][place[1]]
                        yield place[1], group_of(prompt, done, self.policy.tokenizer, self.version)
        finally:
            if waiting:
                with self._visiting():
                    engine.abort_request(list(waiting))

    def _step(self) -> list[Any]:
        """One forward pass of vLLM; the requests that it has finished."""
        try:
            with self._visiting():
                return [output for output in self._llm.llm_engine.step() if output.finished]
        except Exception as error:
            if self.tensor_parallel_size == 1:
                raise
            raise EngineLost(f"vLLM failed on this rank while others wait for it: {error}") from error

    @contextmanager
    def _visiting(self) -> Iterator[None]:
        """Around every call of vLLM: what it changes in this process is put back.

        It seeds and draws from the global random number generators, replaces `torch.set_num_threads`, may change the
        number of threads, sets environment variables that child processes would inherit, and says much that no user of
        this engine can act on. Left as vLLM leaves them are functions of `torch.accelerator`, which do nothing on a
        machine that has none, the inductor's settings, and the memory's binding to the process's own NUMA nodes.
        """
        # Eager, vLLM's compiled counting of ranks would take half a minute, to be thrown away.
        stance = "force_eager" if self.enforce_eager else "default"
        environment = dict(os.environ)
        threads, set_num_threads = torch.get_num_threads(), torch.set_num_threads
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        on_device = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        quiet = logging.root.manager.disable
        with (
            torch.random.fork_rng(on_device),
            torch.compiler.set_stance(stance),
            torch.autocast(self.policy.device.type, enabled=False),  # the trainer's; vLLM has a type of its own
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            try:
                yield
            finally:
                logging.disable(quiet)
                random.setstate(python)
                np.random.set_state(numpy)  # noqa: NPY002
                torch.set_num_threads = set_num_threads
                if torch.get_num_threads() != threads:
                    torch.set_num_threads(threads)
                os.environ.clear()
                os.environ.update(environment)


def _sharers() -> Any:
    """vLLM's group of the ranks that share an engine."""
    from vllm.distributed.parallel_state import get_tp_group  # pyright: ignore[reportMissingImports]

    return get_tp_group()


def _name_shared_memory() -> None:
    """On a CPU, ranks that share an engine speak through shared memory, whose name vLLM makes of nothing but theirs.

    Two runs on one machine would share it, and what a killed run has left would stop the next one.
    """
    from vllm.distributed.device_communicators import cpu_communicator  # pyright: ignore[reportMissingImports]

    run: list[Any] = [uuid.uuid4().hex]
    dist.broadcast_object_list(run)
    memory, name_of_group = cpu_communicator._CPUSHMDistributed, cpu_communicator._CPUSHMDistributed.make_group_name
    memory.make_group_name = staticmethod(lambda communicator: f"{name_of_group(communicator)}-{run[0]}")


def memory(engine: VLLMEngine) -> dict[str, Any]:
    """The settings of vLLM that bound its memory."""
    cache = {} if engine.kv_cache_gib is None else {"kv_cache_memory_bytes": int(engine.kv_cache_gib * GIB)}
    if not torch.cuda.is_available():
        # Blocks of 32 tokens instead of the CPU's 128: prompts share whole blocks only.
        return {"kv_cache_memory_bytes": GIB, "block_size": 32} | cache
    free, total = torch.cuda.mem_get_info()
    return {"gpu_memory_utilization": engine.gpu_memory_share * free / total, "enable_sleep_mode": True} | cache


def on_gpu(engine: VLLMEngine, step: Literal["wake weights", "wake cache", "sleep"]) -> None:
    """Share the GPU with the trainer: sleep while it trains; then weights first, cache second. Nothing on a CPU.

    Level 2 drops the weights too, which come anew with every `load_policy`. Woken the other way round, the cache and
    the weights that are being gathered would be in memory together.

    Raises:
        UserError: when there is not enough memory.
    """
    if not torch.cuda.is_available() or engine._asleep == (step == "sleep"):
        return
    try:
        with engine._visiting():
            if step == "sleep":
                engine._llm.sleep(level=2)
            else:
                engine._llm.wake_up(tags=["weights" if step == "wake weights" else "kv_cache"])
    except torch.OutOfMemoryError as error:
        raise _in_words(error) from error
    engine._asleep = step != "wake cache"


def _in_words(error: Exception) -> Exception:
    """A start or a waking that memory stopped, with the numbers and the keys; another error as it is."""
    words = str(error).partition("\n")[0]
    if isinstance(error, ValueError) and "memory" not in words.lower():
        return error
    free = ""
    if torch.cuda.is_available():
        left, total = torch.cuda.mem_get_info()
        free = f"; {left / GIB:.1f} of the GPU's {total / GIB:.1f} GiB are free"
    cure = (
        "lower rollout.gpu_memory_share on a GPU or rollout.kv_cache_gib on a CPU, rollout.max_tokens, "
        "rollout.max_rows or batching.row_tokens"
    )
    if "KV cache is needed" in words:
        words = "the keys and values of one completion of rollout.max_tokens do not fit"
        cure = "lower rollout.max_tokens, or raise rollout.kv_cache_gib or, on a GPU, rollout.gpu_memory_share"
    words = words.partition(". Decrease")[0].rstrip(".")  # what follows are vLLM's own settings
    return UserError(f"rollout=vllm: not enough memory{free}: {words}; {cure}")


def _import() -> Any:
    """vLLM's class. Optional imports fail on the way, and whoever keeps such an error keeps the frames below it.

    In a thread of its own those are not the trainer's, which hold the policy and the optimiser.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: importlib.import_module("vllm").LLM).result()


def _named(weights: Iterable[tuple[str, Tensor]], seen: set[str]) -> Iterator[tuple[str, Tensor]]:
    """The stream as it is, noting the names."""
    for name, tensor in weights:
        seen.add(name)
        yield name, tensor


def _reload(worker: Any, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Runs in vLLM's worker: fill its model, which joins several of the policy's tensors into one of its own.

    Raises:
        RuntimeError: when a parameter of vLLM's model got nothing, which vLLM itself only logs.
    """
    model = worker.model_runner.get_model()
    wanted, taken = {name for name, _ in model.named_parameters()}, set()
    load_weights = model.load_weights

    def noting(stream: Iterable[tuple[str, Tensor]]) -> set[str]:
        taken.update(load_weights(stream))
        return taken

    model.load_weights = noting
    try:
        worker.reload_weights(weights_iterator=weights)
    finally:
        del model.load_weights
    if wanted - taken:
        raise RuntimeError(f"vLLM's model got no weights for {sorted(wanted - taken)}")
    for module in model.modules():
        # On a CPU an output head that is tied to the embeddings has a packed copy of them, which vLLM forgets to renew.
        if hasattr(module, "cpu_linear") and module.weight.numel():
            module.quant_method.process_weights_after_loading(module)


def _drop(worker: Any) -> None:
    """Runs in vLLM's worker before its end: references to its parameters outlive it, their memory must not."""
    model = worker.model_runner.get_model()
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = torch.empty(0, dtype=tensor.dtype, device=tensor.device)


def _sample(output: Any) -> Sample:
    """vLLM's record of one completion as ours."""
    logprobs = [step[token].logprob for step, token in zip(output.logprobs, output.token_ids, strict=True)]
    return Sample(
        token_ids=tuple(output.token_ids), logprobs=torch.tensor(logprobs), finished=output.finish_reason == "stop"
    )
