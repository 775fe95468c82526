"""The run folder: what is appended is read back, damage is seen, a rewound run holds nothing from its future."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rsgrpo import checkpoints, run_folder
from rsgrpo.checkpoints import damage, find_checkpoint, rewind
from rsgrpo.errors import UserError
from rsgrpo.run_folder import append, read
from tests.run_folders import describe_anew, flip_a_byte, write_checkpoint


def records(*iterations: int) -> list[dict]:
    """Records that fit each of the files."""
    counts = {"prompt": "a", "n": 4, "correct": 1, "mean_tokens": 2.5, "truncated": 0, "facts": {}}
    sample = {"problem": "1 + 1", "completion": "2", "reward": 1.0}
    return [{"iteration": i, "loss": i / 4, **counts, **sample} for i in iterations]


def test_what_is_appended_is_read_back_in_order(tmp_path):
    file = tmp_path / "eval" / "validation.jsonl"
    append(file, records(1, 2))
    append(file, [])
    append(file, records(3))
    assert read(file) == records(1, 2, 3)
    assert len(file.read_bytes().splitlines()) == 3


def test_a_missing_file_holds_no_records(tmp_path):
    assert read(tmp_path / "metrics.jsonl") == []


# A newline of its own, a carriage return, and what Unicode also takes for the end of a line.
@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "Ünï ≤ 中", "a\u2028b", "a\u0085b", 'quote " and \\boxed{1}'])
def test_any_text_survives_as_one_record(tmp_path, text):
    first, second = ({**record, "completion": text} for record in records(1, 2))
    append(tmp_path / "rollouts.jsonl", [first, second])
    assert read(tmp_path / "rollouts.jsonl") == [first, second]
    rewind(tmp_path, 1)
    assert read(tmp_path / "rollouts.jsonl") == [first]


@pytest.mark.parametrize("name", run_folder.RECORDS)
def test_rewinding_drops_later_records_and_keeps_earlier_ones(tmp_path, name):
    append(tmp_path / name, records(0, 1, 2, 2, 3, 4))
    logged = [{"iteration": i, f"eval/{split}/pass@1": 0.5} for i in (2, 3) for split in ("validation", "test")]
    append(tmp_path / run_folder.METRICS, logged)
    before = read(tmp_path / name)
    rewind(tmp_path, 2)
    assert read(tmp_path / name) == [record for record in before if record["iteration"] <= 2]
    # Nothing but the files themselves is left behind.
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {tmp_path / name, tmp_path / run_folder.METRICS}


@pytest.mark.parametrize(("name", "split"), [(run_folder.VALIDATION, "validation"), (run_folder.TEST, "test")])
def test_rewinding_drops_an_evaluation_that_was_cut_short(tmp_path, name, split):
    """Its metrics come last: without them the problems are not all there, and it is made again."""
    append(tmp_path / name, records(0, 2, 2))
    append(tmp_path / run_folder.METRICS, [{"iteration": 0, f"eval/{split}/pass@1": 0.5}, {"iteration": 2, "loss": 1}])
    assert [checkpoints.evaluated(tmp_path, split, i) for i in (0, 2)] == [True, False]
    rewind(tmp_path, 2)
    assert read(tmp_path / name) == records(0)


def test_rewinding_drops_a_record_that_was_cut_short(tmp_path):
    file = tmp_path / run_folder.METRICS
    whole = json.dumps({"iteration": 2, "loss": 0.25})
    for cut in range(1, len(whole)):
        append(file, records(1))
        with file.open("a") as out:
            out.write(whole[:cut])
        rewind(tmp_path, 2)
        assert read(file) == records(1)
        append(file, records(2))
        assert read(file) == records(1, 2)
        file.unlink()


def test_rewinding_copes_with_a_record_whose_newline_was_cut_off(tmp_path):
    file = tmp_path / run_folder.METRICS
    append(file, records(1))
    with file.open("a") as out:
        out.write(json.dumps(records(2)[0]))
    rewind(tmp_path, 2)
    append(file, records(3))
    assert [record["iteration"] for record in read(file)] in ([1, 3], [1, 2, 3])


def test_rewinding_to_the_start_keeps_the_base_evaluation_alone(tmp_path):
    append(tmp_path / run_folder.TEST, records(0, 5))
    base = [{"iteration": 0, "eval/test/pass@1": 0.5}]
    append(tmp_path / run_folder.METRICS, [*base, *records(1, 2)])
    rewind(tmp_path, 0)
    assert read(tmp_path / run_folder.TEST) == records(0)
    assert read(tmp_path / run_folder.METRICS) == base


def test_rewinding_takes_the_mark_of_a_finished_run_away(tmp_path):
    (tmp_path / run_folder.DONE).write_text("{}")
    (tmp_path / run_folder.RUN).write_text('{"format": 1}')
    rewind(tmp_path, 3)
    assert not (tmp_path / run_folder.DONE).exists()
    assert (tmp_path / run_folder.RUN).read_text() == '{"format": 1}'


def test_rewinding_an_empty_folder_changes_nothing(tmp_path):
    rewind(tmp_path, 3)
    assert list(tmp_path.iterdir()) == []


def test_rewinding_twice_is_rewinding_once(tmp_path):
    append(tmp_path / run_folder.METRICS, records(1, 2, 3))
    rewind(tmp_path, 2)
    once = (tmp_path / run_folder.METRICS).read_bytes()
    rewind(tmp_path, 2)
    assert (tmp_path / run_folder.METRICS).read_bytes() == once


# A full disk


def with_files_of_at_most(size: int, program: str) -> dict[str, Any]:
    """Run a program in a process in which no file may grow beyond `size` bytes; what it prints last is JSON."""
    limited = (
        "import json, resource, signal\n"
        "from pathlib import Path\n"
        "from rsgrpo import checkpoints, run_folder\n"
        "from rsgrpo.errors import UserError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails like that on a full disk\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
    )
    done = subprocess.run([sys.executable, "-c", limited + program], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


FAILING_APPEND = """
file, said = Path({file!r}), None
try:
    run_folder.append(file, [{{"iteration": 2, "text": "x" * {length}}}, {{"iteration": 2, "text": "y" * 900}}])
