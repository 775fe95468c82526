"""Graders of mathematical answers, each as a process of its own: one can hang, or eat the memory, and be replaced.

    python benchmarks/graders.py NAME

reads a JSON object with `gold` and `response` a line and answers each with a line, `true` when the grader takes the
response for right. The first line says that it is ready, or what to install.
"""

import importlib.util
import json
import logging
import os
import select
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

LIMIT_S = 2
"""Whole seconds for each step of the two graders that are told a limit."""


def ours() -> Callable[[str, str], bool]:
    """The comparison behind `reward=math_verify`."""
    from rsgrpo.verification.boxes import last_boxed
    from rsgrpo.verification.equality import compare

    return lambda gold, response: compare(gold, last_boxed(response) or "", LIMIT_S) == "right"


def math_verify() -> Callable[[str, str], bool]:
    """math-verify alone, with its defaults; the gold in a box, as its users are told to write it."""
    from math_verify import parse, verify

    def right(gold: str, response: str) -> bool:
        golds, answers = (parse(text, parsing_timeout=LIMIT_S) for text in (rf"\boxed{{{gold}}}", response))
        return verify(golds, answers, timeout_seconds=LIMIT_S)

    return right


def trl() -> Callable[[str, str], bool]:
    """The accuracy reward of TRL, which is math-verify with a configuration of its own; the gold in a box here too."""
    accuracy_reward = importlib.import_module("trl.rewards").accuracy_reward
    return lambda gold, response: accuracy_reward([[{"content": response}]], [rf"\boxed{{{gold}}}"])[0] == 1


def prime_math() -> Callable[[str, str], bool]:
    """The grader prime_math of verl, without the rest of verl, whose import needs Ray."""
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("verl")
    root = spec.submodule_search_locations[0]
    for name in ("verl", "verl.utils", "verl.utils.reward_score"):
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(root, *name.split(".")[1:])]
        sys.modules[name] = package
    compute_score = importlib.import_module("verl.utils.reward_score.prime_math").compute_score
    return lambda gold, response: bool(compute_score(response, gold)[0])


GRADERS = {"ours": ours, "math-verify": math_verify, "trl": trl, "verl": prime_math}
INSTALL = {
    "ours": "pip install -e .",
    "math-verify": "pip install math-verify==0.9.0",
    "trl": "pip install --no-deps trl==1.16.0",
    "verl": "pip install --no-deps verl==0.9.1 pylatexenc==2.11",
}


class Grader:
    """The process of a grader.

    Args:
        command: what runs it; by default this file.
        deadline_s: seconds for one verdict, and sixty times as many for the first line.
    """

    def __init__(self, name: str, *, deadline_s: float = 10, command: list[str] | None = None) -> None:
        self.name, self.deadline_s = name, deadline_s
        self._command = command or [sys.executable, __file__, name]
        self._begin()

    def _begin(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.missing = self._line(60 * self.deadline_s) or "null"
        self.missing = json.loads(self.missing)

    def _line(self, seconds: float) -> str | None:
        """The next line, or None when it is not there in time or the process has ended."""
        output = self._process.stdout
        assert output is not None
        return (output.readline() or None) if select.select([output], [], [], seconds)[0] else None

    def right(self, gold: str, response: str) -> bool | None:
        """The verdict; None when there is none in time: the process is then replaced."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps({"gold": gold, "response": response}) + "\n")
            stdin.flush()
            line = self._line(self.deadline_s)
        except BrokenPipeError:
            line = None
        if line is None:
            self.end()
            self._begin()
            return None
        return json.loads(line)

    def end(self) -> None:
        """End the process and all that it began."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


def main(name: str) -> None:
    """Serve."""
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some graders print

    def say(what: Any) -> None:
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    try:
        grade = GRADERS[name]()
    except ModuleNotFoundError as error:
        say(f"{name} is left out, for there is no module {error.name or error}: {INSTALL[name]}")
        return
    say(None)
    for line in sys.stdin:
        case = json.loads(line)
        try:
            say(grade(case["gold"], case["response"]))
        except Exception:  # a grader that raises on a response takes it for wrong
            say(False)


if __name__ == "__main__":
    main(sys.argv[1])
