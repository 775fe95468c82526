"""Who may import whom, where heavy names may appear, what things are called, and that the tests mirror the library."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "src" / "rsgrpo"
TESTS = ROOT / "tests"
SOURCES = sorted([*LIBRARY.rglob("*.py"), *(ROOT / "callbacks").rglob("*.py"), ROOT / "run.py"])
IDS = [file.relative_to(ROOT).as_posix() for file in SOURCES]

LEVELS = (
    ("errors",),
    ("fields",),
    ("types",),
    ("seeds", "run_folder", "workers", "measures"),
    ("verification", "metrics", "losses", "intervals"),
    ("objectives", "terms", "corrections", "shaping"),
    ("schedules", "rewards", "data", "models", "batching"),
    ("rollouts", "distributed"),
    ("evaluation", "checkpoints", "loggers", "comparison"),
    ("pretraining", "bench"),
    ("training", "bandit", "analysis"),
    ("planning", "audit"),
    ("callbacks", "command_line", "doctor"),
    ("composition", "fitting"),
    ("tasks", "sweeps"),
    ("main",),
    ("run", "__init__", "__main__"),
)
"""The rooms from the ground up. A room may import itself and any room of a lower level: never a neighbour, never up."""

APPLICATION = ("run",)
"""What is built on the library and lies outside it."""

LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}

HOMES = {
    "vllm": ("src/rsgrpo/rollouts/vllm/",),
    "peft": ("src/rsgrpo/models/lora.py",),
    # vLLM joins the trainer's process group or makes its own: its engine has to know which, to leave the former alone.
    "torch.distributed": (
        *(f"src/rsgrpo/{room}/" for room in ("checkpoints", "distributed", "training")),
        "src/rsgrpo/rollouts/vllm/",
    ),
    "lightning": (
        *(
            f"src/rsgrpo/{room}/"
            for room in ("checkpoints", "composition", "distributed", "loggers", "tasks", "training")
        ),
        "src/rsgrpo/fitting/",
        "callbacks/",
    ),
    "pytorch_lightning": (),  # the old name of lightning: the two do not mix
    "hydra": tuple(f"src/rsgrpo/{room}" for room in ("command_line/", "composition/", "main.py", "sweeps/", "tasks/")),
    "matplotlib": ("src/rsgrpo/analysis/",),
    "reasoning_gym": ("src/rsgrpo/verification/families.py",),
}
"""Where a heavy package may be named; `import torch` alone loads torch.distributed, so only the source can tell."""

INSIDE_FUNCTIONS_ONLY = ("matplotlib", "vllm", "peft", "reasoning_gym")
"""Not installed everywhere, or slow to import: whoever does not plot or serve must not notice."""

SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "core", "misc", "manager"}


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports(tree: ast.AST, file: Path) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of every import below `tree`: `from a import b` names `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = ".".join([*_package_above(file, node.level), *([node.module] if node.module else [])])
            yield module, node.lineno
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


@cache
def names(file: Path) -> list[tuple[str, int]]:
    """(dotted name, line) of every import and of every attribute, such as `torch.distributed`."""
    attributes = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Attribute)]
    dotted = [(name, node.lineno) for node in attributes if (name := _dotted(node))]
    return [*imports(tree_of(file), file), *dotted]


def _package_above(file: Path, level: int) -> tuple[str, ...]:
    """The package that a relative import with `level` dots starts from."""
    package = file.parent.relative_to(ROOT / "src" if LIBRARY in file.parents else ROOT).parts
    return package[: len(package) - level + 1] if level else ()


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value)):
        return f"{owner}.{node.attr}"
    return None


def room_of(file: Path) -> str:
    """The room that a source file stands in."""
    inside = file.relative_to(LIBRARY if LIBRARY in file.parents else ROOT)
    return inside.parts[0].removesuffix(".py")


@cache
def rooms_imported(file: Path) -> list[tuple[str, int]]:
    """(room, line) of every import of the project's own code."""
    split = [(name.split("."), line) for name, line in imports(tree_of(file), file)]
    own = [(parts[1], line) for parts, line in split if parts[0] == "rsgrpo" and len(parts) > 1]
    return own + [(parts[0], line) for parts, line in split if parts[0] in APPLICATION]