except UserError as error:
    said = str(error)
print(json.dumps({{"said": said, "bytes": file.stat().st_size}}))
"""


@pytest.mark.parametrize("length", [10, 900, 5000])
def test_an_append_that_the_disk_refuses_leaves_the_file_as_it_was(tmp_path: Path, length: int) -> None:
    file = tmp_path / run_folder.METRICS
    append(file, records(1))
    before = file.read_bytes()
    outcome = with_files_of_at_most(700, FAILING_APPEND.format(file=str(file), length=length))
    assert outcome["said"].startswith(f"{file} cannot be written (File too large; ")
    assert "MiB are free there); free some space and start again" in outcome["said"]
    assert file.read_bytes() == before
    append(file, records(2))
    assert read(file) == records(1, 2)


def test_the_cure_for_a_full_disk_names_the_run_when_it_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / run_folder.RUN).write_text("{}")
    write_checkpoint(tmp_path, 1)
    program = FAILING_APPEND.format(file=str(tmp_path / run_folder.VALIDATION), length=900)
    assert with_files_of_at_most(700, program)["said"].endswith(f"free some space and go on with ckpt={tmp_path}")


def test_a_json_file_that_the_disk_refuses_stays_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / run_folder.DONE
    run_folder.write_json(file, {"iteration": 1})
    program = f"""
said = None
try:
    run_folder.write_json(Path({str(file)!r}), {{"iteration": 2, "text": "x" * 900}})
except UserError as error:
    said = str(error)
print(json.dumps({{"said": said}}))
"""
    assert "cannot be written (File too large" in with_files_of_at_most(700, program)["said"]
    assert run_folder.read_json(file) == {"iteration": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_a_rewind_that_the_disk_refuses_loses_no_record(tmp_path: Path) -> None:
    append(tmp_path / run_folder.METRICS, records(*range(100)))
    program = f"""
said = None
try:
    checkpoints.rewind(Path({str(tmp_path)!r}), 90)
except UserError as error:
    said = str(error)
