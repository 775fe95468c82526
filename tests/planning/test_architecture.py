"""Where the facts of a model come from."""

from pathlib import Path

import pytest
import torch

from rsgrpo.errors import UserError
from rsgrpo.planning.architecture import Architecture, architecture_of
from tests.planning.real_step import architecture


def test_a_folder_says_itself_what_it_is(tmp_path: Path) -> None:
    architecture().config.save_pretrained(tmp_path)
    found = architecture_of(str(tmp_path))
    assert str(tmp_path) in found.source
    assert (found.layers, found.vocabulary) == (4, 32_000)
    assert found.cached_numbers == 2 * 4 * 2 * 64
    assert found.parameters == architecture().parameters


def test_a_few_layers_are_the_first_ones() -> None:
    known = architecture_of("Qwen/Qwen3-0.6B")
    assert known.layers == 28
    small = architecture()
    assert len(small.build(2).get_decoder().layers) == 2  # pyright: ignore[reportArgumentType]
    assert small.layers == 4


def test_a_model_of_one_layer_is_planned_with_two() -> None:
    """A trace needs two; the kinds of the layers go on as they began."""
    known = architecture_of("Qwen/Qwen3-0.6B")
    with torch.device("meta"):
        single = Architecture(known.build(1).config, "a copy of one layer")
        kinds = single.build(2).config.layer_types
    assert kinds == known.config.layer_types[:2]


def test_a_model_that_is_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"model\.path=nobody/nothing: .*Qwen/Qwen3-0\.6B.*model\.path=/path/to/folder"):
        architecture_of("nobody/nothing")
