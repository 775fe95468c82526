"""Rewards as they should not be: what each does depends on the text of the completion."""

import os
import time

from rsgrpo.types import Completion, Prompt, Score

RIGHT = Score(value=1.0, correct=True)


def bad(prompt: Prompt, completion: Completion) -> Score:
    """1 for most texts; hangs, exits, forks, eats memory, raises or prints for the others."""
    match completion.text:
        case "hangs":
            while True:
                time.sleep(1)
        case "hangs with a child":
            if os.fork() == 0:
                os.setpgid(0, 0) if prompt.problem.answer == "of another group" else None
            time.sleep(1000)
        case "exits":
            os._exit(0)
        case "leaves":
            raise SystemExit(0)
        case "forks":
            os.fork()
        case "eats memory":
            return Score(value=float(len(bytearray(2**40))), correct=True)
        case "raises":
            raise KeyError("numbers")
        case "nothing":
            return None  # type: ignore[return-value]
        case "prints":
            print("one\ntwo")
        case "kills":
            os.kill(os.getppid(), 0)  # it may look, and knows whom
    return RIGHT


class Counts:
    """The number of completions that this copy of it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        self.seen += 1
        return Score(value=float(self.seen), correct=True, parts={"seen": float(self.seen)})


class Finds:
    """A reward that finds answers, and hangs over one."""

    one_right_answer = True

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return RIGHT

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        if completion.text == "hangs":
            time.sleep(1000)
        print(f"looked at {completion.text}")
        return completion.text or None