print(json.dumps({{"said": said}}))
"""
    assert "cannot be written" in with_files_of_at_most(700, program)["said"]
    assert read(tmp_path / run_folder.METRICS) == records(*range(100))
    rewind(tmp_path, 90)
    assert read(tmp_path / run_folder.METRICS) == records(*range(91))


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "eval").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"eval/test\.jsonl cannot be written \(File exists; .*start again"):
        append(tmp_path / run_folder.TEST, records(1))


def test_a_reader_never_sees_a_half_written_json_file(tmp_path: Path) -> None:
    file = tmp_path / run_folder.DONE
    contents = [{"iteration": 1, "text": "a" * 100_000}, {"iteration": 2, "text": "b" * 10}]
    run_folder.write_json(file, contents[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                run_folder.write_json(file, content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(run_folder.read_json(file) in contents for _ in range(300))
    finally:
        stop.set()
        writer.join()


# Checkpoints


@pytest.mark.parametrize("shards", [False, True])
def test_a_checkpoint_that_was_written_is_whole(tmp_path: Path, shards: bool) -> None:
    path = write_checkpoint(tmp_path, 3, shards=shards)
    assert damage(path) is None
    assert run_folder.checkpoints(tmp_path) == [path] == [run_folder.checkpoint(tmp_path, 3)]
    assert run_folder.is_sharded(path) == shards
    assert run_folder.state_of(path).exists()
    manifest = run_folder.read_json(path / run_folder.MANIFEST)
    assert (manifest["iteration"], manifest["ranks"]) == (3, 2 if shards else 1)
    assert sorted(manifest["files"]) == checkpoints.files_of(path)


def cut_short(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


DAMAGES: list[tuple[Callable[[Path], Any], str, str]] = [
    (flip_a_byte, "state.ckpt/__1_0.distcp", "has another content than was written"),
    (cut_short, "state.ckpt/__0_0.distcp", "bytes instead of"),
    (emptied, "state.ckpt/__0_0.distcp", "has 0 bytes instead of"),
    (Path.unlink, "state.ckpt/__1_0.distcp", "is missing"),
    (Path.unlink, "manifest.json", "is missing"),
    (cut_short, "manifest.json", "None"),  # only its newline: nothing is lost
    (emptied, "manifest.json", "cannot be read"),
    (lambda file: file.write_text("[1]"), "manifest.json", "cannot be read"),
    (lambda file: file.write_text('{"files": {}}'), "manifest.json", "lists no files"),
    (lambda file: file.write_text('{"files": {"a": 1}}'), "manifest.json", "cannot be read"),
    (lambda file: file.write_bytes(b"\xff\xfe"), "manifest.json", "cannot be read"),
]


@pytest.mark.parametrize(("harm", "name", "said"), DAMAGES)
def test_what_was_done_to_a_checkpoint_is_said(
    tmp_path: Path, harm: Callable[[Path], Any], name: str, said: str
) -> None:
    path = write_checkpoint(tmp_path, 3, shards=True)
    harm(path / name)
    assert said in str(damage(path))
    assert said == "None" or name in str(damage(path))


def test_only_the_content_tells_a_flipped_byte(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, 3)
    flip_a_byte(run_folder.state_of(path))
    assert damage(path, contents=False) is None
    assert damage(path) is not None
    describe_anew(path)
    assert damage(path) is None


def test_a_run_stands_for_its_newest_whole_checkpoint(tmp_path: Path) -> None:
    paths = [write_checkpoint(tmp_path, iteration) for iteration in (1, 2, 3, 4)]
    said: list[str] = []
    assert find_checkpoint(str(tmp_path), say=said.append) == (tmp_path, paths[3])
    assert said == []
    flip_a_byte(run_folder.state_of(paths[3]))
    cut_short(run_folder.state_of(paths[2]))
    assert find_checkpoint(str(tmp_path), say=said.append) == (tmp_path, paths[1])
    assert [message.split(" is damaged: ")[0] for message in said] == [str(paths[3]), str(paths[2])]
    assert all(message.endswith("going on from iteration_000002, which is whole") for message in said)


def test_what_is_passed_over_is_said_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path, 1)
    (write_checkpoint(tmp_path, 2) / run_folder.MANIFEST).unlink()
    find_checkpoint(str(tmp_path))
    assert "iteration_000002 is damaged: manifest.json is missing" in capsys.readouterr().err


def test_a_damaged_checkpoint_that_is_named_is_refused_with_the_newest_whole_one(tmp_path: Path) -> None:
    whole, named = write_checkpoint(tmp_path, 2), write_checkpoint(tmp_path, 4)
    assert find_checkpoint(str(whole)) == (tmp_path, whole)
    flip_a_byte(run_folder.state_of(named))
    with pytest.raises(UserError, match=r"another content.*newest whole one with ckpt=") as caught:
        find_checkpoint(str(named))
    assert str(caught.value).endswith(f"ckpt={whole}")
    flip_a_byte(run_folder.state_of(whole))
    with pytest.raises(UserError, match="no other one is whole: start again"):
        find_checkpoint(str(named))
    with pytest.raises(UserError, match=r"no checkpoint is whole: .*iteration_000004.*iteration_000002.*start"):
        find_checkpoint(str(tmp_path))


def test_a_checkpoint_that_was_being_written_is_none_and_goes_with_the_next_rewind(tmp_path: Path) -> None:
    whole = write_checkpoint(tmp_path, 2)
    shutil.copytree(whole, whole.with_name("iteration_000003.unfinished"))
    assert run_folder.checkpoints(tmp_path) == [whole]
    rewind(tmp_path, 2)
    assert list((tmp_path / run_folder.CHECKPOINTS).iterdir()) == [whole]


def test_a_kill_while_a_checkpoint_is_replaced_loses_neither(tmp_path: Path) -> None:
    """The old one has stepped aside, the new one has not got its name."""
    old = write_checkpoint(tmp_path, 2)
    aside = old.rename(old.with_name(old.name + run_folder.REPLACED))
    assert find_checkpoint(str(tmp_path)) == (tmp_path, aside)
    assert run_folder.iteration_of(aside) == 2
    rewind(tmp_path, 2)
    assert run_folder.checkpoints(tmp_path) == [aside]
    new = write_checkpoint(tmp_path, 2, content=b"new")
    assert list((tmp_path / run_folder.CHECKPOINTS).iterdir()) == [new]


def test_a_replaced_checkpoint_that_a_kill_left_goes_with_the_next_rewind(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, 2)
    shutil.copytree(path, path.with_name(path.name + run_folder.REPLACED))
    assert run_folder.checkpoints(tmp_path) == [path]
    rewind(tmp_path, 2)
    assert list((tmp_path / run_folder.CHECKPOINTS).iterdir()) == [path]


def test_a_checkpoint_of_the_same_iteration_is_replaced(tmp_path: Path) -> None:
    before = run_folder.state_of(write_checkpoint(tmp_path, 2)).read_bytes()
    path = write_checkpoint(tmp_path, 2, content=b"other weights")
    assert run_folder.state_of(path).read_bytes() != before
    assert damage(path) is None
    assert list((tmp_path / run_folder.CHECKPOINTS).iterdir()) == [path]


def test_rewinding_drops_checkpoints_of_the_future(tmp_path: Path) -> None:
    paths = [write_checkpoint(tmp_path, iteration) for iteration in (1, 2, 3)]
    checkpoints.mark_best(tmp_path, 3, "train/reward_mean", 0.5)
    rewind(tmp_path, 2)
    assert run_folder.checkpoints(tmp_path) == paths[:2]
    assert run_folder.best(tmp_path) is None


def test_rewinding_keeps_a_best_one_of_the_past(tmp_path: Path) -> None:
    for iteration in (1, 2, 3):
        write_checkpoint(tmp_path, iteration)
    checkpoints.mark_best(tmp_path, 2, "train/reward_mean", 0.5)
    rewind(tmp_path, 2)
    assert run_folder.best(tmp_path) == {"iteration": 2, "metric": "train/reward_mean", "value": 0.5}


def test_the_newest_checkpoints_and_the_best_one_are_kept(tmp_path: Path) -> None:
    paths = {iteration: write_checkpoint(tmp_path, iteration) for iteration in range(1, 7)}
    checkpoints.mark_best(tmp_path, 2, "train/reward_mean", 0.5)
    checkpoints.prune(tmp_path, 2)
    assert run_folder.checkpoints(tmp_path) == [paths[2], paths[5], paths[6]]
    checkpoints.mark_best(tmp_path, 5, "train/reward_mean", 0.6)
    checkpoints.prune(tmp_path, 2)
    assert run_folder.checkpoints(tmp_path) == [paths[5], paths[6]]


def test_a_checkpoint_that_was_pruned_is_answered_with_those_that_are_there(tmp_path: Path) -> None:
    folder = tmp_path / run_folder.CHECKPOINTS
    write_checkpoint(tmp_path, 20)
    newest = write_checkpoint(tmp_path, 40)
    for name in ("iteration_000010", "iteration_30", "last"):
        with pytest.raises(UserError, match=rf"no such checkpoint.*iterations 20, 40 are there.*ckpt={newest} "):
            find_checkpoint(str(folder / name))
    with pytest.raises(UserError, match=r"no checkpoint was recorded as the best.*iterations 20, 40 are there"):
        find_checkpoint(str(folder / "best"))


def test_best_stands_for_the_checkpoint_that_was_recorded(tmp_path: Path) -> None:
    named = str(tmp_path / run_folder.CHECKPOINTS / "best")
    write_checkpoint(tmp_path, 1)
    with pytest.raises(UserError, match=r"no checkpoint was recorded as the best.* best=.* Checkpoint") as e:
        find_checkpoint(named)
    assert str(e.value).startswith(f"ckpt={named}: ")
    path = write_checkpoint(tmp_path, 2)
    write_checkpoint(tmp_path, 3)
    checkpoints.mark_best(tmp_path, 2, "eval/validation/pass@1", 0.5)
    assert find_checkpoint(named) == (tmp_path, path)
    flip_a_byte(run_folder.state_of(path))
    with pytest.raises(UserError, match="another content"):
        find_checkpoint(named)
    shutil.rmtree(path)
    with pytest.raises(UserError, match=r"iteration_000002 is missing; go on .*iteration_000003"):
        find_checkpoint(named)


# A run that begins anew in its folder


def test_a_run_without_a_checkpoint_is_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    for name in (run_folder.RUN, run_folder.CONFIG, run_folder.OVERRIDES, "done.json.unfinished"):
        (tmp_path / name).write_text("{}")
    for name in run_folder.RECORDS:
        append(tmp_path / name, records(0, 1))
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events").touch()
    (run_folder.checkpoint(tmp_path, 1).with_suffix(".unfinished") / "state.ckpt").mkdir(parents=True)
    beside = tmp_path.with_name("beside.txt")
    beside.touch()
    (tmp_path / run_folder.OUTPUT).write_text("what the job of a sweep has printed")
    checkpoints.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [run_folder.OUTPUT], "the launcher's process has it open"
    assert beside.exists()


def test_a_folder_that_is_no_runs_is_not_cleared(tmp_path: Path) -> None:
    append(tmp_path / run_folder.METRICS, records(1))
    checkpoints.clear(tmp_path)
    checkpoints.clear(tmp_path / "nowhere")
    assert read(tmp_path / run_folder.METRICS) == records(1)


@pytest.mark.parametrize("finished", [True, False])
def test_results_are_never_cleared_away(tmp_path: Path, finished: bool) -> None:
    (tmp_path / run_folder.RUN).write_text("{}")
    if finished:
        run_folder.write_json(tmp_path / run_folder.DONE, {"iteration": 1})
    else:
        flip_a_byte(run_folder.state_of(write_checkpoint(tmp_path, 1)))
    with pytest.raises(UserError, match=r"holds a run with results; choose another folder with hydra\.run\.dir="):
        checkpoints.clear(tmp_path)
    assert (tmp_path / run_folder.RUN).is_file()


def test_rewinding_drops_exported_policies_of_the_future(tmp_path: Path) -> None:
    for iteration in (2, 4, 6):
        run_folder.exported_policy(tmp_path, iteration).mkdir(parents=True)
    checkpoints.rewind(tmp_path, 4)
    assert sorted(path.name for path in (tmp_path / "policies").iterdir()) == ["iteration_000002", "iteration_000004"]


def test_a_full_disk_that_names_the_run_folder_alone_says_how_to_go_on(tmp_path: Path) -> None:
    run_folder.write_json(tmp_path / run_folder.RUN, {})
    write_checkpoint(tmp_path, 2)
    assert f"go on with ckpt={tmp_path}" in str(run_folder.disk_error(tmp_path, OSError(28, "No space left")))


def test_records_by_iteration_are_those_of_the_file_and_parsed_when_asked_for(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    first, second, third = ({"iteration": i, "x/y": 1.5} for i in (0, 7, 7))
    file.write_text(
        "".join(
            [
                json.dumps(first) + "\n",
                '{"x/y": 1.5, "iteration": 7}\n',  # another order of keys
                json.dumps(third) + "\n",
                '{"iteration": 9, "x/y": tru}\n',
                '{"iteration": 7, "x/y"',  # cut short
            ]
        )
    )
    found = run_folder.ByIteration(file)
    assert (list(found), len(found), 7 in found, 8 in found) == ([0, 7, 9], 3, True, False)
    assert (found[0], found[7]) == ([first], [second, third])
    with pytest.raises(UserError, match="damaged in line 4"):
        found[9]
    assert len(run_folder.ByIteration(tmp_path / "none.jsonl")) == 0


def test_visits_are_those_that_were_written_in_whatever_order_of_keys(tmp_path: Path):
    file = tmp_path / run_folder.PROMPTS
    run_folder.append(file, [{"iteration": 3, "prompt": 'a "b" \\ ü', "n": 8, "correct": 2, "dropped": None}])
    with file.open("a") as more:
        more.write('{"n": 4, "correct": 4, "prompt": "c", "iteration": 5}\n{"iteration": 6, "prom')
    assert list(run_folder.read_visits(file)) == [(3, 'a "b" \\ ü', 8, 2), (5, "c", 4, 4)]
    assert list(run_folder.read_visits(tmp_path / "none.jsonl")) == []
    with file.open("a") as more:
        more.write("\n")
    with pytest.raises(UserError, match="damaged in line 3"):
        list(run_folder.read_visits(file))
