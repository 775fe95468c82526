"""Command lines with mistakes of every kind: one sentence and exit code 2, nothing left behind, and the cure works.

Valid command lines are mutated at random. Each is composed and checked as `python run.py` does it, in this process, up
to where something dear would begin: weights, sampling, enumeration. A few are then given to real processes.
"""

import contextlib
import io
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import rsgrpo.composition.assemble
import rsgrpo.composition.policy
import rsgrpo.tasks.audit
import rsgrpo.tasks.bandit
import rsgrpo.tasks.bench
import rsgrpo.tasks.lemmas
import rsgrpo.tasks.pretrain
import rsgrpo.tasks.score
from rsgrpo import main as command_line
from rsgrpo.command_line.keys import choices, groups_of, written_keys
from rsgrpo.command_line.sweep import Sweep
from rsgrpo.errors import UserError
from tests.comparison.reports import write_arms

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
DEADLINE_S = 60
"""Far beyond what any of them takes: what hangs is found, and no busy machine is blamed."""
MOST_MEMORY = 6 * 2**30
"""Bytes that this process may have held at any time."""


class Begun(BaseException):
    """Everything cheap was checked, and a task would begin with what is dear."""


@dataclass(frozen=True)
class Ended:
    """What a command line came to."""

    code: int | None
    """None where the task would have begun."""
    said: str
    out: str
    left: tuple[str, ...]
    """What it left in the folder that was not there before."""


def _begin(*_: object, **__: object) -> NoReturn:
    raise Begun


@pytest.fixture(scope="module")
def seams() -> Iterator[None]:
    """Each task ends where it would first load weights, sample, enumerate or score."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rsgrpo.composition.assemble, "load_policy", _begin)
        patch.setattr(rsgrpo.composition.policy, "base_folder", _begin)
        patch.setattr(rsgrpo.tasks.pretrain, "make_base", _begin)
        patch.setattr(rsgrpo.tasks.bench, "run_jobs", _begin)
        for task in (rsgrpo.tasks.audit, rsgrpo.tasks.bandit, rsgrpo.tasks.lemmas, rsgrpo.tasks.score):
            patch.setattr(task, "check_run_folder", _begin)
        patch.setattr(rsgrpo.tasks.audit, "every_objective", _begin)  # composes each of them
        patch.setattr(rsgrpo.tasks.bench, "run_jobs", _begin)
        patch.setenv("HYDRA_FULL_ERROR", "1")
        patch.delenv("RSGRPO_TRACEBACK", raising=False)
        yield


def _main(cfg: Any) -> None:
    command_line.run_task(cfg)


MAIN = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(_main)


def _too_long(*_: object) -> NoReturn:
    raise TimeoutError(f"not done after {DEADLINE_S} s")


def attempt(words: list[str], folder: Path) -> Ended:
    """Run a command line in `folder`, in this process; what is no mistake of the user's is raised."""
    GlobalHydra.instance().clear()
    command_line._SWEEP = Sweep()  # a process has one
    out, err = io.StringIO(), io.StringIO()
    code: int | None
    before = set(folder.rglob("*"))
    old, alarm = sys.argv, signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(DEADLINE_S)
    try:
        sys.argv = [str(ROOT / "run.py"), *words]
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = command_line.start(MAIN, CONF)
    except Begun:
        code = None
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
        sys.argv = old
    left = tuple(sorted(str(path.relative_to(folder)) for path in set(folder.rglob("*")) - before))
    return Ended(code, err.getvalue(), out.getvalue(), left)


# Valid command lines, and what may go wrong with them

KEYS = sorted(key for key in written_keys(CONF) if not re.search(r"defaults|[ @/]|\.hydra|^hydra", key))
GROUPS = sorted(group for group in groups_of(CONF) if "/" not in group and group not in ("dataset", "launcher"))


def _readme() -> list[list[str]]:
    """The command lines of the README, but those that need a run of the reader's."""
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"^    python run\.py(.*)$", text, re.MULTILINE)
    return [
        shlex.split(line, comments=True)
        for line in lines
        if not re.search(r"RUN|/path|ckpt|rollout=vllm|data\.path|launcher", line)
    ]


