"""The engine of `rollout=vllm`: the protocol's methods, on a vLLM in this process.

vLLM is imported when the first weights arrive.
"""

import gc
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.distributed as dist
from torch import Tensor

from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import check_fields
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import EngineLost, Parity, Sample, check_prompts, group_of
from rsgrpo.rollouts.vllm import requests, sharing
from rsgrpo.rollouts.vllm.memory import GPUMemory, in_words, sizes
from rsgrpo.rollouts.vllm.pools import empty_pools
from rsgrpo.rollouts.vllm.process import ProcessGroup, import_llm, left_as_it_was, missing
from rsgrpo.rollouts.vllm.weights import BOUNDS, check_names, drop, noting, reload
from rsgrpo.seeds import derive_seed
from rsgrpo.types import Group, Prompt, Sampling

FEWEST_TOKENS = 128
"""What the trainer's check of the log-probs needs."""

LOWEST_TEMPERATURE = 1e-2
"""vLLM silently samples at this temperature when a lower one is asked for."""


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
    """Largest mean difference of the two, in nats; None is 1e-4 in float32, .02 in float32 on a GPU, .2 in bfloat16."""
    version: int = field(default=0, init=False)
    _llm: Any = field(default=None, init=False, repr=False)
    _has_weights: bool = field(default=False, init=False, repr=False)
    _memory: GPUMemory = field(default_factory=GPUMemory, init=False, repr=False)
    _process_group: ProcessGroup | None = field(default=None, init=False, repr=False)
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
        bound = BOUNDS[dtype] if self.max_gap is None else self.max_gap
        return Parity(bound=bound, every=self.check_every, half_precision=dtype == "bfloat16")

    def load_policy(self, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        """Take the policy's weights, one tensor at a time, and forget the keys and values of the old ones.

        Raises:
            RuntimeError: when `weights` are not exactly the policy's parameters, vLLM did not take all of them, or
                something is still being sampled.
        """
        self._start()
        if self._llm.llm_engine.has_unfinished_requests():
            raise RuntimeError("the weights would change under what is still being sampled")
        seen: set[str] = set()
        with self._visiting():
            self._memory.wake(self._llm, "weights")
            self._llm.collective_rpc(reload, args=(noting(weights, seen),))
        check_names(seen, expected=self.policy.weight_names(), allowed=self.policy.weight_names(tied=True))
        with self._visiting():
            self._memory.wake(self._llm, "kv_cache")
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
        shares = sharing.shares(list(zip(prompts, seeds, strict=True)), self.tensor_parallel_size)
        check_prompts([prompt for share in shares for prompt, _ in share], sampling, self._max_tokens)
        if sampling.temperature < LOWEST_TEMPERATURE:
            raise UserError(
                f"temperature={sampling.temperature}: vLLM samples at {LOWEST_TEMPERATURE} or above; try "
                f"temperature={LOWEST_TEMPERATURE}, top_k=1 for the best token, or engine=HFEngine(...)"
            )
        return self._groups(shares, sampling, num_completions)

    def make_room(self) -> None:
        """Leave the GPU's memory to the trainer; the weights are gone until the next `load_policy`."""
        self._has_weights = False
        with self._visiting():
            self._memory.sleep(self._llm)

    def close(self) -> None:
        """End vLLM. A process group that others have made stays; vLLM's own may be gone already."""
        if self._llm is None:
            return
        assert self._process_group is not None
        with self._visiting(), self._process_group.sparing_others():
            try:
                self._llm.collective_rpc(drop)
            finally:
                self._llm.llm_engine.engine_core.shutdown()
        self._llm, self._has_weights = None, False
        gc.collect()
        if torch.cuda.is_available():
            empty_pools()
            torch.cuda.empty_cache()

    @property
    def _dtype(self) -> str:
        if self.dtype != "auto":
            return self.dtype
        return "bfloat16" if torch.cuda.is_available() else "float32"

    @property
    def _max_tokens(self) -> int:
        return self.policy.context if self.max_tokens is None else self.max_tokens

    def _visiting(self) -> AbstractContextManager[None]:
        """Around every call of vLLM, which changes much of the process it runs in."""
        return left_as_it_was(self.policy.device.type, enforce_eager=self.enforce_eager)

    def _start(self) -> None:
        """Once, import vLLM, and build its model out of the policy's configuration, weights unset."""
        if self._llm is not None:
            return
        had_process_group = dist.is_initialized()
        ranks = dist.get_world_size() if had_process_group else 1
        sharing.check_ranks(ranks, self.tensor_parallel_size)
        with tempfile.TemporaryDirectory() as folder, self._visiting():
            self.policy.save_description(Path(folder))
            llm = import_llm()
            if self.tensor_parallel_size > 1:
                sharing.name_shared_memory()
            with in_words():
                self._llm = llm(model=folder, **self._settings(ranks))
        self._process_group = ProcessGroup.of_start(there_before=had_process_group)

    def _settings(self, ranks: int) -> dict[str, Any]:
        """vLLM's, all but the folder that describes the policy."""
        settings: dict[str, Any] = {
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
            **sizes(gpu_memory_share=self.gpu_memory_share, kv_cache_gib=self.kv_cache_gib),
        }
        if ranks > 1:
            settings |= {
                "distributed_executor_backend": "external_launcher",
                "tensor_parallel_size": self.tensor_parallel_size,
            }
        return settings

    def _forget_prefixes(self) -> None:
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("vLLM kept keys and values of the old weights")

    def _groups(
        self, shares: Sequence[Sequence[tuple[Prompt, int]]], sampling: Sampling, num_completions: int
    ) -> Iterator[tuple[int, Group]]:
        """Sample what all sharers ask for, all of them alike, and yield what this one has asked for."""
        me = sharing.place(self.tensor_parallel_size)
        places = [(sharer, index) for sharer, share in enumerate(shares) for index in range(len(share))]
        samples: dict[tuple[int, int], list[Sample | None]] = {place: [None] * num_completions for place in places}
        unfinished = dict.fromkeys(places, num_completions)
        waiting: dict[str, tuple[tuple[int, int], int]] = {}
        self._batches += 1
        try:
            with self._visiting():
                for place in places:
                    prompt, seed = shares[place[0]][place[1]]
                    for sample in range(num_completions):
                        name = f"{self._batches}.{place[0]}.{place[1]}.{sample}"
                        self._ask(name, prompt, sampling, derive_seed(seed, sample))
                        waiting[name] = (place, sample)
            while waiting:
                for output in self._step():
                    place, sample = waiting.pop(output.request_id)
                    samples[place][sample] = requests.sample_of(output.outputs[0])
                    unfinished[place] -= 1
                    if not unfinished[place] and place[0] == me:
                        done = [s for s in samples.pop(place) if s is not None]
                        prompt, _ = shares[me][place[1]]
                        yield place[1], group_of(prompt, done, self.policy.tokenizer, self.version)
        finally:
            if waiting:
                with self._visiting():
                    self._llm.llm_engine.abort_request(list(waiting))

    def _ask(self, name: str, prompt: Prompt, sampling: Sampling, seed: int) -> None:
        """Queue one completion as a request of its own: vLLM gives sample i of one request the seed plus i."""
        parameters = requests.parameters(sampling, seed=seed, stop_token_ids=self.policy.stop_token_ids)
        tokens: Any = {"prompt_token_ids": list(prompt.token_ids)}
        self._llm.llm_engine.add_request(name, tokens, parameters)

    def _step(self) -> list[Any]:
        """One forward pass of vLLM; the requests that it has finished."""
        try:
            with self._visiting():
                return [output for output in self._llm.llm_engine.step() if output.finished]
        except Exception as error:
            if self.tensor_parallel_size == 1:
                raise
            raise EngineLost(f"vLLM failed on this rank while others wait for it: {error}") from error
