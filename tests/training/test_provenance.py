"""A run says what it was: its code, machine, starting weights and cost, and how to run it again."""

import shlex
import shutil
from importlib.metadata import version
from pathlib import Path

from rsgrpo import run_folder
from tests.checkpoints.same_folder import differences
from tests.processes import ROOT, new_process
from tests.runs import RunPy, records


def test_a_run_says_what_it_was(six_iterations: Path) -> None:
    said = run_folder.read_json(six_iterations / run_folder.RUN)
    assert shlex.split(said["command"])[1:3] == ["run.py", f"hydra.run.dir={six_iterations}"]
    assert said["versions"]["scipy"] == version("scipy")
    assert said["machine"]["threads"] == 1
    assert (six_iterations / run_folder.SOURCE_DIFF).exists() == said.get("git", {}).get("dirty", False)
    name = "tests.training.parity_reward.ParityReward"
    assert said["own_code"] == {name: "own_code/tests/training/parity_reward.py"}
    kept = six_iterations / said["own_code"][name]
    assert kept.read_bytes() == (ROOT / "tests/training/parity_reward.py").read_bytes()


def test_a_finished_run_says_what_it_cost(six_iterations: Path) -> None:
    done = run_folder.read_json(six_iterations / run_folder.DONE)
    metrics = [r for r in records(six_iterations / "metrics.jsonl") if "train/loss_tokens" in r]
    sampled = sum(r["train/completion_tokens_mean"] for r in metrics) * 8 * 4
    results = [r for split in ("validation", "test") for r in records(six_iterations / f"eval/{split}.jsonl")]
    assert done["tokens"] == {
        "sampled": round(sampled),
        "evaluated": round(sum(r["mean_tokens"] * r["n"] for r in results)),
        "trained": sum(r["train/loss_tokens"] for r in metrics),
    }
    assert done["cpu_seconds"] > 0


def test_every_file_of_a_run_is_as_readable_as_the_umask_allows(six_iterations: Path) -> None:
    umask = int(next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("Umask:"))[6:], 8)
    modes = {path: path.stat().st_mode & 0o777 for path in six_iterations.rglob("*")}
    wrong = [path for path, mode in modes.items() if mode != (0o777 if path.is_dir() else 0o666) & ~umask]
    assert len(modes) > 30
    assert wrong == []


def test_the_words_of_a_folder_run_it_again(six_iterations: Path, tmp_path: Path) -> None:
    """As docs/run_folder.md has it, with the copies of the user's own code and nothing of the checkout."""
    python, file, *words = shlex.split(run_folder.read_json(six_iterations / run_folder.RUN)["rerun"])
    assert (python, file) == ("python", "run.py")
    own_code = shutil.copytree(six_iterations / "own_code", tmp_path / "own_code")  # Python may leave compiled files
    path = {"PYTHONPATH": str(own_code)}
    finished = new_process("-m", "rsgrpo", *words, f"hydra.run.dir={tmp_path / 'again'}", cwd=tmp_path, variables=path)
    assert finished.returncode == 0, finished.stderr
    without = tmp_path / "first"
    shutil.copytree(six_iterations, without, ignore=shutil.ignore_patterns("terminal.txt"))
    assert differences(without, tmp_path / "again") == []


def test_a_resumed_run_keeps_what_earlier_processes_said(run_py: RunPy, tmp_path: Path) -> None:
    """Of a base that comes with the package, its hash too."""
    small = ("iterations=1", "batching.prompts_per_iteration=2", "batching.completions_per_prompt=2")
    once = tuple(f"eval.{split}_completions=1" for split in ("validation", "test", "curve"))
    words = ("model.path=null", *once, "eval.k=[1]", "data.levels=[2]", "sampling.max_new_tokens=4")
    run = run_py(tmp_path / "run", *words, settings=small)
    begun = run_folder.read_json(run / run_folder.RUN)
    run_py(run, f"ckpt={run}", "iterations=2")
    said = run_folder.read_json(run / run_folder.RUN)
    assert "earlier" not in begun
    assert [process["command"] for process in said["earlier"]] == [begun["command"]]
    assert f"ckpt={run}" in said["command"]
    assert "ckpt=" not in said["rerun"]
    assert begun["base"] == said["base"] != ""
    assert begun["id"] == said["id"]
