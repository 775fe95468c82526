"""Memory and time of a training step at a model's real widths, on one GPU.

    python benchmarks/gpu_training.py [--shapes qwen3_4b] [--layers 2 4] [--row-tokens 16384]
    python benchmarks/gpu_training.py --device cpu --shapes tiny --row-tokens 512    # all but the memory

Random weights, some of the layers, one row of `--row-tokens` tokens; both are linear in the number of layers, so that
two depths say what the whole model takes. What is printed for the whole depth is extrapolated, and marked so.
"""

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rsgrpo.batching.packing import TrainingSequence, pack
from rsgrpo.distributed.sharding import Sharding
from rsgrpo.doctor.trainer import attention_errors
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_tokenizer, model_config
from rsgrpo.planning.architecture import Architecture, architecture_of
from rsgrpo.training.optimizer import AdamW, AdamW8bit, Optimizer
from rsgrpo.types import PackedRow

GIB = 2**30


SHAPES = {
    "qwen3_0_6b": "Qwen/Qwen3-0.6B",
    "qwen2_5_math_1_5b": "Qwen/Qwen2.5-Math-1.5B",
    "qwen3_4b": "Qwen/Qwen3-4B-Base",
    "qwen2_5_7b": "Qwen/Qwen2.5-7B",
    "llama3_1_8b_instruct": "meta-llama/Llama-3.1-8B-Instruct",
    "tiny": None,
}
"""The models whose widths are taken, from the descriptions that `task=plan` reads too."""

OPTIMIZERS: dict[str, Optimizer] = {
    "foreach": AdamW(lr=1e-6, fused=False),
    "fused": AdamW(lr=1e-6, fused=True),
    "8bit": AdamW8bit(lr=1e-6),
}


def architecture(shape: str) -> Architecture:
    """Of a model that is described in the package, or of one that runs anywhere."""
    name = SHAPES[shape]
    if name is not None:
        return architecture_of(name)
    return Architecture(model_config(build_tokenizer(), hidden_size=64, num_layers=8), "rsgrpo.models.tiny")


BF16_PEAK = 989e12
"""Dense bfloat16 FLOP/s of an H100 or H200 by the datasheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One training step."""

    parameters: int
    gib: float
    """Peak of forward and backward, weights, gradients and moments included."""
    step_gib: float
    """Peak of the optimiser's step."""
    seconds: float
    """Forward and backward."""
    step_seconds: float


def build_policy(shape: str, layers: int, device: torch.device) -> Policy:
    """Random weights of the shape's widths, made on the device."""
    torch.manual_seed(0)
    with device:
        model = architecture(shape).build(layers)
    return Policy(model, build_tokenizer())


def row_of(tokens: int, device: torch.device) -> PackedRow:
    """Prompts of 150 tokens, completions of log-normal lengths around 1,200, up to `tokens` in all."""
    draw = random.Random(0)
    sequences: list[TrainingSequence] = []
    left = tokens
    while left > 200:
        length = min(left - 150, max(50, int(draw.lognormvariate(7.1, 0.6))))
        left -= 150 + length
        sequences.append(
            TrainingSequence(
                prompt_ids=tuple(draw.randrange(20) for _ in range(150)),
                completion_ids=tuple(draw.randrange(20) for _ in range(length)),
                advantage=draw.choice([-1.0, 1.0]),
                weight=1 / tokens,
                sampler_logprobs=torch.zeros(length),
            )
        )
    [row] = pack(sequences, row_tokens=tokens, device=device)
    return row


def measure(
    shape: str, layers: int, row: PackedRow, *, checkpointing: bool, compiled: bool, optimizer: str, chunk_tokens: int
) -> Step:
    """The third of three steps: by then the optimiser has its moments, and everything is compiled."""
    gc.collect()  # what the last one has left
    device = row.token_ids.device
    policy = build_policy(shape, layers, device)
    policy.chunk_tokens = chunk_tokens
    Sharding(activation_checkpointing=checkpointing, compile=compiled).apply(policy, None)
    adam = OPTIMIZERS[optimizer].over(list(policy.parameters()))
    for _ in range(3):  # until the second, what is compiled takes its time; the third is measured
        adam.zero_grad()
        seconds, gib = timed(lambda: gradients(policy, row), device)
        step_seconds, step_gib = timed(adam.step, device)
    count = sum(parameter.numel() for parameter in policy.parameters())
    return Step(parameters=count, gib=gib, step_gib=step_gib, seconds=seconds, step_seconds=step_seconds)


