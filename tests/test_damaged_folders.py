"""Every file of a run folder, damaged in every way: a sentence or success, and nothing cut before a refusal."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from rsgrpo import checkpoints, run_folder
from rsgrpo.analysis.summary import print_summary
from rsgrpo.command_line.resume import NothingToDo, with_settings_of_run
from rsgrpo.command_line.same_run import check_same_base, check_same_data, check_same_run
from rsgrpo.errors import UserError
from tests.run_folders import write_checkpoint

CONFIG = {"seed": 7, "iterations": 4, "eval": {"k": [1, 4]}, "model": {"path": "/base"}, "ckpt": None}
DATA = {name: {"problems": 2, "blake2b": "ab"} for name in ("train", "validation", "test")}
COUNTS = {"prompt": "a", "n": 4, "correct": 1, "mean_tokens": 2.5, "truncated": 0, "facts": {}}
SAMPLE = {"problem": "1 + 1", "completion": "2", "reward": 1.0}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two checkpoints, finished after four iterations."""
    run = tmp_path_factory.mktemp("whole") / "run"
    run.mkdir()
    described = {"format": 2, "id": "abc", "versions": {"torch": "2"}, "data": DATA, "base": "ef"}
    run_folder.write_json(run / run_folder.RUN, described)
    OmegaConf.save(OmegaConf.create(CONFIG), run / run_folder.CONFIG)
    OmegaConf.save(OmegaConf.create(["seed=7", "iterations=4"]), run / run_folder.OVERRIDES)
    for name in run_folder.RECORDS:
        run_folder.append(run / name, [{"iteration": i, **COUNTS, **SAMPLE} for i in range(5)])
    logged = [{"iteration": i, f"eval/{s}/pass@1": 0.5} for i in (2, 4) for s in ("validation", "test")]
    run_folder.append(run / run_folder.METRICS, logged)
    for iteration in (2, 4):
        write_checkpoint(run, iteration)
    checkpoints.mark_best(run, 4, "eval/test/pass@1", 0.5)
    for folder in (run_folder.POLICY, "tensorboard", f"{run_folder.POLICIES}/iteration_000002"):
        (run / folder).mkdir(parents=True)
        (run / folder / "file").write_text("content")
    done = {"iteration": 4, "resumed_from": 0, "seconds": {"setup": 1.0, "total": 2.0}}
    run_folder.write_json(run / run_folder.DONE, done)
    return run


FILES = (
    *(run_folder.RUN, run_folder.CONFIG, run_folder.OVERRIDES, run_folder.DONE, *run_folder.RECORDS),
    *("checkpoints/best.json", "checkpoints/iteration_000004/manifest.json", "checkpoints/iteration_000004/state.ckpt"),
)
FOLDERS = ("checkpoints", "eval", "policy", "policies", "tensorboard", "checkpoints/iteration_000004")


def put(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content)


