"""reasoning-gym: a stand-in of a few families, and the package itself, which `make test SLOW=1` installs in a folder of
its own: it and what it imports are slow to import."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rsgrpo.verification import families

FOLDER = Path(sys.prefix) / "gym"

needs_gym = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs reasoning-gym, which make test SLOW=1 installs")

STAND_IN = """
import os, random, time
from dataclasses import dataclass

@dataclass
class Settings:
    most: int = 1000
    seed: int = None
    size: int = 500

    def validate(self):
        assert self.most > 0, "most must be positive"

class Family:
    def __init__(self, config):
        self.config, self.seed = config, config.seed

    def __len__(self):
        return self.config.size

    def __getitem__(self, index):
        number = random.Random(self.seed + index).randrange(self.config.most)
        if number == 777:
            raise IndexError("no more")
        metadata = {"number": number, "noise": random.random(), "difficulty": {"most": self.config.most}}
        return {"question": f"How much is {number} + 1?", "answer": str(number + 1), "metadata": metadata}

class Sums(Family):
    def score_answer(self, answer, entry):
        if answer == "hang":
            time.sleep(1000)
        if answer == "exit":
            os._exit(1)
        return {"nan": float("nan"), "half": 0.5, "two": 2.0}.get(answer) or float(int(answer) == int(entry["answer"]))

class Countdown(Family):
    def score_answer(self, answer, entry):
        return float(eval(answer) == int(entry["answer"]))

class Broken(Family):
    def __getitem__(self, index):
        raise KeyError("a bug")

DATASETS = {"sums": (Sums, Settings), "countdown": (Countdown, Settings), "broken": (Broken, Settings),
            "coin_flip": (Sums, Settings)}
"""


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """The package of this folder, and no other of its name before or after."""
    _forget()
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(folder))
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "reasoning_gym"]:
        del sys.modules[name]
    families._registry.cache_clear()
    families._verifiers.clear()


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Families `sums`, `countdown`, `broken` and `coin_flip` in place of the package."""
    folder = tmp_path_factory.mktemp("gym")
    (folder / "reasoning_gym").mkdir()
    (folder / "reasoning_gym" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "reasoning_gym" / "factory.py").write_text(STAND_IN, encoding="utf-8")
    with _importable(folder):
        yield


@pytest.fixture(scope="module")
def package() -> Iterator[None]:
    """The package itself."""
    with _importable(FOLDER):
        yield