VALID = [
    *_readme(),
    *([f"{group}={c}"] for group in GROUPS for c in choices(group, CONF) if c not in ("custom", "temperatures")),
    ["task=evaluate", "eval=temperatures"],
    *([f"task={task}", "objective.beta=4"] for task in ("train", "audit", "bandit", "evaluate")),
    ["task=lemmas", "task.arms=5", "task.points=10"],
    ["task=bandit", "bandit=seeds", "bandit.pulls=1600", "bandit.window=160"],
    ["task=evaluate", "task.splits=[validation,test]"],
    ["-m", "objective=grpo,rs_grpo", "seed=0,1"],
    ["schedule=cosine", "schedule.start=8", "sampling.temperature=1.0"],
    ["model.lora.rank=4", "model.lora.target_modules=[q_proj]", "optimizer.betas=[0.9,0.99]"],
]

ODD = [
    *("abc", "", "-1", "0", "1.5", "1e400", "1e300", "nan", "inf", "-inf", "true", "null", "[1]", "[]", "{a:1}", "{}"),
    *(
        "[a,b]",
        "[[1],[2]]",
        "'a b'",
        '"',
        "'",
        "a b",
        "é",
        "日本",
        "٣",
        "\uff11",
        "1\n2",
        "'x\n  y'",
        "a=b",
        "a:b",
        "1,2",
        "range(1,3)",
    ),
    *(
        "${seed}",
        "${nope}",
        "${oc.env:NOPE}",
        "${objective}",
        "${objective.beta}",
        "${",
        "$",
        "${oc.decode:'['}",
        "???",
    ),
    *("1" + "0" * 40, "1" + "0" * 400, "1000000000", "-1000000000000", "1e-300", "'" + "x" * 5000 + "'", "[" * 300),
    *(
        "/",
        "/etc/passwd/x",
        "nofile.jsonl",
        "../..",
        "~",
        "%s",
        "{0}",
        "\\",
        "*",
        "&",
        "glob(*)",
        "int(x)",
        "!!python/object:os.system",
    ),
]
"""Values of the wrong type, size or spelling."""

FLAGS = [
    *(
        ["-m"],
        ["--multirun"],
        ["--mult"],
        ["--conf", "x"],
        ["--config-name", "nope"],
        ["--config-name", "objective/grpo"],
    ),
    *(
        ["--config-path", "nope"],
        ["-cd", "nope"],
        ["--seed", "3"],
        ["--seed=3"],
        ["-lr", "3"],
        ["--cfg", "nope"],
        ["--cfg", "job"],
    ),
    *(
        ["-c", "job", "--resolve"],
        ["--resolve"],
        ["--info", "x=1"],
        ["-m", "--cfg", "job"],
        ["--package", "nope", "--cfg", "job"],
    ),
    *(["--experimental-rerun", "x.pickle"], ["--gpus", "4"], ["--help"], ["-x"], ["--version"], ["--shell-completion"]),
]

EXTRA = [
    *(
        "~objective",
        "~seed",
        "~optimizer",
        "~optimizer.lr",
        "~model.path",
        "~callbacks.timing",
        "~callbacks.timming",
        "~nope",
    ),
    *(
        "+seed=1",
        "+seeds=1",
        "++seed=x",
        "+objective.tau=1",
        "+trainer.max_epochs=3",
        "+trainer.accumulate_grad_batches=2",
    ),
    *(
        "+logger.foo=1",
        "+callbacks.mine=3",
        "+callbacks.mine._target_=callbacks.timming.X",
        "objective@x=grpo",
        "objective@=grpo",
    ),
    *(
        "hydra.run.dir=/proc/x",
        "hydra.output_subdir=x",
        "hydra.job.chdir=true",
        "hydra=1",
        "hydra.nope=1",
        "hydra/launcher=nope",
    ),
    *(
        "hydra/job_logging=default",
        "hydra.mode=MULTIRUN",
        "hydra.sweep.dir=[a]",
        "+dataset=math500",
        "objective._target_=os.system",
    ),
    *(
        "objective._target_=nope.Nope",
        "objective._target_=3",
        "task._target_=os.system",
        "data._target_=builtins.dict",
        "kl=0.1",
    ),
    *(
        "batch_size=4",
        "learning_rate=1e-3",
        "beta=3",
        "optimizer=sgd",
        "batching=big",
        "sampling=greedy",
        "grpo",
        "=3",
        "seed",
        "--",
    ),
    *(
        "ckpt=nope",
        "ckpt=3",
        "ckpt=[a]",
        "model=qwen3-4b",
        "experiment=null",
        "callbacks=null",
        "objective=[grpo,rs_grpo]",
    ),
]


def misspelt(word: str, at: int, how: str) -> str:
    """A word with one letter lost, doubled or exchanged."""
    at %= max(1, len(word))
    middle = {"lost": "", "doubled": word[at : at + 1] * 2, "exchanged": word[at : at + 2][::-1], "other": "q"}[how]
    return word[:at] + middle + word[at + (2 if how == "exchanged" else 1) :]


