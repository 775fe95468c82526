import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rsgrpo import run_folder
from rsgrpo.composition.policy import base_recipe
from rsgrpo.data.countdown import Demonstrations
from rsgrpo.errors import UserError
from rsgrpo.models.policy import Policy
from rsgrpo.pretraining import bases
from rsgrpo.pretraining.bases import (
    SEEDS,
    SHIPPED,
    TASKS,
    base_folder,
    damage,
    demonstrations_hash,
    described,
    make_base,
    shipped_base,
)
from rsgrpo.pretraining.pretrain import Pretraining, pretrain
from rsgrpo.types import Problem
from tests.pretraining.test_pretraining import OTHER_SETTINGS, OTHER_VALUES, TINY, Counter, weights

ROOT = Path(__file__).parents[2]
COUNTDOWN = Pretraining(demonstrations=Demonstrations())
NAMES = [f"{task}-{seed}" for task in TASKS for seed in SEEDS]


def unexpected(*_: object) -> None:
    """In the place of progress and of words."""
    raise AssertionError("nothing was to be trained or said")


def recipe_of(name: str, *overrides: str) -> Pretraining:
    """What `data=TASK model.pretrain.seed=SEED` asks for."""
    task, seed = name.rsplit("-", 1)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return base_recipe(compose("config", [f"data={task}", f"model.pretrain.seed={seed}", *overrides]))


@pytest.mark.parametrize("name", NAMES)
def test_the_built_in_tasks_find_their_bases_in_the_package(name: str, tmp_path: Path):
    """A recipe or a corpus that is no longer what the base was made of fails here: `make bases`, or take it back."""
    recipe, folder = recipe_of(name), SHIPPED / name
    assert damage(folder) is None
    manifest = run_folder.read_json(folder / run_folder.MANIFEST)
    assert manifest["recipe"] == described(recipe)
    assert manifest["demonstrations"] == demonstrations_hash(recipe.demonstrations)
    assert base_folder(recipe, tmp_path / "cache", unexpected, unexpected) == folder
    assert not (tmp_path / "cache").exists()
    assert sorted(file.name for file in folder.iterdir()) == sorted([*manifest["files"], run_folder.MANIFEST])


@pytest.mark.parametrize("name", NAMES)
def test_the_page_names_the_weights(name: str):
    files = run_folder.read_json(SHIPPED / name / run_folder.MANIFEST)["files"]
    digest = files["model.safetensors"]["blake2b"][:12]
    page = "countdown.md" if name.startswith(("countdown", "arithmetic")) else "tasks.md"
    assert f"| `{name}` | `{digest}` |" in (ROOT / "docs" / page).read_text()


def test_no_other_bases_lie_there():
    assert sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()) == sorted(NAMES)


def test_no_shipped_base_is_another_one():
    assert len({(SHIPPED / name / "model.safetensors").read_bytes() for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_sixteen_bits_are_the_base(name: str):
    stored = load_file(SHIPPED / name / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = dict(Policy.from_pretrained(SHIPPED / name).model.named_parameters())
    assert loaded.keys() == stored.keys()
    assert sum(parameter.numel() for parameter in loaded.values()) == 175_424
    for key, parameter in loaded.items():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, stored[key].float()), key  # widening is exact


def test_transformers_alone_widens_a_base_too():
    assert AutoModelForCausalLM.from_pretrained(SHIPPED / "countdown-0").dtype == torch.float32


def test_a_base_of_few_bits_exports_a_policy_of_all_of_them(tmp_path: Path):
    policy = Policy.from_pretrained(SHIPPED / "countdown-0")
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(1e-5)
    policy.save_pretrained(tmp_path)
    assert torch.equal(weights(Policy.from_pretrained(tmp_path)), weights(policy))


@pytest.mark.parametrize("field", OTHER_VALUES)
def test_another_recipe_is_not_shipped(field: str):
    value = 3 if field == "seed" else OTHER_VALUES[field]
    assert shipped_base(dataclasses.replace(COUNTDOWN, **{field: value})) is None


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Demonstrations)])
def test_other_demonstrations_are_not_shipped(field: str):
    corpus = dataclasses.replace(Demonstrations(), **{field: OTHER_SETTINGS[field]})
    assert shipped_base(dataclasses.replace(COUNTDOWN, demonstrations=corpus)) is None


