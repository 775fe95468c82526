"""A reward that ends its process, as a kill or Ctrl-C would, at the call that the environment names."""

import os
import signal

from rsgrpo.types import Completion, Prompt, Score

calls = 0


def parity(prompt: Prompt, completion: Completion) -> Score:
    """Right when the number of tokens is even."""
    global calls
    calls += 1
    if calls == int(os.environ.get("DIES_AT_CALL", "-1")):
        os.kill(os.getpid(), signal.Signals[os.environ["DIES_BY"]])
    right = len(completion.token_ids) % 2 == 0
    return Score(value=float(right), correct=right)
