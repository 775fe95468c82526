"""The folder that describes the policy to vLLM has one name for one policy, whoever writes it and how often."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rsgrpo.errors import UserError
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.rollouts.vllm.description import content_hash, describe
from tests.rollouts.one_vllm import vllm_engine
from tests.runs import ROOT


def test_it_describes_the_policy_and_is_named_by_its_content(policy: Policy, tmp_path: Path) -> None:
    folder = describe(policy, str(tmp_path / "cache"))
    assert folder.name == content_hash(folder)
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["hidden_size"] == 64
    assert (folder / "tokenizer.json").is_file()
    assert not list(folder.rglob("*.safetensors"))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing else stays"


def test_another_process_gives_the_same_name_and_another_policy_another_one(policy: Policy, tmp_path: Path) -> None:
    code = (
        "import sys; from rsgrpo.models.policy import Policy; from rsgrpo.models.tiny import *\n"
        "from rsgrpo.rollouts.vllm.description import describe\n"
        "t = build_tokenizer(); p = Policy(build_model(t, hidden_size=64, num_layers=2, seed=7), t)\n"
        "print(describe(p, sys.argv[1]).name)"
    )
    name = describe(policy, str(tmp_path / "a")).name
    command = [sys.executable, "-c", code, str(tmp_path / "b")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.splitlines()[-1] == name, "other weights, the same description"
    policy.model.config.max_position_embeddings = 1024
    assert describe(policy, str(tmp_path / "a")).name != name


def test_a_file_that_was_changed_or_removed_comes_back(policy: Policy, tmp_path: Path) -> None:
    folder = describe(policy, str(tmp_path))
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    assert describe(policy, str(tmp_path)) == folder
    assert content_hash(folder) == folder.name


def test_a_reader_never_sees_a_file_that_is_not_whole(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second process writes it while the first one's is read: after every single step it is whole."""
    folder = describe(policy, str(tmp_path))
    replace, seen = Path.replace, []

    def watched(self: Path, target: Path) -> Path:
        result = replace(self, target)
        seen.append(content_hash(folder))
        return result

    monkeypatch.setattr(Path, "replace", watched)
    describe(policy, str(tmp_path))
    assert len(seen) > 2
    assert set(seen) == {folder.name}


def test_a_folder_that_cannot_be_written_is_named_with_the_cure(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=rf"in {tmp_path}/file/x \(Not a directory\); name another folder: cache_dir="):
        describe(policy, str(tmp_path / "file" / "x"))


def test_without_a_cache_it_lies_in_a_folder_of_this_user_alone(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = describe(policy, None)
    assert folder.parent == tmp_path / f"rsgrpo-{os.getuid()}"
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    owner = os.getuid()
    (tmp_path / f"rsgrpo-{owner + 1}").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(UserError, match="another user's; name a folder of your own"):
        describe(policy, None)


def key(engine: VLLMEngine) -> tuple[str, str]:
    """The folder that vLLM was given, and the key of what it has compiled."""
    configuration = engine._llm.llm_engine.vllm_config
    return configuration.model_config.model, configuration.compute_hash()


@pytest.mark.slow
def test_what_was_compiled_is_found_again_at_the_next_start(policy: Policy) -> None:
    engine = vllm_engine(policy)
    first = key(engine)
    engine.close()
    again = vllm_engine(policy)
    assert key(again) == first
    engine.close()
    again.max_tokens = 1024
    try:
        assert key(vllm_engine(policy))[1] != first[1], "the key does tell configurations apart"
    finally:
        again.max_tokens = None
        again.close()
