"""Seconds and memory of `task=report` or `task=compare` on many long runs, which are made up.

    python benchmarks/report_speed.py                                          # 24 runs of 1,000 iterations
    python benchmarks/report_speed.py --task compare --runs 120 --iterations 300

Every run has test and validation curves (every 10th iteration) and a record of each visited prompt. On one core the
report of 24 runs has to take less than 30 seconds and 1 GiB, and the comparison of 120 runs less than 20 seconds.
`--folder FOLDER` keeps the runs.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
ARMS = (("grpo.GRPO", None), ("rs_grpo.RSGRPO", 2.0), ("rs_grpo.RSGRPO", 4.0), ("rs_grpo.RSGRPO", 8.0))
PROBLEMS, SAMPLES, EVERY, PROMPTS, TRAIN = 255, 64, 10, 32, 510
METRICS = (
    *(
        f"train/{name}"
        for name in ("reward_mean", "accuracy", "cumulative_solve_rate", "entropy", "advantage_rms", "loss")
    ),
    *(f"train/{name}" for name in ("grad_norm", "clip_fraction", "loss_tokens")),
    *(f"time/{name}_s" for name in ("step", "rollout", "update")),
)


def write_run(folder: Path, arm: int, seed: int, iterations: int) -> None:
    """A run whose accuracy rises faster the further behind its arm is in the list."""
    rng = np.random.default_rng([arm, seed])
    target, beta = ARMS[arm]
    (folder / "eval").mkdir(parents=True)
    objective = {"_target_": f"rsgrpo.objectives.{target}"} | ({} if beta is None else {"beta": beta})
    config = {
        "seed": seed,
        "iterations": iterations,
        "task": {"_target_": "rsgrpo.tasks.train.train"},
        "objective": objective,
        "schedule": {"_target_": "rsgrpo.schedules.constant.Constant"},
        "model": {"path": None, "pretrain": {"seed": seed}},
        "batching": {"prompts_per_iteration": PROMPTS, "completions_per_prompt": 16},
        "eval": {"k": [1, 4, 32]},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "overrides.yaml").write_text("[]")
    (folder / "run.json").write_text(json.dumps({"format": 2, "id": folder.name}))
    hardness = np.random.default_rng(0).normal(1, 2, PROBLEMS)
    for split, problems in (("test", PROBLEMS), ("validation", 128)):
        with (folder / "eval" / f"{split}.jsonl").open("w") as file:
            for iteration in range(0, iterations + 1, EVERY):
                chance = 1 / (1 + np.exp(hardness[:problems] - (1 + 0.2 * arm) * iteration / iterations))
                for i, correct in enumerate(rng.binomial(SAMPLES, chance).tolist()):
                    facts = {"numbers": [2, 3, 12], "level": 1}
                    row = {"iteration": iteration, "problem_id": f"countdown/{i}", "n": SAMPLES, "correct": correct}
                    row |= {"mean_tokens": 22.0, "truncated": 0, "facts": facts, "parts": {"wrong_value": 1.0}}
                    file.write(json.dumps(row) + "\n")
    with (folder / "metrics.jsonl").open("w") as file, (folder / "prompts.jsonl").open("w") as prompts:
        for iteration in range(iterations + 1):
            if iteration:
                values = dict(zip(METRICS, rng.random(len(METRICS)).tolist(), strict=True))
                values |= {f"train/reward/part_{i}": 0.1 for i in range(20)} | {"train/completion_tokens_mean": 22.0}
                file.write(json.dumps({"iteration": iteration, **values}) + "\n")
                for problem in rng.choice(TRAIN, PROMPTS, replace=False).tolist():
                    correct = int(rng.binomial(16, 0.3))
                    visit = {"iteration": iteration, "prompt": f"countdown/train-{problem}", "n": 16}
                    visit |= {"correct": correct, "reward_mean": correct / 16, "dropped": None}
                    prompts.write(json.dumps(visit) + "\n")
            if iteration % EVERY == 0:
                tested = {f"eval/{s}/pass@{k}": float(rng.random()) for s in ("test", "validation") for k in (1, 4, 32)}
                file.write(json.dumps({"iteration": iteration, **tested}) + "\n")
    last = {
        "iteration": iterations,
        "problem": "1 2 3",
        "prompt": "countdown/train-1",
        "completion": "6",
        "reward": 1.0,
    }
    (folder / "rollouts.jsonl").write_text(json.dumps(last | {"correct": True}) + "\n")
    (folder / "done.json").write_text(json.dumps({"iteration": iterations}))


def main() -> None:
    """Write the runs, report on them, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=("report", "compare"), default="report")
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where the runs are kept; a temporary folder otherwise")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        for i in range(options.runs):
            run = folder / "runs" / f"run{i}"
            if not run.exists():
                write_run(run, i % len(ARMS), i // len(ARMS), options.iterations)
        words = [f"task={options.task}", f"runs={folder / 'runs'}", f"hydra.run.dir={folder / f'at_{time.time_ns()}'}"]
        begun = time.perf_counter()
        subprocess.run([sys.executable, str(ROOT / "run.py"), *words], check=True)
        seconds = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy, gib = used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20
    took = f"{seconds:.1f} s ({busy:.1f} s of them on the processor), {gib:.2f} GiB"
    print(f"{options.runs} runs of {options.iterations:,} iterations: {took}")


if __name__ == "__main__":
    main()
