"""The GPU memory that whole runs take, beside their plan.

    python benchmarks/gpu_peaks.py [--shape Qwen/Qwen3-0.6B] [--only vllm 8bit ...] [--iterations 2]

Random weights at the model's real widths and depth. Each run is planned with its own words (`task=plan`), then started
in a process of its own; the card must have no other user. `sample` is held against the rollout's memory, `train` and
`step` against the update's, whose larger one shows: what PyTorch has taken stays taken until the stage ends.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from rsgrpo import run_folder
from rsgrpo.doctor.copied import write_copy
from rsgrpo.planning.architecture import architecture_of
from rsgrpo.workers.last_words import last_words

COMMON = (
    *("model=qwen3_0_6b", "model.chat_template=false", "data=countdown"),
    *("reward=countdown", "demonstrations=countdown"),
    *("filter=none", "logger=csv", "batching.prompts_per_iteration=8", "batching.completions_per_prompt=16"),
    *("batching.prompts_per_update=4", "batching.row_tokens=8192", "sampling.max_new_tokens=256"),
    *("eval.sampling.max_new_tokens=1", "eval.base=false"),
    *("eval.validation_prompts=1", "eval.validation_completions=1"),
    *("eval.test_completions=1", "eval.k=[1]", "eval.every=100", "callbacks.checkpoint.every=100"),
)
VLLM = ("trainer=gpu", "rollout=vllm", "rollout.enforce_eager=true")
RUNS: Mapping[str, tuple[str, ...]] = {
    "hf": ("trainer=gpu", "rollout=hf"),
    "cpu_offload": ("trainer=fsdp2", "trainer.devices=1", "trainer.cpu_offload=true", "rollout=hf"),
    "vllm": VLLM,
    "8bit": (*VLLM, "optimizer=adamw8bit", "trainer.offload_optimizer=true", "rollout.sleep=true"),
    "adapter": (*VLLM, "model.lora.rank=8", "rollout.adapter=true"),
    "graphs": ("trainer=gpu", "rollout=vllm"),
    "compile": ("trainer=gpu", "rollout=hf", "trainer.compile=true"),
}


def run(words: tuple[str, ...], folder: Path) -> str | None:
    """One command of `rsgrpo`; its last words, where it fails."""
    command = [sys.executable, "-m", "rsgrpo", *words, f"hydra.run.dir={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (folder.parent / f"{folder.name}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode == 0:
        return None
    return last_words(done.stdout + done.stderr)


def planned(folder: Path) -> dict[str, float]:
    """GiB by phase."""
    plan = json.loads((folder / run_folder.PLAN).read_text(encoding="utf-8"))
    return {name: phase["total"] for name, phase in plan["phases"].items()}


def measured(folder: Path) -> dict[str, float]:
    """GiB by stage, the largest of all iterations."""
    found: dict[str, float] = {}
    for line in (folder / run_folder.METRICS).read_text(encoding="utf-8").splitlines():
        for name, value in json.loads(line).items():
            if name.startswith("memory/"):
                found[name] = max(found.get(name, 0.0), value)
    return {name.removeprefix("memory/").removesuffix("_gib"): value for name, value in found.items()}


def seconds(folder: Path) -> float:
    """Of the last iteration."""
    steps = [json.loads(line) for line in (folder / run_folder.METRICS).read_text(encoding="utf-8").splitlines()]
    return [record["time/step_s"] for record in steps if "time/step_s" in record][-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="Qwen/Qwen3-0.6B", help="a model that `task=plan` has the description of")
    parser.add_argument("--only", nargs="+", default=list(RUNS), metavar="RUN", choices=list(RUNS))
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--layers", type=int, default=1000, help="at most so many of the model's")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: only tries the words of hf")
    parser.add_argument("--folder", type=Path, help="where runs and logs stay (default: a temporary folder)")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu_peaks needs an NVIDIA GPU that PyTorch can use; --device cpu only tries its words", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        write_copy(architecture_of(options.shape), None, folder / "copy", layers=options.layers, device=options.device)
        torch.cuda.empty_cache()
        common = (*COMMON, f"model.path={folder / 'copy'}", f"iterations={options.iterations}")
        if options.device == "cpu":
            common = (*common, "sampling.max_new_tokens=8", "trainer.accelerator=cpu")
        print(f"{'run':<12} {'sample':>14} {'train or step':>14} {'sync':>14}   GiB, planned and found; s a step")
        failures = 0
        for name in options.only:
            begun = time.perf_counter()
            words = (*common, *RUNS[name])
            failed = run(("task=plan", *words), folder / f"{name}_plan") or run(words, folder / name)
            if failed is not None:
                failures += 1
                print(f"{name:<12} failed: {failed}", flush=True)
                continue
            plan, found = planned(folder / f"{name}_plan"), measured(folder / name)
            pairs = (
                (plan["sample"], found.get("rollout")),
                (max(plan["train"], plan["step"]), found.get("update")),
                (plan["sync"], found.get("sync")),
            )
            cells = " ".join(f"{p:>6.1f} {'-' if f is None else format(f, '.1f'):>7}" for p, f in pairs)
            whole = time.perf_counter() - begun
            print(f"{name:<12} {cells}   {seconds(folder / name):.1f}; {whole:.0f} s in all", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
