"""A run goes on wherever its data and its base model lie by then, as long as they are those that it began with."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from rsgrpo import run_folder
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from tests.processes import ROOT, python
from tests.runs import records

SETTINGS = (
    *("data=local", "reward=arithmetic", "data.suffix=''", "data.columns={problem:problem,answer:answer}"),
    *("filter=none", "objective.beta=4", "iterations=1", "batching.prompts_per_iteration=2"),
    *("batching.completions_per_prompt=2", "optimizer.lr=1e-3", "sampling.max_new_tokens=4", "logger=csv"),
)


def run_py(*words: str) -> subprocess.CompletedProcess[str]:
    return python("run.py", *words, variables={"PYTHONPATH": str(ROOT)})


@pytest.mark.slow
def test_data_and_base_may_move_but_not_change(random_policy: Path, tmp_path: Path) -> None:
    run, data, base = tmp_path / "run", tmp_path / "a.jsonl", tmp_path / "base"
    rows = [{"problem": f"{a} + {a}", "answer": str(2 * a)} for a in range(2, 8)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(random_policy, base)
    begun = run_py(*SETTINGS, f"hydra.run.dir={run}", f"data.path={data}", f"model.path={base}")
    assert begun.returncode == 0, begun.stderr
    before = records(run / run_folder.PROMPTS)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    here = (f"data.path={data.rename(elsewhere / 'a.jsonl')}", f"model.path={base.rename(elsewhere / 'base')}")
    other = elsewhere / "other"
    tokenizer = build_tokenizer()
    Policy(build_model(tokenizer, hidden_size=64, num_layers=2, seed=1), tokenizer).save_pretrained(other)
    changed = run_py(f"ckpt={run}", "iterations=2", here[0], f"model.path={other}")
    assert changed.returncode == 2
    assert f"error: ckpt={run}: its base model was {base}, and model.path={other} holds other weights" in changed.stderr

    (elsewhere / "c.jsonl").write_text("".join(json.dumps(row | {"answer": "0"}) + "\n" for row in rows))
    changed = run_py(f"ckpt={run}", "iterations=2", f"data.path={elsewhere / 'c.jsonl'}", here[1])
    assert changed.returncode == 2
    assert f"error: ckpt={run}: its train split had 6 problems" in changed.stderr
    assert records(run / run_folder.PROMPTS) == before

    resumed = run_py(f"ckpt={run}", "iterations=2", *here)
    assert resumed.returncode == 0, resumed.stderr
    assert [record["iteration"] for record in records(run / run_folder.PROMPTS)] == [1, 1, 2, 2]