def test_the_kind_of_number_and_of_sequence_does_not_matter():
    assert shipped_base(recipe_of("countdown4-0", "demonstrations.failure_rates=[0.0,0,0]")) == SHIPPED / "countdown4-0"
    corpus = Demonstrations(operator_weights=[0.5, 0.3, 0.15, 0.05])
    assert shipped_base(dataclasses.replace(COUNTDOWN, demonstrations=corpus)) == SHIPPED / "countdown-0"


@dataclasses.dataclass(frozen=True)
class Lines:
    """A corpus of a few problems that says what it is told."""

    says: str = "1 + 1 = 2"
    asks: str = "1 + 1 ="
    max_tokens: int = 9

    def problems(self) -> Sequence[Problem]:
        return [Problem(id=str(i), text=self.asks, answer="2") for i in range(3)]

    def draw(self, problem: Problem, rng: random.Random) -> str:
        return self.says


def test_the_hash_of_demonstrations_is_of_what_is_asked_and_what_is_said():
    assert demonstrations_hash(Lines(max_tokens=7)) == demonstrations_hash(Lines())
    assert len({demonstrations_hash(corpus) for corpus in (Lines(), Lines(says="2"), Lines(asks="2 ="))}) == 3


def test_a_corpus_that_draws_something_else_has_another_base(monkeypatch: pytest.MonkeyPatch):
    """The settings are the same: the code that draws is not."""
    draw = Demonstrations.draw
    monkeypatch.setattr(Demonstrations, "draw", lambda self, problem, rng: draw(self, problem, rng) + " ;")
    assert shipped_base(COUNTDOWN) is None


DAMAGES = {
    "a file is missing": lambda folder: (folder / "tokenizer.json").unlink(),
    "the weights are cut": lambda folder: os.truncate(folder / "model.safetensors", 1000),
    "the weights are a pointer": lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs"),
    "a bit of the weights": lambda folder: flip(folder / "model.safetensors"),
    "an empty configuration": lambda folder: (folder / "config.json").write_text(""),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "an empty manifest": lambda folder: (folder / "manifest.json").write_text(""),
    "a list for a manifest": lambda folder: (folder / "manifest.json").write_text("[1]"),
    "a manifest of bytes": lambda folder: (folder / "manifest.json").write_bytes(b"\x00\xff"),
    "a manifest of nothing": lambda folder: (folder / "manifest.json").write_text("{}"),
    "another recipe": lambda folder: replace(folder / "manifest.json", '"steps": ', '"steps": 1'),
    "nothing is there": lambda folder: shutil.rmtree(folder),
}


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)


