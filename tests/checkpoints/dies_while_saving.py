"""A run that is killed at a chosen step of writing its second checkpoint: `python -m ... STEP ARGUMENTS OF run.py`."""

import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any

DIES_AT = ("while the state is written", "before the manifest", "before it has its name", "after it has its name")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killing(function: Callable[..., Any], call: int, *, after: bool = False) -> Callable[..., Any]:
    """The function as it is, until death comes before (or after) the given call of it."""
    calls = []

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == call and not after:
            kill()
        result = function(*args, **kwargs)
        if len(calls) == call:
            kill()
        return result

    return wrapped


if __name__ == "__main__":
    import torch

    from rsgrpo.checkpoints import manifest, saving

    step = sys.argv[1]
    if step == "while the state is written":
        whole, calls = torch.save, []

        def half(content: Any, out: Any, *args: Any, **kwargs: Any) -> None:
            calls.append(1)
            whole(content, out, *args, **kwargs)
            if len(calls) == 2:
                out.flush()
                os.ftruncate(out.fileno(), out.tell() // 2)
                kill()

        torch.save = half
    elif step == "before the manifest":
        manifest.finish_checkpoint = killing(manifest.finish_checkpoint, 2)
    elif step == "before it has its name":
        manifest.sync_folder = killing(manifest.sync_folder, 3)  # twice for each checkpoint
    else:
        saving.save = killing(saving.save, 2, after=True)
    sys.argv = ["run.py", *sys.argv[2:]]
    runpy.run_path("run.py", run_name="__main__")
