"""A process alone hears itself; which one is first is known before they meet."""

import pytest
import torch.distributed as dist

from rsgrpo.distributed import ranks
from rsgrpo.errors import UserError
from rsgrpo.training.datamodule import PromptData
from rsgrpo.types import Problem, Prompt
from tests.processes import python


def test_a_process_alone_is_all_ranks() -> None:
    assert (ranks.index(), ranks.count()) == (0, 1)
    assert ranks.gather({"a": 1}) == [{"a": 1}]
    ranks.barrier()
    ranks.leave()


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, True),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0"}, False),  # Lightning's launcher
        ({"NODE_RANK": "1"}, False),  # the first process of a second node, before it starts the others
        ({"RANK": "8", "LOCAL_RANK": "0"}, False),  # torchrun on a second node
        ({"SLURM_PROCID": "0"}, True),
        ({"SLURM_PROCID": "3"}, False),
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, False),  # Lightning's launcher inside a batch job
    ],
)
def test_the_first_process_is_known_from_its_environment(
    environment: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dist, "is_initialized", lambda: False)
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ranks.is_first() is first


@pytest.mark.parametrize(("rank", "first"), [(0, True), (1, False)])
def test_ranks_that_have_met_know_the_first_whatever_the_environment_says(
    rank: int, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", str(1 - rank))
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: rank)
    assert ranks.is_first() is first


def prompts(*texts: str) -> list[Prompt]:
    return [Prompt(problem=Problem(id=t, text=t, answer=t), token_ids=(1,)) for t in texts]


def test_ranks_that_read_other_problems_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = PromptData(prompts("a", "b"), prompts("c"), [])
    mine.setup("fit")
    others: list[dict[str, str]] = []
    monkeypatch.setattr(ranks, "gather", lambda value: others.append(value) or [value])
    PromptData(prompts("a", "b"), prompts("c", "d"), []).setup("fit")
    monkeypatch.setattr(ranks, "gather", lambda value: [value, value, others[0]])
    with pytest.raises(UserError, match=r"^data: rank 2 has read another validation split than rank 0; give all"):
        mine.setup("fit")


ENDS = """
import atexit, os, sys
import torch.distributed as dist
from rsgrpo.distributed import ranks

class Last:
    def __del__(self, write=os.write):
        write(1, b"Python was taken apart")

last = Last()
atexit.register(print, "at exit")

def main():
    if sys.argv[1] == "met":
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    {end}

ranks.exit_with(main)
"""


@pytest.mark.parametrize(
    ("met", "end", "code", "words"),
    [
        (True, "ranks.leave(); return 0", 0, ""),
        (True, "return 3", 3, ""),
        (True, "ranks.leave(); sys.exit(130)", 130, ""),
        (True, "ranks.leave(); sys.exit('a sentence')", 1, "a sentence"),
        (True, "ranks.leave(); 1 / 0", 1, "ZeroDivisionError: division by zero"),
        (False, "sys.exit('a sentence')", 1, "a sentence"),
        (False, "1 / 0", 1, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_process_that_has_met_others_ends_before_python_is_taken_apart(
    met: bool, end: str, code: int, words: str
) -> None:
    """A thread of gloo that is still at its last collective then would abort it: now and then, on a busy machine."""
    done = python("-c", ENDS.format(end=end), "met" if met else "alone")
    assert done.returncode == code
    assert done.stderr.strip().endswith(words)
    assert bool(done.stderr) == bool(words)
    assert done.stdout.splitlines() == ["at exit", *([] if met else ["Python was taken apart"])]
