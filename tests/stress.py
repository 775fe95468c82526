"""Runs the tests of several processes again and again, several rounds at once, so that every core is always busy.

    python tests/stress.py --times 30
    python tests/stress.py --times 30 tests/checkpoints/test_checkpoints.py -k shard

Prints how often they passed, and the output of each round that failed; arguments that it does not know go to pytest.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
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
    parser.add_argument("--at-once", type=int, default=2 * len(os.sched_getaffinity(0)))
    ours, theirs = parser.parse_known_args()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(theirs or FILES)]

    def one_round() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    passed = 0
    with ThreadPoolExecutor(ours.at_once) as rounds:
        begun = [rounds.submit(one_round) for _ in range(ours.times)]
        for number, finished in enumerate(as_completed(begun), start=1):
            done = finished.result()
            passed += done.returncode == 0
            last = done.stdout.strip().splitlines()[-1:]
            print(f"{number}: {'passed' if done.returncode == 0 else 'FAILED'}  {''.join(last)}", flush=True)
            if done.returncode:
                print(done.stdout + done.stderr, flush=True)
    print(f"{passed} of {ours.times} rounds passed")
    return int(passed < ours.times)


if __name__ == "__main__":
    sys.exit(main())
