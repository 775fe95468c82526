import dataclasses
import importlib
import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rsgrpo.data import arithmetic, countdown
from rsgrpo.data.corpus import Corpus
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import EOS, build_tokenizer
from rsgrpo.training.pretraining import Pretraining, cached_base, learning_rate_factor, pretrain
from rsgrpo.types import FieldError, Problem, UserError

ROOT = Path(__file__).parents[2]
CORPORA = {
    "countdown": countdown.Demonstrations(),
    "countdown4": countdown.Demonstrations(numbers=4, max_tokens=34),
    "arithmetic": arithmetic.Demonstrations(),
}
TINY = Pretraining(demonstrations=CORPORA["countdown"], steps=3, batch_size=4, warmup_steps=1, num_layers=1)


class Counter:
    """Progress that remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, float]] = []

    def __call__(self, step: int, steps: int, loss: float) -> None:
        self.calls.append((step, steps, loss))


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in policy.parameters()])


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_a_few_steps_lower_the_loss(corpus: Corpus):
    progress = Counter()
    pretrain(Pretraining(demonstrations=corpus, steps=30, batch_size=32, warmup_steps=5, num_layers=1), progress)
    assert [call[:2] for call in progress.calls] == [(step, 30) for step in range(1, 31)]
    losses = [call[2] for call in progress.calls]
    assert losses[0] == pytest.approx(6.06, abs=0.3)  # ln 427: no token is favoured yet
    assert losses[-1] < 0.7 * losses[0]


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others():
    torch.manual_seed(1)
    first = weights(pretrain(TINY, Counter()))
    torch.manual_seed(2)
    assert torch.equal(weights(pretrain(TINY, Counter())), first)
    assert not torch.equal(weights(pretrain(dataclasses.replace(TINY, seed=1), Counter())), first)


def test_the_row_length_changes_nothing_but_rounding():
    losses = []
    for row_tokens in (4096, 60, 1):
        progress = Counter()
        pretrain(dataclasses.replace(TINY, row_tokens=row_tokens), progress)
        losses.append([call[2] for call in progress.calls])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)


OTHER_VALUES = {
    "demonstrations": CORPORA["countdown4"],
    "seed": 1,
    "steps": 4,
    "batch_size": 5,
    "lr": 1e-3,
    "betas": (0.9, 0.99),
    "weight_decay": 0.02,
    "warmup_steps": 2,
    "row_tokens": 2048,
    "hidden_size": 32,
    "num_layers": 2,
}


def test_the_fingerprint_changes_with_every_field():
    assert OTHER_VALUES.keys() == {field.name for field in dataclasses.fields(Pretraining)}
    recipes = [TINY, *(dataclasses.replace(TINY, **{name: value}) for name, value in OTHER_VALUES.items())]
    assert len({recipe.fingerprint() for recipe in recipes}) == len(recipes)


def test_the_fingerprint_does_not_depend_on_the_kind_of_sequence():
    corpus = countdown.Demonstrations(failure_rates=[0.3, 0.8, 0.9])
    assert dataclasses.replace(TINY, betas=[0.9, 0.98], demonstrations=corpus).fingerprint() == TINY.fingerprint()


OTHER_SETTINGS = {
    "numbers": 4,
    "operator_weights": (0.5, 0.3, 0.1, 0.1),
    "failure_rates": (0.3, 0.8, 0.8),
    "slip_rate": 0.5,
    "max_tokens": 50,
}


@pytest.mark.parametrize("corpus", [countdown.Demonstrations(), arithmetic.Demonstrations()], ids=["3", "arithmetic"])
def test_the_fingerprint_changes_with_every_setting_of_the_demonstrations(corpus: Corpus):
    assert dataclasses.is_dataclass(corpus)
    names = [field.name for field in dataclasses.fields(corpus)]
    changed = [dataclasses.replace(corpus, **{name: OTHER_SETTINGS[name]}) for name in names]
    prints = {dataclasses.replace(TINY, demonstrations=c).fingerprint() for c in (corpus, *changed)}
    assert len(prints) == 1 + len(names)


OWN_CORPUS = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Mine:
    max_tokens: int = 9

    def problems(self):
        return []

    def draw(self, problem, rng):
        return {text!r}

@dataclass(frozen=True)
class Other(Mine):
    pass
"""


def test_the_fingerprint_tells_classes_and_sources_of_the_demonstrations_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(tmp_path)
    prints = set()
    for text in ("one", "two"):
        (tmp_path / f"corpus_{text}.py").write_text(OWN_CORPUS.format(text=text))
        module = importlib.import_module(f"corpus_{text}")
        prints |= {dataclasses.replace(TINY, demonstrations=c()).fingerprint() for c in (module.Mine, module.Other)}
    assert len(prints) == 4


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_demonstrations_have_room_and_little_more(corpus: Corpus):
    tokenizer, rng = build_tokenizer(), random.Random(0)
    longest = max(len(tokenizer(corpus.draw(p, rng) + EOS).input_ids) for p in corpus.problems())
    assert longest <= corpus.max_tokens <= longest + 2


