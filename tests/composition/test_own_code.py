"""Which files of the user's own a run folder keeps."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rsgrpo.composition.own_code import keep_own_code


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the user's with a module and a package."""
    folder = tmp_path / "own"
    (folder / "kept_package").mkdir(parents=True)
    (folder / "kept_module.py").write_text("import helper_of_mine\n\n\nclass Brief:\n    pass\n")
    (folder / "helper_of_mine.py").touch()
    (folder / "kept_package" / "__init__.py").write_text("def longest(report):\n    return {}\n")
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in ("kept_module", "helper_of_mine", "kept_package"):
        sys.modules.pop(name, None)


def test_the_files_that_the_configuration_names_are_kept_and_no_others(own: Path, tmp_path: Path) -> None:
    cfg = OmegaConf.create(
        {
            "reward": {"rewards": {"a": {"_target_": "kept_module.Brief"}, "b": "???"}},
            "callbacks": {
                "longest": {"_target_": "kept_package.longest"},
                "progress": {"_target_": "rsgrpo.callbacks.progress.ProgressLine"},
                "stop": {"_target_": "lightning.pytorch.callbacks.EarlyStopping"},
                "count": {"_target_": "collections.Counter"},
                "unknown": {"_target_": "no_such_module.Class"},
            },
        }
    )
    run = tmp_path / "run"
    (run / "own_code").mkdir(parents=True)
    (run / "own_code" / "left.py").touch()
    assert keep_own_code(run, cfg) == {
        "kept_module.Brief": "own_code/kept_module.py",
        "kept_package.longest": "own_code/kept_package/__init__.py",
    }
    kept = {file.relative_to(run / "own_code").as_posix() for file in (run / "own_code").rglob("*") if file.is_file()}
    assert kept == {"kept_module.py", "kept_package/__init__.py"}
    assert (run / "own_code/kept_module.py").read_bytes() == (own / "kept_module.py").read_bytes()


def test_a_run_with_nothing_of_the_users_has_no_such_folder(tmp_path: Path) -> None:
    assert keep_own_code(tmp_path, OmegaConf.create({"filter": {"_target_": "rsgrpo.batching.filters.KeepAll"}})) == {}
    assert list(tmp_path.iterdir()) == []
