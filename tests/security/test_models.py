"""A model folder is data: nothing in it is run."""

import json
import pickle
from pathlib import Path

import pytest

from rsgrpo.data.prompting import PromptFormat
from rsgrpo.data.source import tokenize
from rsgrpo.errors import UserError
from rsgrpo.models.policy import Policy
from rsgrpo.types import Problem
from tests.security.traps import Trap


@pytest.fixture
def folder(policy: Policy, tmp_path: Path) -> Path:
    policy.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def loaded(folder: Path) -> Policy | None:
    try:
        return Policy.from_pretrained(folder)
    except Exception:  # a folder that is refused, in whatever words, has run nothing
        return None


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_a_model_folder_brings_is_not_run(folder: Path, tmp_path: Path, file: str) -> None:
    code = f"open({str(tmp_path / 'victim')!r}, 'w')\nclass Own: pass\n"
    (folder / "own.py").write_text(code, encoding="utf-8")
    settings = json.loads((folder / file).read_text(encoding="utf-8"))
    settings["auto_map"] = {name: "own.Own" for name in ("AutoConfig", "AutoModelForCausalLM")} | {
        "AutoTokenizer": ["own.Own", None]
    }
    (folder / file).write_text(json.dumps(settings), encoding="utf-8")
    loaded(folder)
    settings["model_type"] = settings["tokenizer_class"] = "own"  # no class of transformers to fall back on
    (folder / file).write_text(json.dumps(settings), encoding="utf-8")
    loaded(folder)
    assert not (tmp_path / "victim").exists()


def test_a_pickle_in_place_of_weights_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(str(tmp_path / "victim"))))
    assert loaded(folder) is None
    assert not (tmp_path / "victim").exists()


def test_the_trap_would_have_shut(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(str(tmp_path / "victim"))))
    assert (tmp_path / "victim").exists()


def test_a_chat_template_cannot_leave_its_sandbox(policy: Policy, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    policy.tokenizer.chat_template = f"{{{{ cycler.__init__.__globals__.os.system('touch {victim}') }}}}"
    problem = Problem(id="p", text="1 + 1", answer="2")
    with pytest.raises(UserError, match=r"chat template of .* refuses a problem .* unsafe"):
        tokenize(
            [problem],
            policy.tokenizer,
            max_prompt_tokens=None,
            max_new_tokens=4,
            context=64,
            vocabulary=427,
            prompt_format=PromptFormat(chat_template=True),
        )
    assert not victim.exists()