HOW = st.sampled_from(["lost", "doubled", "exchanged", "other"])
PLACES = st.integers(0, 40)
VALUES = st.one_of(
    st.sampled_from(ODD),
    st.integers(-(10**45), 10**45).map(str),
    st.floats().map(str),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
)


@st.composite
def mistakes(draw: st.DrawFn) -> list[str]:
    """A valid command line with something done to it, mostly one thing."""
    words = list(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
        kind = draw(st.sampled_from(["value", "value", "value", "key", "choice", "group", "extra", "flag", "doubled"]))
        settable = [i for i, word in enumerate(words) if "=" in word and not word.startswith("-")]
        at = draw(st.integers(0, len(words)))
        if kind == "value":
            words.insert(at, f"{draw(st.sampled_from(KEYS))}={draw(VALUES)}")
        elif kind == "key":
            words.insert(
                at, f"{misspelt(draw(st.sampled_from(KEYS)), draw(PLACES), draw(HOW))}={draw(st.sampled_from(ODD))}"
            )
        elif kind == "choice":
            group = draw(st.sampled_from([group for group in GROUPS if choices(group, CONF)]))
            word = draw(st.sampled_from(choices(group, CONF)))
            words.insert(at, f"{group}={misspelt(word, draw(PLACES), draw(HOW))}")
        elif kind == "group":
            words.insert(at, f"{draw(st.sampled_from(GROUPS))}={draw(VALUES)}")
        elif kind == "extra":
            words.insert(at, draw(st.sampled_from(EXTRA)))
        elif kind == "flag":
            words[at:at] = draw(st.sampled_from(FLAGS))
        elif settable:
            i = draw(st.sampled_from(settable))
            words.append(f"{words[i].partition('=')[0]}={draw(st.sampled_from(ODD))}")
    return words


# What is held of each


def key_of(word: str) -> str:
    return word.lstrip("+~-").partition("=")[0]


def cured(words: list[str], said: str) -> list[str] | None:
    """The command line with the cure of a message applied; None where it proposes nothing that could be typed."""
    if found := re.search(r"(\S+): no such key; did you mean (\S+)\?", said):
        return [word.replace(found[1], found[2], 1) if key_of(word) == found[1] else word for word in words]
    if found := re.search(r"(\S+)=(\S+): no such choice, did you mean (\S+)\?", said):
        return [f"{found[1]}={found[3]}" if word.endswith(f"{found[1]}={found[2]}") else word for word in words]
    if found := re.search(r"\btry ((?:\+?[\w.]+=\S+ ?)+)", said):
        cure = [word.rstrip(",;") for word in found[1].split()]
        return [*(word for word in words if key_of(word) not in {key_of(new) for new in cure}), *cure]
    if found := re.search(r"(?:no plain word|without dashes): (.+)$", said.strip()):
        new = shlex.split(found[1])
        return [*(word for word in words if key_of(word) not in {key_of(w) for w in new}), *new]
    if found := re.search(r"leave (?:it|this) out|remove (\S+)$", said):
        head = re.match(r"(?:error: )?[+~]*(?:hydra[./])?[\w.]+", said.strip())
        key = key_of(head[0].removeprefix("error: ")) if head else ""
        kept = [word for word in words if key_of(word) != key and not key_of(word).startswith(f"{key}.")]
        return kept if len(kept) < len(words) else None
    return None


def check(words: list[str], folder: Path, counted: Counter[str]) -> None:
    """The promises: an exit code of 0 or 2, one sentence, nothing left, and a cure that works."""
    ended = attempt(words, folder)
    described = f"{words}\n{ended.said}"
    counted["command lines"] += 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < MOST_MEMORY, described
    assert "Traceback" not in ended.said + ended.out, described
    if ended.code is None or ended.code == 0:
        counted["begun" if ended.code is None else "shown"] += 1
        return
    assert ended.code == command_line.USER_ERROR, described
    assert ended.left == (), f"{described}\nleft behind: {ended.left}"
    sentences = [line for line in ended.said.strip().splitlines() if not line.startswith("note: ")]
    of_jobs = "jobs failed:" in ended.said  # a sweep goes on, and names those that failed at its end
    assert len(sentences) == 1 or of_jobs, described
    assert sentences[0].startswith("error: "), described
    assert len(sentences[0]) < 2000, described
    assert "Config search path" not in ended.said, described
    counted["refused"] += 1
    cure = cured(words, ended.said)
    if cure is not None and cure != words:
        again = attempt(cure, folder)
        counted["cures typed"] += 1
        assert again.code != ended.code or again.said != ended.said, f"{described}\nits cure says the same: {cure}"


FUZZ = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "print_blob": False}


