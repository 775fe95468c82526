"""The engine of `rollout=vllm`: the protocol's methods, on a vLLM in this process.

vLLM is imported when the first weights arrive.
"""

import gc
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
import torch.distributed as dist
from torch import Tensor

from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import check_fields
from rsgrpo.models.lora import Parts
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import EngineLost, Parity, check_prompts, group_of
from rsgrpo.rollouts.vllm import adapters, requests, settings, sharing
from rsgrpo.rollouts.vllm.description import describe
from rsgrpo.rollouts.vllm.memory import GPUMemory, in_words, sizes
from rsgrpo.rollouts.vllm.pools import allocator_of_vllm, drop_tensors, set_aside
from rsgrpo.rollouts.vllm.process import ProcessGroup, import_llm, left_as_it_was, missing
from rsgrpo.rollouts.vllm.weights import BOUNDS, drop, send
from rsgrpo.seeds import derive_seed
from rsgrpo.types import Group, Prompt, Sampling

FEWEST_TOKENS = 132
"""What the trainer's check of the log-probs needs."""


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
    """Longest prompt plus completion; None is what `expect` was told, and the policy's context before that."""
    prefill_tokens: int = 32768
    """Prompt tokens of one forward pass, at most. A GPU cuts longer prompts; a CPU cannot, so there it is at least the
    longest prompt plus completion."""
    kv_cache_gib: float | None = None
    """Memory for keys and values, in GiB; None is 1 on the CPU and `gpu_memory_share` on a GPU."""
    tensor_parallel_size: int = 1
    """Ranks that share an engine, for policies that one device cannot hold beside the trainer."""
    gpu_memory_share: float = 0.6
    """On a GPU, share of the memory that is free at the start that the engine may use, weights included."""
    adapter: bool = False
    """Take LoRA adapters as adapters: the weights below them come once, and nothing is merged into them."""
    sleep: Literal["auto"] | bool = "auto"
    """On a GPU, whether the engine gives its memory up in `make_room`; auto: yes, unless the plan of a run says no."""
    enforce_eager: Literal["auto"] | bool = "auto"
    """Without CUDA graphs, which make short steps faster and the first start slower; auto: with them on a GPU."""
    check_every: int = 1
    """Syncs between two comparisons of the engine's log-probs with the trainer's; the first is always checked."""
    max_gap: float | None = None
    """Largest mean difference of the two, in nats; None is 1e-4 in float32, .02 in float32 on a GPU, .2 in bfloat16."""
    cache_dir: str | None = None
    """Where the policy is described to vLLM; None is a folder of this user in the machine's temporary one."""
    version: int = field(default=0, init=False)
    _llm: Any = field(default=None, init=False, repr=False)
    _has_weights: bool = field(default=False, init=False, repr=False)
    _has_base: bool = field(default=False, init=False, repr=False)
    _expected: int | None = field(default=None, init=False, repr=False)
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
        sharing.check_heads(self.policy.model.config.num_attention_heads, self.tensor_parallel_size)
        if self.adapter:
            adapters.shape_of(self.policy)
        if (problem := missing()) is not None:
            raise UserError(problem)

    @property
    def parts(self) -> Parts:
        """What the next `load_policy` has to bring of a policy with adapters."""
        if not self.adapter:
            return "merged"
        return "adapters" if self._has_base else "apart"

    @property
    def parity(self) -> Parity:
        """What the trainer holds the engine to."""
        dtype = "tfloat32" if self._dtype == "float32" and torch.cuda.is_available() else self._dtype
        bound = BOUNDS[dtype] if self.max_gap is None else self.max_gap
        return Parity(bound=bound, every=self.check_every, half_precision=dtype == "bfloat16")

    def expect(self, tokens: int) -> None:
        """Where `max_tokens` is None: no prompt with its completion will be longer than this from now on.

        An engine that has started for less ends here, and the next `load_policy` starts it anew.
        """
        started_for = self._max_tokens
        self._expected = min(max(tokens, FEWEST_TOKENS), self.policy.context)
        if self._llm is not None and self._max_tokens > started_for:
            self.close()
        elif self._llm is not None:
            self._expected = started_for

    def load_policy(self, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        """Take the policy's weights, one tensor at a time, and forget the keys and values of the old ones.

        Raises:
            RuntimeError: when `weights` are not exactly the policy's parameters, vLLM did not take all of them, or
                something is still being sampled.
        """
        self._start()
        if self._llm.llm_engine.has_unfinished_requests():
            raise RuntimeError("the weights would change under what is still being sampled")
        with self._visiting():
            self._memory.wake(self._llm, "weights")
            adapter = send(self._llm, weights, self.policy, self.parts)
            self._has_base = True
            if self.adapter:
                adapters.give(self._llm, adapters.shape_of(self.policy), adapter)
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
        requests.check_temperature(sampling)
        return self._groups(shares, sampling, num_completions)

    def make_room(self) -> None:
        """Leave the GPU's memory to the trainer, where it sleeps; nothing is sampled until the next `load_policy`."""
        self._has_weights = False
        if self.sleep:
            with self._visiting():
                self._memory.sleep(self._llm, keeps_weights=self.adapter)

    def close(self) -> None:
        """End vLLM. A process group that others have made stays; vLLM's own may be gone already."""
        if self._llm is None:
            return
        assert self._process_group is not None
        with self._visiting(), self._process_group.sparing_others():
            try:
                self._memory.wake_to_end(self._llm)
                self._llm.collective_rpc(drop)
                if torch.cuda.is_available():
                    drop_tensors(allocator_of_vllm())
            finally:
                self._llm.llm_engine.engine_core.shutdown()
        self._llm, self._has_weights, self._has_base, self._memory = None, False, False, GPUMemory()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            set_aside(allocator_of_vllm())

    @property
    def _dtype(self) -> str:
        if self.dtype != "auto":
            return self.dtype
        return "bfloat16" if torch.cuda.is_available() else "float32"

    @property
    def _max_tokens(self) -> int:
        if self.max_tokens is not None:
            return self.max_tokens
        return self.policy.context if self._expected is None else self._expected

    @property
    def _is_eager(self) -> bool:
        return not torch.cuda.is_available() if self.enforce_eager == "auto" else self.enforce_eager

    def _visiting(self) -> AbstractContextManager[None]:
        """Around every call of vLLM, which changes much of the process it runs in."""
        return left_as_it_was(self.policy.device.type, enforce_eager=self._is_eager)

    def _start(self) -> None:
        """Once, import vLLM, and build its model out of the policy's configuration, weights unset."""
        if self._llm is not None:
            return
        had_process_group = dist.is_initialized()
        ranks = dist.get_world_size() if had_process_group else 1
        sharing.check_ranks(ranks, self.tensor_parallel_size)
        with self._visiting():
            folder = str(describe(self.policy, self.cache_dir))
            llm = import_llm()
            if self.tensor_parallel_size > 1:
                sharing.name_shared_memory()
            with in_words():
                self._llm = llm(model=folder, **self._settings(ranks))
        self._process_group = ProcessGroup.of_start(there_before=had_process_group)

    def _settings(self, ranks: int) -> dict[str, Any]:
        """vLLM's, all but the folder that describes the policy."""
        return {
            **settings.ALWAYS,
            "hf_overrides": {"architectures": [type(self.policy.model).__name__]},  # a new model's file has none
            "dtype": self._dtype,
            "enforce_eager": self._is_eager,
            **settings.batches(max_rows=self.max_rows, max_tokens=self._max_tokens, prefill_tokens=self.prefill_tokens),
            **sizes(gpu_memory_share=self.gpu_memory_share, kv_cache_gib=self.kv_cache_gib, sleeps=bool(self.sleep)),
            **settings.ranks_that_share(ranks, self.tensor_parallel_size),
            **(adapters.settings(adapters.shape_of(self.policy)) if self.adapter else {}),
        }

    def _forget_prefixes(self) -> None:
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("vLLM kept keys and values of the old weights")

    def _groups(
        self, shares: Sequence[Sequence[tuple[Prompt, int]]], sampling: Sampling, num_completions: int
    ) -> Iterator[tuple[int, Group]]:
        """Sample what all sharers ask for, all of them alike, and yield what this one has asked for."""
        me, self._batches = sharing.place(self.tensor_parallel_size), self._batches + 1
        batch = requests.Batch(f"{self._batches}", [len(share) for share in shares], num_completions)
        try:
            with self._visiting():
                for name, (sharer, index, sample) in batch.waiting.items():
                    prompt, seed = shares[sharer][index]
                    self._ask(name, prompt, sampling, derive_seed(seed, sample))
            while batch.waiting:
                done: list[int] = []
                with self._visiting():  # which takes longer than a short step: once for all steps up to the next group
                    while batch.waiting and not done:
                        finished = [batch.take(output.request_id, output.outputs[0]) for output in self._step()]
                        done += [index for sharer, index in filter(None, finished) if sharer == me]
                for index in done:
                    samples = batch.samples(me, index)
                    yield index, group_of(shares[me][index][0], samples, self.policy.tokenizer, self.version)
        finally:
            if batch.waiting:
                with self._visiting():
                    self._llm.llm_engine.abort_request(list(batch.waiting))

    def _ask(self, name: str, prompt: Prompt, sampling: Sampling, seed: int) -> None:
        """Queue one completion as a request of its own: vLLM gives sample i of one request the seed plus i."""
        parameters = requests.parameters(sampling, seed=seed, stop_token_ids=self.policy.stop_token_ids)
        tokens: Any = {"prompt_token_ids": list(prompt.token_ids)}
        adapter = adapters.request("given already") if self.adapter else None
        self._llm.llm_engine.add_request(name, tokens, parameters, lora_request=adapter)

    def _step(self) -> list[Any]:
        """One forward pass of vLLM; the requests that it has finished."""
        try:
            return [output for output in self._llm.llm_engine.step() if output.finished]
        except Exception as error:
            if self.tensor_parallel_size == 1:
                raise
            raise EngineLost(f"vLLM failed on this rank while others wait for it: {error}") from error
