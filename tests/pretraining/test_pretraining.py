import dataclasses
import importlib
import itertools
import random
from pathlib import Path

import pytest
import torch

from rsgrpo.data import arithmetic, countdown, path_star, program, tree
from rsgrpo.errors import FieldError, UserError
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import EOS, build_tokenizer
from rsgrpo.pretraining.corpus import Corpus
from rsgrpo.pretraining.pretrain import Pretraining, learning_rate_factor, pretrain
from rsgrpo.types import Problem

CORPORA = {
    "countdown": countdown.Demonstrations(),
    "countdown4": countdown.Demonstrations(numbers=4, max_tokens=34),
    "arithmetic": arithmetic.Demonstrations(),
    "path_star": path_star.Demonstrations(),
    "program": program.Demonstrations(),
    "tree": tree.Demonstrations(),
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
    with pytest.raises(UserError, match=r"max_tokens=5 .* 6 tokens .*try max_tokens=6"):
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