@pytest.mark.usefixtures("seams", "as_users_run_it")
@pytest.mark.parametrize("examples", [16, pytest.param(40, marks=pytest.mark.slow)])
def test_a_mistake_on_the_command_line_is_one_sentence_and_its_cure_works(examples: int, tmp_path: Path) -> None:
    @settings(max_examples=examples, derandomize=True, **FUZZ)
    @given(mistakes())
    def fuzz(words: list[str]) -> None:
        check(words, tmp_path, counted)

    counted: Counter[str] = Counter()
    fuzz()
    assert counted["refused"] > examples // 4, counted  # else the mutations hit nothing


@pytest.mark.usefixtures("seams", "as_users_run_it")
def test_a_task_that_is_refused_after_it_made_folders_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        (made,) = tmp_path.glob("outputs/*/temperature0.6")
        raise UserError(f"these weights are damaged, says {made.name}")

    monkeypatch.setattr(rsgrpo.composition.assemble, "load_policy", refuse)
    ended = attempt(["task=evaluate", "eval=temperatures"], tmp_path)
    assert ended.said.endswith("error: these weights are damaged, says temperature0.6\n")
    assert ended.left == ()


EXPLORES = pytest.mark.skipif("FUZZ" not in os.environ, reason="looks for new mistakes: FUZZ=1 make test SLOW=1")


@EXPLORES
@pytest.mark.slow
@pytest.mark.usefixtures("seams", "as_users_run_it")
@pytest.mark.parametrize("part", range(4))
def test_hundreds_of_mistakes(part: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other ones in each part; together more than 500."""

    @seed(part)
    @settings(max_examples=150, **FUZZ)
    @given(mistakes())
    def fuzz(words: list[str]) -> None:
        check(words, tmp_path, counted)

    counted: Counter[str] = Counter()
    fuzz()
    with capsys.disabled():
        print(f" {', '.join(f'{number} {what}' for what, number in counted.items())}")
    assert counted["command lines"] >= 150
    assert counted["refused"] > 40, counted


@pytest.mark.slow
@pytest.mark.usefixtures("seams", "as_users_run_it")
@pytest.mark.parametrize(
    "words",
    [words for words in VALID if not any("my_objective" in word for word in words)],  # that one the reader writes
    ids=lambda words: " ".join(words)[:80] or "nothing",
)
def test_what_is_mutated_is_valid(words: list[str], tmp_path: Path) -> None:
    """Else a mutation would only be told what is wrong anyway."""
    write_arms(tmp_path / "outputs" / "SWEEP", seeds=2)
    ended = attempt(words, tmp_path)
    machine = re.search(r"GPU|hub|weights|not installed|not met|pip install|make vllm|is not set|HF_HUB", ended.said)
    assert ended.code in (None, 0) or machine, ended.said


PROCESSES = [
    "seed=1 -m iterations=x,y",
    "--seed 3 objective=grpo",
    "optimizer=sgd",
    "+trainer.accumulate_grad_batches=2",
    "model=qwen3-4b",
    "hydra.output_subdir=x",
    "-m objective=grpo,nope",
    "task=lemmas task.bandits=100000000000",
    "batching.completions_per_prompt=1000000000",
    "iterations=1000000000000000000000000000000",
    "objective.beta='${oc.env:NOPE}'",
    "callbacks.timing=3 task=evaluate",
    "callbacks.completions.groups=${objective}",
    "rollout._partial_=[a,b]",
    "+callbacks.mine._target_=callbacks.timming.X",
    "task=bandit bandit.optimizer.lr=abc",
    "--config-name nope",
    "model.path=é",
]


@EXPLORES
@pytest.mark.slow
@pytest.mark.usefixtures("seams", "as_users_run_it")
@pytest.mark.parametrize("line", PROCESSES)
def test_a_real_process_says_the_same(line: str, tmp_path: Path) -> None:
    words = shlex.split(line)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    ended = attempt(words, here)
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words],
        cwd=there,
        env=os.environ | {"RSGRPO_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stderr.replace(str(there), str(here))
    assert (done.returncode, said) == (2, ended.said), time.monotonic() - begun
    assert list(there.iterdir()) == []