@dataclasses.dataclass(frozen=True)
class OneLine:
    """A corpus of one line."""

    max_tokens: int

    def problems(self) -> list[Problem]:
        return [Problem(id="p", text="1 + 1 =", answer="2")]

    def draw(self, problem: Problem, rng: random.Random) -> str:
        return "1 + 1 = 2"


def test_a_demonstration_without_room_is_refused():
    pretrain(dataclasses.replace(TINY, demonstrations=OneLine(6)), Counter())
    with pytest.raises(UserError, match=r"demonstrations\.max_tokens=5 .* 6 tokens .*try demonstrations\.max_tokens=6"):
        pretrain(dataclasses.replace(TINY, demonstrations=OneLine(5)), Counter())


def test_the_learning_rate_warms_up_and_falls_to_a_twentieth():
    recipe = dataclasses.replace(TINY, steps=110, warmup_steps=10)
    factors = [learning_rate_factor(step, recipe) for step in range(111)]
    assert factors[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert factors[10] == 1
    assert factors[60] == pytest.approx(0.525)  # half way between 1 and 0.05
    assert factors[110] == pytest.approx(0.05)
    assert all(a > b for a, b in itertools.pairwise(factors[10:]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0), ("batch_size", 0), ("row_tokens", 0), ("num_layers", 0), ("lr", -1.0), ("lr", float("nan")),
        ("weight_decay", -0.1), ("warmup_steps", -1), ("hidden_size", 16), ("hidden_size", 48),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused(field: str, value: object):
    with pytest.raises(FieldError, match=field):
        dataclasses.replace(TINY, **{field: value})


def test_the_base_is_trained_once_and_found_again(tmp_path: Path):
    first, second = Counter(), Counter()
    folder = cached_base(TINY, tmp_path / "not" / "there", first)
    assert len(first.calls) == 3
    assert cached_base(TINY, tmp_path / "not" / "there", second) == folder
    assert second.calls == []
    other = Counter()
    assert cached_base(dataclasses.replace(TINY, seed=1), tmp_path / "not" / "there", other) != folder
    assert len(other.calls) == 3


def test_the_base_is_an_ordinary_folder_with_its_recipe(tmp_path: Path):
    folder = cached_base(TINY, tmp_path, Counter())
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    trained = pretrain(TINY, Counter())
    assert torch.equal(torch.cat([p.flatten() for p in model.parameters()]), weights(trained))
    assert tokenizer("6 12 9 => 27 :").input_ids == trained.tokenizer("6 12 9 => 27 :").input_ids
    recipe = json.loads((folder / "pretraining.json").read_text())
    assert (recipe["steps"], recipe["demonstrations"]["failure_rates"]) == (3, [0.3, 0.8, 0.9])


PREAMBLE = f"""
import os, sys, time
from pathlib import Path
from rsgrpo.data.countdown import Demonstrations
from rsgrpo.models.policy import Policy
from rsgrpo.training.pretraining import Pretraining, cached_base
import torch
torch.set_num_threads(1)
cache = Path(sys.argv[1])
recipe = {TINY!r}
"""

DIES_IN_TRAINING = """
def die(step, steps, loss):
    if step == 2:
        os._exit(9)
cached_base(recipe, cache, die)
"""

DIES_IN_SAVING = """
def half(self, folder):
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"half a fi")
    (folder / "stale.safetensors").write_bytes(b"half a fi")
    os._exit(9)
Policy.save_pretrained = half
cached_base(recipe, cache, lambda *_: None)
"""

COUNTS = """
(cache / f"ready-{os.getpid()}").touch()
while len(list(cache.glob("ready-*"))) < 2:
    time.sleep(0.01)
calls = []
folder = cached_base(recipe, cache, lambda *call: (calls.append(call), time.sleep(0.2)))
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
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 9, errors
    left = list(tmp_path.rglob("model.safetensors"))
    assert len(left) == (script is DIES_IN_SAVING)
    progress = Counter()
    folder = cached_base(TINY, tmp_path, progress)
    assert len(progress.calls) == 3
    assert torch.equal(weights(Policy.from_pretrained(folder)), weights(pretrain(TINY, Counter())))
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder]
    assert not (folder / "stale.safetensors").exists()


@pytest.mark.slow
def test_two_processes_at_once_train_once_and_both_get_the_base(tmp_path: Path):
    processes = [start(COUNTS, tmp_path) for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    calls, finished, folders = zip(*(out.split() for out, _ in ended), strict=True)
    assert sorted(calls) == ["0", "3"]
    assert finished == ("True", "True")
    assert len(set(folders)) == 1
