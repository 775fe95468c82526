"""Answers per second of the verification service, and its memory.

    python benchmarks/rewards.py [--workers 2] [--data FOLDER_WITH_math500.jsonl]

Ordinary integers, right and wrong; and, with `--data`, each gold of MATH500 against a rewritten copy of itself, so that
the comparison has to be parsed. Completions differ, so that nothing is compared once for several of them.
"""

import argparse
import json
import random
import time
from collections import Counter
from pathlib import Path

import torch

from rsgrpo.rewards.math_verify import MathVerifyReward
from rsgrpo.types import Completion, Group, Problem, Prompt

GROUP = 16


def group_of(gold: str, answers: list[str]) -> Group:
    """The answers, boxed, as the completions of one prompt."""
    prompt = Prompt(problem=Problem(id=gold, text="", answer=gold), token_ids=(1,))
    texts = [f"Therefore the answer is \\boxed{{{answer}}}." for answer in answers]
    return Group(
        prompt=prompt,
        completions=tuple(
            Completion(token_ids=(1,), logprobs=torch.zeros(1), text=text, finished=True, policy_version=0)
            for text in texts
        ),
    )


def integers(groups: int) -> list[Group]:
    """Groups of 16 different integers, one of them right."""
    rng = random.Random(0)
    golds = [rng.randrange(10**6) for _ in range(groups)]
    return [group_of(str(gold), [str(gold + i) for i in range(GROUP)]) for gold in golds]


def rewritten(folder: Path) -> list[Group]:
    """Each gold of MATH500, once as the answer, in brackets: equal as mathematics and not as text."""
    with (folder / "math500.jsonl").open(encoding="utf-8") as file:
        golds = [str(json.loads(line)["answer"]) for line in file]
    return [group_of(gold, [f"({gold})"]) for gold in golds]


def measure(name: str, groups: list[Group], workers: int) -> None:
    """Score all groups with a warm service and print what that took."""
    reward = MathVerifyReward(workers=workers)
    for pending in [reward.begin(group_of("1", ["2"])) for _ in range(8 * workers)]:
        pending()
    begun = time.perf_counter()
    scores = [score for pending in [reward.begin(group) for group in groups] for score in pending()]
    seconds = time.perf_counter() - begun
    verdicts = Counter(next(iter(score.parts), "right") for score in scores)
    resident = sum(_resident(process) for process in reward.process_ids) / 2**20
    reward.close()
    print(
        f"{name}: {len(scores)} answers in {seconds:.1f} s, {len(scores) / seconds:,.0f}/s with {workers} workers, "
        f"{resident:.0f} MiB resident; {dict(verdicts)}"
    )


def _resident(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    measure("integers", integers(500), arguments.workers)
    if arguments.data is not None:
        measure("MATH500 golds", rewritten(arguments.data), arguments.workers)


if __name__ == "__main__":
    main()
