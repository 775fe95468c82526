"""One training row with real weights on the CPU, and what it took: run in a process of its own by `test_real_steps`.

    python -m tests.planning.real_step '{"tokens": 2048, ...}'

Prints JSON: bytes of the row beside weights and gradients, by storages that were alive and by resident memory.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config

from rsgrpo.planning.architecture import Architecture
from rsgrpo.planning.live_bytes import LiveBytes
from rsgrpo.planning.row_trace import Way, measure_row, policy_of, prepare, row_of


def architecture(vocabulary: int = 32_000) -> Architecture:
    """Small, with a vocabulary that makes chunks of logits count."""
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        tie_word_embeddings=True,
        max_position_embeddings=8192,
    )
    return Architecture(config, "a test")


def measured(way: Way) -> dict[str, Any]:
    """After a short row, so that gradients are there, and what libraries take once."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    policy = policy_of(architecture().build(), way)
    prepare(policy, way)
    policy(row_of(way._replace(tokens=64, sequences=1), policy.device), 1.0).logprobs.sum().backward()
    row = row_of(way, policy.device)
    with LiveBytes() as live:
        rest = _resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        found = measure_row(policy, row, way, live)
        resident = _resident("VmHWM") - rest
    return {"resident": resident, "live": found.peak, "saved": found.saved}


def _resident(name: str) -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(measured(Way(**json.loads(sys.argv[1])))))