def changed(change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def in_the_middle(line: bytes) -> Callable[[Path], Any]:
    """Another line between those of a file."""

    def insert(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        half = len(lines) // 2
        return b"".join([*lines[:half], line + b"\n", *lines[half:]])

    return changed(insert)


def every_value(value: Any) -> Callable[[Path], Any]:
    """All values of a JSON file, or of its lines, replaced by one of another type."""

    def replace(content: bytes) -> bytes:
        try:
            lines = [json.loads(line) for line in content.splitlines()]
        except ValueError:
            try:
                lines = [json.loads(content)]
            except ValueError:
                return content.replace(b"7", json.dumps(value).encode())
        return b"".join(json.dumps(dict.fromkeys(line, value)).encode() + b"\n" for line in lines)

    return changed(replace)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "deleted": Path.unlink,
    "empty": put(b""),
    "blank": put(b"\n\n"),
    "binary": put(bytes(range(256))),
    "NULs": put(b"\0" * 64 + b"\n"),
    "a list": put(b"[1, 2]\n"),
    "a mapping": put(b'{"a": 1}\n'),
    "a number": put(b"3\n"),
    "text": put(b'"text"\n'),
    "null": put(b"null\n"),
    "nested deeply": put(b"[" * 100_000 + b"\n"),
    "nested deeply, closed": put(b"[" * 3000 + b"]" * 3000 + b"\n"),
    "mappings, nested deeply": put(b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"\n"),
    "a huge number": put(b'{"iteration": ' + b"9" * 5000 + b"}\n"),
    "a huge float": put(b'{"iteration": 1e999, "format": 1e999}\n'),
    "not a number": put(b'{"iteration": NaN, "format": NaN}\n'),
    "a key twice": put(b'{"iteration": 1, "iteration": 2, "format": 1, "format": 1}\n'),
    "aliases": put(b"a: &a [1]\nb: *a\n"),
    "a tag": put(b"!!python/object/apply:os.system [echo]\n"),
    "no such day": put(b"a: 2024-13-45\n"),
    "a NUL line within": in_the_middle(b"\0\0\0"),
    "a flipped quote within": changed(lambda content: content[:1] + content[1:].replace(b'"', b"\xa2", 1)),
    "a blank line within": in_the_middle(b""),
    "a list within": in_the_middle(b"[]"),
    "bytes that are no UTF-8 within": in_the_middle(b'{"iteration": 1, "a": "\xff"}'),
    "cut in half": changed(lambda content: content[: len(content) // 2]),
    "a bit flipped": changed(lambda content: bytes([content[0] ^ 1]) + content[1:]),
    "CRLF": changed(lambda content: content.replace(b"\n", b"\r\n")),
    "values that are null": every_value(None),
    "values that are text": every_value("text"),
    "values that are negative": every_value(-1),
    "values that are lists": every_value([1]),
    "values that are mappings": every_value({"a": {"b": 1}}),
    "a pipe": fifo,
    "a folder": folder_instead,
    "a broken link": broken_link,
}


def content_of(folder: Path) -> dict[str, Any]:
    """Every file, folder and link below a folder."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else path.stat().st_mode
        for path in folder.rglob("*")
    }


def resume(run: Path, *, iteration: str | None = None) -> None:
    """All that a resumed run reads and drops of its folder, in the order in which `python run.py ckpt=RUN` does it."""
    with_settings_of_run([f"ckpt={run}", "iterations=8"])
    found, checkpoint = checkpoints.find_checkpoint(str(run), say=lambda _: None)
    cfg = OmegaConf.create(CONFIG | {"ckpt": str(run), "iterations": 8})
    check_same_run(found, cfg)
    run_folder.finished_iterations(found)
    check_same_data(found, DATA)
    check_same_base(found, "/moved", "ef")
    checkpoints.rewind(found, run_folder.iteration_of(checkpoint))


def automatic(run: Path) -> None:
    with_settings_of_run(["ckpt=auto", f"hydra.run.dir={run}", "iterations=8"])


def summary(run: Path) -> None:
    from rich.console import Console

    with Path(os.devnull).open("w") as nowhere:
        print_summary(run, Console(file=nowhere))


READERS = {"resume": resume, "ckpt=auto": automatic, "begin anew": checkpoints.clear, "summary": summary}


def meets(reader: Callable[[Path], Any], run: Path) -> None:
    """A sentence and a folder that is what it was, or success. Anything else that is raised fails the test."""
    before = content_of(run)
    said = None
    try:
        reader(run)
    except (UserError, NothingToDo) as refusal:
        said = str(refusal)
    if said is not None:
        assert len(said.splitlines()) == 1
        assert ";" in said, f"no cure: {said}"
        assert content_of(run) == before


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_a_sentence_or_does_not_matter(whole: Path, tmp_path: Path, name: str, reader: str) -> None:
    for number, harm in enumerate(DAMAGES.values()):
        run = tmp_path / str(number)
        shutil.copytree(whole, run)
        harm(run / name)
        meets(READERS[reader], run)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("saved", [True, False])
def test_a_folder_that_is_something_else(whole: Path, tmp_path: Path, name: str, reader: str, saved: bool) -> None:
    """A file, a link to a folder elsewhere or to nowhere; nothing that a link leads to is ever removed."""
    for kind in ("deleted", "file", "link", "broken link"):
        run, elsewhere = tmp_path / kind / "run", tmp_path / kind / "elsewhere"
        shutil.copytree(whole, run)
        if not saved:
            (run / run_folder.DONE).unlink()
            for file in (run / run_folder.CHECKPOINTS).iterdir():
                shutil.rmtree(file) if file.is_dir() else file.unlink()
            if not (run / name).exists():
                continue
        (run / name).rename(elsewhere)
        if kind == "file":
            (run / name).write_text("a file")
        elif kind != "deleted":
            (run / name).symlink_to(elsewhere if kind == "link" else "nowhere")
        before = content_of(elsewhere)
        meets(READERS[reader], run)
        if reader == "begin anew" or name in ("policy", "policies", "tensorboard"):
            assert content_of(elsewhere) == before


def test_a_whole_folder_is_resumed(whole: Path, tmp_path: Path) -> None:
    """Else every damage above would be refused for one and the same reason."""
    shutil.copytree(whole, tmp_path / "run")
    for reader in (summary, automatic, resume):
        reader(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metrics.jsonl", b'{"iteration": 1}\n\0\n', r"metrics\.jsonl is damaged in line 2: .*sed -i 2d"),
        ("metrics.jsonl", b'{"iteration": 1, "train/a": "x"}\n', "in line 1: train/a is not a number"),
        ("prompts.jsonl", b'{"iteration": 1}\n', "in line 1: it has no prompt"),
        ("prompts.jsonl", b'{"iteration": "1"}\n', "in line 1: iteration is not a whole number from 0 on"),
        (
            "done.json",
            b"{}",
            "done.json is damaged: it has no iteration; remove it, and the run counts as",
        ),
        ("run.json", b'{"format": 99}', r"run\.json is damaged: format is not a version up to 2; restore it"),
        ("config.yaml", b"a: 1\na: 2\n", r"config\.yaml is damaged: it has a twice"),
        ("overrides.yaml", b"- 1\n", r"overrides\.yaml is damaged: it is not a list of words"),
    ],
)
def test_the_sentence_says_where_and_what(whole: Path, tmp_path: Path, name: str, content: bytes, said: str) -> None:
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        resume(tmp_path / "run")


def test_the_cure_works_when_it_is_typed(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    in_the_middle(b"\0")(run / run_folder.METRICS)
    with pytest.raises(UserError) as caught:
        resume(run)
    assert os.system(str(caught.value).split("take that line out: ")[1]) == 0
    resume(run)


def test_a_checkpoint_of_another_run_is_passed_over(whole: Path, tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(whole, run)
    shutil.copytree(whole, other)
    run_folder.write_json(other / run_folder.RUN, run_folder.read_json(other / run_folder.RUN) | {"id": "xyz"})
    copied = run / run_folder.CHECKPOINTS / "iteration_000006"
    shutil.copytree(write_checkpoint(other, 6), copied)
    said: list[str] = []
    assert checkpoints.find_checkpoint(str(run), say=said.append)[1].name == "iteration_000004"
    assert "it is a checkpoint of another run (xyz), and this one is abc" in said[0]
    with pytest.raises(UserError, match=r"another run .*go on from the newest whole one with ckpt=.*iteration_000004"):
        checkpoints.find_checkpoint(str(copied))


def test_a_run_of_an_earlier_version_has_no_id_and_is_read(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for file in [run / run_folder.RUN, *run.glob("checkpoints/*/manifest.json")]:
        content = run_folder.read_json(file)
        run_folder.write_json(file, {key: value for key, value in content.items() if key not in ("id", "run", "base")})
    assert checkpoints.find_checkpoint(str(run))[1].name == "iteration_000004"
    check_same_base(run, "/base", "ef")
    with pytest.raises(UserError, match=r"model\.path was /base and is /moved now"):
        check_same_base(run, "/moved", "ef")


def test_other_weights_in_the_folder_of_the_base_are_refused(whole: Path) -> None:
    check_same_base(whole, "/moved", "ef")
    with pytest.raises(UserError, match=r"its base model was /base, and model\.path=/base holds other weights"):
        check_same_base(whole, "/base", "gh")


def test_a_base_that_is_pretrained_again_may_be_rounded_otherwise(whole: Path, tmp_path: Path) -> None:
    """Its recipe says what it is. One in a folder may be the same."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / run_folder.CONFIG).write_text("model: {path: null}\n")
    check_same_base(run, None, "gh")
    check_same_base(run, "/copied", "ef")
    with pytest.raises(UserError, match=r"model\.pretrain, and model\.path=/other holds other weights"):
        check_same_base(run, "/other", "gh")


def test_a_run_does_not_begin_anew_among_files_of_others(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / run_folder.DONE).unlink()
    shutil.rmtree(run / run_folder.CHECKPOINTS)
    (run / "notes.txt").touch()
    before = content_of(run)
    with pytest.raises(UserError, match=r"notes\.txt is not something that a run writes.*move it away"):
        checkpoints.clear(run)
    assert content_of(run) == before
    (run / "notes.txt").unlink()
    checkpoints.clear(run)
    assert list(run.iterdir()) == []
