"""Peak memory of a rank under FSDP2 beside one process, on the CPU: `python benchmarks/fsdp2_memory.py`.

Two iterations of RS-GRPO with a policy of 25 million random parameters: 95 MiB of float32 weights, as much for
gradients, twice that for AdamW. The memory of the same command with a policy of next to no parameters is taken off, so
that libraries do not count. glibc is told to give freed memory back at once: by default it keeps the buffers of
finished gathers, and what is measured is then its habit.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer

ROOT = Path(__file__).parents[1]
MIB = 2**20
SHAPES = {"next to none": (32, 1), "25 million": (512, 8)}
SETTINGS = (
    "iterations=2",
    "batching.prompts_per_iteration=4",
    "batching.completions_per_prompt=4",
    "batching.row_tokens=256",
    "sampling.max_new_tokens=8",
    "filter=none",
    "objective=psr",
    "eval.validation_prompts=1",
    "eval.validation_completions=1",
    "eval.test_completions=1",
    "eval.k=[1]",
    "data.levels=[2]",
    "callbacks=none",
    "reward=custom",
    "reward._target_=tests.training.parity_reward.ParityReward",
)
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}


def peaks(policy: Path, *trainer: str) -> list[float]:
    """Peak resident MiB of each process of a run, the largest first."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "run.py", f"hydra.run.dir={folder}/run", f"model.path={policy}", *SETTINGS, *trainer]
        environment = os.environ | GIVES_BACK | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        seen: dict[int, float] = {}
        while process.poll() is None:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            for pid in [process.pid, *map(int, children.read_text().split() if children.exists() else [])]:
                peak = _peak(pid)
                if peak is not None:
                    seen[pid] = peak
            time.sleep(0.02)
        assert process.returncode == 0, " ".join(command)
    return sorted(seen.values(), reverse=True)


def _peak(pid: int) -> float | None:
    """MiB; None for a process that has ended, or is no rank."""
    try:
        if "run.py" not in Path(f"/proc/{pid}/cmdline").read_text():
            return None
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) / 1024
    except (OSError, KeyError):
        return None


def main() -> None:
    tokenizer = build_tokenizer()
    print(f"{'trainer':<10} {'policy':<14} {'parameters':>12}   peak MiB of each process")
    measured: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (hidden_size, num_layers) in SHAPES.items():
            policy = Policy(build_model(tokenizer, hidden_size=hidden_size, num_layers=num_layers, seed=0), tokenizer)
            path = Path(folder) / name
            policy.save_pretrained(path)
            count = sum(p.numel() for p in policy.parameters())
            for trainer, words in {"cpu": ("trainer=cpu",), "fsdp2": ("trainer=fsdp2", "trainer.devices=2")}.items():
                measured[trainer, name] = found = peaks(path, *words)
                print(f"{trainer:<10} {name:<14} {count:>12,}   {'  '.join(f'{mib:.0f}' for mib in found)}")
    small, large = SHAPES
    one = measured["cpu", large][0] - measured["cpu", small][0]
    rank = measured["fsdp2", large][0] - measured["fsdp2", small][0]
    print(f"for the policy: one process {one:.0f} MiB, a rank of two {rank:.0f} MiB, ratio {rank / one:.2f}")


if __name__ == "__main__":
    main()