def gradients(policy: Policy, row: PackedRow) -> None:
    """Forward and backward of one row."""
    with torch.autocast(row.token_ids.device.type, dtype=torch.bfloat16, cache_enabled=False):
        tokens = policy(row, 1.0)
    output = ClipLoss()(tokens, tokens.logprobs.detach(), row)
    (output.per_token * row.weights).sum().backward()


def timed(work: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Seconds, the GPU's work included, and the peak of its memory in GiB."""
    if device.type == "cpu":
        start = time.perf_counter()
        work()
        return time.perf_counter() - start, 0.0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start, torch.cuda.max_memory_allocated() / GIB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--shapes", nargs="+", default=["qwen3_4b"], choices=list(SHAPES))
    parser.add_argument("--layers", nargs=2, type=int, default=[2, 4], help="the two depths that are measured")
    parser.add_argument("--row-tokens", type=int, default=16_384)
    parser.add_argument("--chunk-tokens", type=int, default=2048, help="tokens whose logits are in memory at once")
    parser.add_argument("--checkpointing", nargs="+", default=["no", "yes"], choices=["no", "yes"])
    parser.add_argument("--optimizers", nargs="+", default=["foreach", "fused"], choices=list(OPTIMIZERS))
    parser.add_argument("--compile", action="store_true", help="as with trainer.compile=true")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu_training needs an NVIDIA GPU that PyTorch can use; --device cpu needs none", file=sys.stderr)
        return 2
    device = torch.device(options.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}")
    errors = ", ".join(f"{name} {error:.1e}" for name, error in attention_errors(device).items())
    print(f"attention in bfloat16 beside float32, relative: {errors}")
    row = row_of(options.row_tokens, device)
    print(f"one row of {sum(row.lengths):,} tokens, {len(row.lengths)} sequences")
    print(f"{'shape':<18} {'layers':>6} {'checkpoints':>11} {'AdamW':>7} {'GiB':>6} {'in step':>7}      s step s")
    for shape in options.shapes:
        depth = architecture(shape).layers
        for checkpointing in options.checkpointing:
            for optimizer in options.optimizers:
                few, many = (
                    measure(
                        shape,
                        layers,
                        row,
                        checkpointing=checkpointing == "yes",
                        compiled=options.compile,
                        optimizer=optimizer,
                        chunk_tokens=options.chunk_tokens,
                    )
                    for layers in options.layers
                )
                whole = extrapolated(few, many, options.layers, depth)
                for layers, step in zip([*options.layers, depth], [few, many, whole], strict=True):
                    print(
                        f"{shape:<18} {layers:>6} {checkpointing:>11} "
                        f"{optimizer:>7} {step.gib:>6.1f} {step.step_gib:>7.1f} "
                        f"{step.seconds:>6.2f} {step.step_seconds:>6.3f}"
                        + (
                            ""
                            if layers != depth
                            else f"  extrapolated; {used(shape, whole, row):.0%} of the GPU's peak"
                        ),
                        flush=True,
                    )
    return 0


def used(shape: str, step: Step, row: PackedRow) -> float:
    """Model FLOPs over the datasheet's: 6 for each parameter and token, and causal attention; no recomputation."""
    config: Any = architecture(shape).config
    heads = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    attention = 6 * config.num_hidden_layers * heads * sum(length**2 for length in row.lengths)
    flops = 6 * step.parameters * sum(row.lengths) + attention
    return flops / (step.seconds + step.step_seconds) / BF16_PEAK


def extrapolated(few: Step, many: Step, layers: Sequence[int], depth: int) -> Step:
    """Each number on the line through both."""
    fewer, more = layers

    def at(name: str) -> float:
        low, high = getattr(few, name), getattr(many, name)
        return low + (high - low) * (depth - fewer) / (more - fewer)

    return Step(
        parameters=round(at("parameters")),
        **{name: at(name) for name in ("gib", "step_gib", "seconds", "step_seconds")},
    )


if __name__ == "__main__":
    sys.exit(main())