def mentions(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_the_sources_are_found() -> None:
    """An empty glob would make every test below pass."""
    rooms = {room_of(file) for file in SOURCES}
    assert {"types", "objectives", "training", "tasks", "callbacks", "run"} <= rooms
    assert ("training", "types") in {(room_of(file), room) for file in SOURCES for room, _ in rooms_imported(file)}


def test_every_room_has_its_level() -> None:
    """A new room says here what it may import."""
    rooms = {room_of(file) for file in SOURCES} - {"__init__"}
    assert rooms - LEVEL.keys() == set()


@pytest.mark.parametrize("file", SOURCES, ids=IDS)
def test_a_room_imports_lower_rooms_only(file: Path) -> None:
    room = room_of(file)
    allowed = {other for other in LEVEL if LEVEL[other] < LEVEL.get(room, -1)} | {room}
    assert [f"line {line}: {other}" for other, line in rooms_imported(file) if other not in allowed] == []


def test_the_package_itself_imports_nothing() -> None:
    """`import rsgrpo.types` must not load the trainer."""
    file = LIBRARY / "__init__.py"
    at_import = [name for statement in _run_at_import(tree_of(file)) for name, _ in imports(statement, file)]
    assert [name for name in at_import if not mentions(name, "typing")] == []


def test_the_library_never_imports_the_application() -> None:
    """Neither with a statement nor by name at run time."""
    library = [file for file in SOURCES if LIBRARY in file.parents]
    statements = [(file.name, line) for file in library for room, line in rooms_imported(file) if room in APPLICATION]
    calls = [
        (file.name, call.lineno)
        for file in library
        for call in ast.walk(tree_of(file))
        if isinstance(call, ast.Call) and (_dotted(call.func) or "").split(".")[-1] in ("import_module", "__import__")
        if any(isinstance(a, ast.Constant) and str(a.value).split(".")[0] in APPLICATION for a in call.args)
    ]
    assert statements + calls == []


@pytest.mark.parametrize("package", HOMES)
def test_a_heavy_package_is_named_in_its_own_rooms_only(package: str) -> None:
    strangers = {
        f"{path}:{line}"
        for file, path in zip(SOURCES, IDS, strict=True)
        for name, line in names(file)
        if mentions(name, package) and not path.startswith(HOMES[package])
    }
    assert strangers == set()


@pytest.mark.parametrize("package", ["lightning", "hydra"])
def test_that_test_sees_what_is_there(package: str) -> None:
    assert any(mentions(name, package) for file in SOURCES for name, _ in names(file))


@pytest.mark.parametrize("package", INSIDE_FUNCTIONS_ONLY)
def test_an_optional_package_is_imported_where_it_is_used(package: str) -> None:
    too_early = {
        f"{path}:{line}"
        for file, path in zip(SOURCES, IDS, strict=True)
        for statement in _run_at_import(tree_of(file))
        for name, line in imports(statement, file)
        if mentions(name, package)
    }
    assert too_early == set()


def _run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The import statements outside functions; those under `if TYPE_CHECKING` never run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        for_types = isinstance(node, ast.If) and (_dotted(node.test) or "").endswith("TYPE_CHECKING")
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not for_types:
            yield from _run_at_import(node)


@pytest.mark.parametrize("file", SOURCES, ids=IDS)
def test_a_name_says_what_is_inside(file: Path) -> None:
    words = {word for part in file.relative_to(ROOT).with_suffix("").parts for word in part.split("_")}
    assert words & SAYS_NOTHING == set()


LONGEST_FILE = 300
"""Lines of a source file, at most."""


def test_no_source_file_is_long() -> None:
    files = [*SOURCES, *sorted((ROOT / "benchmarks").rglob("*.py"))]
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {"benchmarks/engines.py", "run.py"} <= lines.keys()
    assert {path for path, count in lines.items() if count > LONGEST_FILE} == set()


@pytest.mark.parametrize("file", SOURCES, ids=IDS)
def test_nothing_is_evaluated_from_text(file: Path) -> None:
    calls = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call)]
    forbidden = {"eval", "exec", "builtins.eval", "builtins.exec"}
    assert [call.lineno for call in calls if _dotted(call.func) in forbidden] == []


@pytest.mark.parametrize("file", SOURCES, ids=IDS)
def test_every_public_class_and_function_has_a_docstring(file: Path) -> None:
    tree = tree_of(file)
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    ]
    without = [node.name for node in public if ast.get_docstring(node) is None]
    if tree.body and ast.get_docstring(tree) is None:
        without.insert(0, "the module")
    assert without == []


def test_the_tests_mirror_the_code() -> None:
    """A folder of tests is named after a room of the library or a folder of the repository."""
    folders = {file.parent.relative_to(TESTS).parts[0] for file in TESTS.glob("*/**/test_*.py")}
    rooms = {room_of(file) for file in SOURCES if LIBRARY in file.parents}
    assert folders - rooms - {path.name for path in ROOT.iterdir()} - {"architecture", "golden", "security"} == set()


def test_every_folder_of_tests_is_a_package() -> None:
    """Otherwise pytest takes one of two files of the same name for the other."""
    folders = {file.parent for file in TESTS.rglob("test_*.py")}
    assert [folder.name for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


OBJECTIVES = sorted(file for file in (ROOT / "conf/objective").glob("*.yaml") if file.stem != "custom")


def test_the_objectives_are_found() -> None:
    assert {"grpo", "rs_grpo"} <= {file.stem for file in OBJECTIVES}


def settings_of(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


ALIASES = [file for file in OBJECTIVES if "_target_" not in settings_of(file)]
"""A yaml that only sets values of another objective, such as dr_grpo of grpo."""


@pytest.mark.parametrize("file", [file for file in OBJECTIVES if file not in ALIASES], ids=lambda file: file.stem)
def test_an_objective_is_one_file_and_one_yaml_of_the_same_name(file: Path) -> None:
    module, _, name = settings_of(file)["_target_"].rpartition(".")
    assert module == f"rsgrpo.objectives.{file.stem}"
    source = LIBRARY / "objectives" / f"{file.stem}.py"
    assert name in {node.name for node in tree_of(source).body if isinstance(node, ast.ClassDef)}
    assert "defaults" not in settings_of(file)


def test_aliases_are_found() -> None:
    assert {"dr_grpo", "psr", "nsr"} <= {file.stem for file in ALIASES}


@pytest.mark.parametrize("file", ALIASES, ids=lambda file: file.stem)
def test_a_yaml_without_a_class_sets_values_of_one_objective_that_has_a_file(file: Path) -> None:
    settings = settings_of(file)
    defaults = [default for default in settings.pop("defaults") if default != "_self_"]
    assert len(defaults) == 1
    base = file.with_name(f"{defaults[0].removesuffix('@objective')}.yaml")
    assert base in OBJECTIVES
    assert base not in ALIASES
    assert (LIBRARY / "objectives" / f"{base.stem}.py").is_file()
    assert not (LIBRARY / "objectives" / f"{file.stem}.py").exists()
    of_objective = settings.pop("objective", {}) if "loss" in settings else settings  # one that comes with its loss's
    assert of_objective.keys() - {"loss"} <= settings_of(base).keys() - {"_target_"}
    assert of_objective != {}
