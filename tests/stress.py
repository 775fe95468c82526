"""Runs the tests of several processes again and again while every core is busy with something else.

    python tests/stress.py --times 30
    python tests/stress.py --times 30 tests/checkpoints/test_checkpoints.py -k shard

Prints how often they passed, and the output of each round that failed; arguments that it does not know go to pytest.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

FILES = [
    "tests/checkpoints/test_checkpoints.py",
    *(f"tests/distributed/test_{name}.py" for name in ("fsdp2", "ranks", "sharding")),
    *(f"tests/training/test_{name}.py" for name in ("engine_failure", "lora", "vllm_runs")),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30)
    ours, theirs = parser.parse_known_args()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(theirs or FILES)]
    passed = 0
    try:
        for time in range(1, ours.times + 1):
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            passed += done.returncode == 0
            last = done.stdout.strip().splitlines()[-1:]
            print(f"{time}: {'passed' if done.returncode == 0 else 'FAILED'}  {''.join(last)}", flush=True)
            if done.returncode:
                print(done.stdout + done.stderr, flush=True)
    finally:
        for process in busy:
            process.kill()
    print(f"{passed} of {ours.times} rounds passed")
    return int(passed < ours.times)


if __name__ == "__main__":
    sys.exit(main())
