"""Folders of base models: shipped with the package, kept in a cache, or made where the user wants one.

A base is kept in 16 bits (float16), and these weights are the base: loading widens them to float32. Its manifest holds
the recipe, a hash of the demonstrations, a hash of every file, and a hash of the manifest itself.
"""

import hashlib
import json
import platform
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rsgrpo import checkpoints, run_folder
from rsgrpo.errors import UserError
from rsgrpo.pretraining.corpus import Corpus
from rsgrpo.pretraining.pretrain import Pretraining, Progress, pretrain

SHIPPED = Path(__file__).parents[1] / "bases"
"""Holds a folder for each task and seed, such as `countdown-0`."""

TASKS = ("arithmetic", "countdown", "countdown4", "path_star", "many_answers", "tree", "program")
SEEDS = (0, 1, 2)
"""The tasks and seeds whose bases are shipped."""

NUM_HASHED = 16
"""How many demonstrations, together with all problems, are hashed to tell whether a corpus has changed."""

OWN_HASH = "manifest"
"""The key of a manifest under which the hash of all the others stands."""


def base_folder(recipe: Pretraining, cache: Path, progress: Progress, say: Callable[[str], None]) -> Path:
    """The Hugging Face folder of a recipe's base: the shipped one, else the one in `cache`, trained on first use.

    Safe to call from several processes at once: one trains, the others wait for it. A base that is there is only read;
    one in the cache that is damaged is made anew, and `say` is told.

    Raises:
        UserError: when the shipped base is damaged, or the cache cannot be written.
    """
    return shipped_base(recipe) or _cached_base(recipe, cache, progress, say)


def shipped_base(recipe: Pretraining) -> Path | None:
    """The folder of the base that comes with the package for this recipe, None when there is none.

    Raises:
        UserError: when that folder is damaged.
    """
    for folder in [SHIPPED / f"{task}-{recipe.seed}" for task in TASKS if recipe.seed in SEEDS]:
        problem = _manifest_damage(folder)
        if problem is None:
            if not _is_made_of(recipe, run_folder.read_json(folder / run_folder.MANIFEST)):
                continue
            problem = checkpoints.damage(folder)
        if problem is None:
            return folder
        raise UserError(
            f"the base {folder} that comes with rsgrpo is damaged: {problem}; install rsgrpo anew (in a clone: git "
            f"checkout {folder}), or have another base pretrained with seed={len(SEEDS)}",
            seed="pretraining",
        )
    return None


def shipped(task: str, seed: int) -> Path:
    """The Hugging Face folder of a base that comes with the package, `countdown` and 0 for example.

    Raises:
        UserError: when none of that name comes with it, or its folder is damaged.
    """
    if task not in TASKS or seed not in SEEDS:
        raise UserError(f"no base {task}-{seed} comes with rsgrpo; there are {', '.join(TASKS)} with seeds 0 to 2")
    folder = SHIPPED / f"{task}-{seed}"
    if problem := _manifest_damage(folder) or checkpoints.damage(folder):
        raise UserError(f"the base {folder} that comes with rsgrpo is damaged: {problem}; install rsgrpo anew")
    return folder


def make_base(recipe: Pretraining, folder: Path, progress: Progress, *, key: str) -> None:
    """Pretrain a base into `folder`, which exists only once it is whole.

    Raises:
        UserError: when the disk refuses, naming `key`, the field in which the place was given.
    """
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    with _refusals(folder, key):  # now, and not after minutes of training
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
    policy = pretrain(recipe, progress)
    with _refusals(folder, key):
        policy.save_pretrained(unfinished)
        weights = unfinished / "model.safetensors"
        halved = {name: tensor.half() for name, tensor in load_file(weights).items()}
        save_file(halved, weights, metadata={"format": "pt"})
        run_folder.readable_as_the_others(unfinished)
        run_folder.write_json(unfinished / run_folder.MANIFEST, _manifest(recipe, unfinished))
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.rename(folder)


def described(recipe: Pretraining) -> dict[str, Any]:
    """The recipe as JSON holds it, with the class of its demonstrations."""
    settings: dict[str, Any] = json.loads(recipe.settings())
    corpus = type(recipe.demonstrations)
    return {"corpus": f"{corpus.__module__}.{corpus.__qualname__}"} | settings


def demonstrations_hash(corpus: Corpus) -> str:
    """blake2b (hexadecimal) of all problems of a corpus and of the first demonstrations that seed 0 draws for them."""
    problems, rng = corpus.problems(), random.Random(0)
    asked = [[problem.id, problem.text, problem.answer] for problem in problems]
    return _hash_of([asked, [corpus.draw(problem, rng) for problem in problems[:NUM_HASHED]]])


def _cached_base(recipe: Pretraining, cache: Path, progress: Progress, say: Callable[[str], None]) -> Path:
    folder, key = cache / f"tiny-{recipe.fingerprint()}", "cache_dir"
    if damage(folder) is None:
        return folder
    with _refusals(folder, key):
        cache.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{folder}.lock")
        lock.acquire()
    try:
        problem = damage(folder)
        if problem is not None:
            if folder.exists():
                say(f"the base in {folder} is damaged: {problem}; it is made anew")
            make_base(recipe, folder, progress, key=key)
    finally:
        lock.release()
    return folder


def damage(folder: Path) -> str | None:
    """How a base differs from what was written; None when it is whole."""
    return _manifest_damage(folder) or checkpoints.damage(folder)


def _manifest_damage(folder: Path) -> str | None:
    try:
        manifest = json.loads((folder / run_folder.MANIFEST).read_text(encoding="utf-8"))
        expected = manifest.pop(OWN_HASH)
    except OSError as error:
        return f"{run_folder.MANIFEST} cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{run_folder.MANIFEST} is not the manifest of a base"
    return None if _hash_of(manifest) == expected else f"{run_folder.MANIFEST} has another content than was written"


def _manifest(recipe: Pretraining, folder: Path) -> dict[str, Any]:
    manifest = {
        "recipe": described(recipe),
        "demonstrations": demonstrations_hash(recipe.demonstrations),
        "made_with": {"python": platform.python_version(), "torch": version("torch")},
        "files": {name: checkpoints.fingerprint(folder / name) for name in checkpoints.files_of(folder)},
    }
    return manifest | {OWN_HASH: _hash_of(manifest)}


def _is_made_of(recipe: Pretraining, manifest: Mapping[str, Any]) -> bool:
    """The demonstrations are drawn, which takes time, only where the recipes agree."""
    return manifest["recipe"] == described(recipe) and manifest["demonstrations"] == demonstrations_hash(
        recipe.demonstrations
    )


def _hash_of(content: Any) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode()).hexdigest()


@contextmanager
def _refusals(folder: Path, key: str) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"the base cannot be written to {folder} ({reason}); name another place with {key}=...", cache_dir="policy"
        ) from None