def replace(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize("harm", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_shipped_base_is_refused_in_a_sentence(harm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(SHIPPED, tmp_path / "bases")
    monkeypatch.setattr(bases, "SHIPPED", tmp_path / "bases")
    harm(tmp_path / "bases" / "countdown-0")
    with pytest.raises(
        UserError, match=r"countdown-0 that comes with rsgrpo is damaged: .* install rsgrpo anew"
    ) as error:
        base_folder(COUNTDOWN, tmp_path / "cache", unexpected, unexpected)
    assert "\n" not in str(error.value)
    # The other seeds do not suffer, nor does the cure that the sentence names.
    assert shipped_base(dataclasses.replace(COUNTDOWN, seed=1)) == tmp_path / "bases" / "countdown-1"
    assert "pretrained with seed=3" in str(error.value)
    assert shipped_base(dataclasses.replace(COUNTDOWN, seed=3)) is None


@pytest.mark.parametrize("harm", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cached_base_is_made_anew(harm, tmp_path: Path):
    folder = base_folder(TINY, tmp_path, Counter(), unexpected)
    whole = {file.name: file.read_bytes() for file in folder.iterdir()}
    harm(folder)
    said, progress = [], Counter()
    assert base_folder(TINY, tmp_path, progress, said.append) == folder
    assert len(progress.calls) == TINY.steps
    assert damage(folder) is None
    assert {file.name for file in folder.iterdir()} == whole.keys()
    assert len(said) == (harm is not DAMAGES["nothing is there"])
    assert all("is damaged" in sentence and "made anew" in sentence for sentence in said)


def test_a_cache_that_holds_the_base_is_only_read(tmp_path: Path):
    folder = base_folder(TINY, tmp_path, Counter(), unexpected)
    (tmp_path / f"{folder.name}.lock").unlink()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path, *tmp_path.rglob("*"))}
    assert base_folder(TINY, tmp_path, unexpected, unexpected) == folder
    assert {path: path.stat().st_mtime_ns for path in (tmp_path, *tmp_path.rglob("*"))} == before


def test_a_place_that_cannot_be_written_is_named_before_any_training(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written to .*file/tiny-.* cache_dir="):
        base_folder(TINY, tmp_path / "file", unexpected, unexpected)
    with pytest.raises(UserError, match=r"cannot be written to .*file/base .* task\.folder="):
        make_base(TINY, tmp_path / "file" / "base", unexpected, key="task.folder")


def test_weights_are_as_readable_as_the_other_files(tmp_path: Path):
    """Others read a cache that is shared."""
    make_base(TINY, tmp_path / "base", Counter(), key="")
    assert len({file.stat().st_mode for file in (tmp_path / "base").iterdir()}) == 1


def test_the_base_is_trained_once_and_found_again(tmp_path: Path):
    first, second = Counter(), Counter()
    folder = base_folder(TINY, tmp_path / "not" / "there", first, unexpected)
    assert len(first.calls) == 3
    assert base_folder(TINY, tmp_path / "not" / "there", second, unexpected) == folder
    assert second.calls == []
    other = Counter()
    assert base_folder(dataclasses.replace(TINY, seed=3), tmp_path / "not" / "there", other, unexpected) != folder
    assert len(other.calls) == 3


def test_the_base_is_an_ordinary_folder_with_its_recipe(tmp_path: Path):
    folder = base_folder(TINY, tmp_path, Counter(), unexpected)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    trained = pretrain(TINY, Counter())
    assert torch.equal(torch.cat([p.flatten() for p in model.parameters()]), weights(trained).half().float())
    assert tokenizer("6 12 9 => 27 :").input_ids == trained.tokenizer("6 12 9 => 27 :").input_ids
    recipe = json.loads((folder / "manifest.json").read_text())["recipe"]
    assert (recipe["steps"], recipe["demonstrations"]["failure_rates"]) == (3, [0.3, 0.8, 0.9])


PREAMBLE = f"""
import os, sys, time
from pathlib import Path
from rsgrpo.data.countdown import Demonstrations
from rsgrpo.models.policy import Policy
from rsgrpo.pretraining.pretrain import Pretraining
from rsgrpo.pretraining.bases import base_folder
import torch
torch.set_num_threads(1)
cache = Path(sys.argv[1])
recipe = {TINY!r}
"""

DIES_IN_TRAINING = """
def die(step, steps, loss):
    if step == 2:
        os._exit(9)
base_folder(recipe, cache, die, print)
"""

DIES_IN_SAVING = """
def half(self, folder):
    (folder / "model.safetensors").write_bytes(b"half a fi")
    (folder / "stale.safetensors").write_bytes(b"half a fi")
    os._exit(9)
Policy.save_pretrained = half
base_folder(recipe, cache, lambda *_: None, print)
"""

COUNTS = """
(cache / f"ready-{os.getpid()}").touch()
while len(list(cache.glob("ready-*"))) < 2:
    time.sleep(0.01)
calls = []
folder = base_folder(recipe, cache, lambda *call: (calls.append(call), time.sleep(0.2)), print)
print(len(calls), (folder / "config.json").is_file(), folder)
"""


def start(script: str, cache: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PREAMBLE + script, str(cache)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("script", [DIES_IN_TRAINING, DIES_IN_SAVING], ids=["in training", "in saving"])
def test_what_a_killed_process_left_behind_does_not_count(tmp_path: Path, script: str):
    process = start(script, tmp_path)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 9, errors
    left = list(tmp_path.rglob("model.safetensors"))
    assert len(left) == (script is DIES_IN_SAVING)
    progress = Counter()
    folder = base_folder(TINY, tmp_path, progress, unexpected)
    assert len(progress.calls) == 3
    assert torch.equal(weights(Policy.from_pretrained(folder)), weights(pretrain(TINY, Counter())).half().float())
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder]
    assert not (folder / "stale.safetensors").exists()


@pytest.mark.slow
def test_two_processes_at_once_train_once_and_both_get_the_base(tmp_path: Path):
    processes = [start(COUNTS, tmp_path) for _ in range(2)]
    ended = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    calls, finished, folders = zip(*(out.split() for out, _ in ended), strict=True)
    assert sorted(calls) == ["0", "3"]
    assert finished == ("True", "True")
    assert len(set(folders)) == 1


def test_the_wheel_holds_the_bases(tmp_path: Path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build_py", "--build-lib", "built"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    for name in NAMES:
        built = tmp_path / "built" / "rsgrpo" / "bases" / name
        assert damage(built) is None
        assert sorted(path.name for path in built.iterdir()) == sorted(path.name for path in (SHIPPED / name).iterdir())
