"""What vLLM is started with, on a CPU and on a machine that is taken for one with a GPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.vllm import VLLMEngine, settings
from rsgrpo.rollouts.vllm.engine import FEWEST_TOKENS
from rsgrpo.training import parity
from rsgrpo.types import Sampling

Make = Callable[..., VLLMEngine]


@pytest.fixture
def make(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> Make:
    """An engine on this machine, or on one with a GPU of 80 GiB."""
    monkeypatch.setattr("rsgrpo.rollouts.vllm.engine.missing", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (50 * 2**30, 80 * 2**30))

    def made(on_gpu: bool, **fields: Any) -> VLLMEngine:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: on_gpu)
        return VLLMEngine(policy=policy, **fields)

    return made


class Llm:
    """Stands in for a vLLM that runs, and notes that it sleeps or ends."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def sleep(self, level: int) -> None:
        self.calls.append("sleep")


@pytest.mark.parametrize(
    ("on_gpu", "asked", "eager"),
    [(True, "auto", False), (True, True, True), (True, False, False), (False, "auto", True), (False, False, False)],
)
def test_graphs_are_for_gpus_unless_one_says_otherwise(make: Make, on_gpu: bool, asked: Any, eager: bool) -> None:
    assert make(on_gpu, enforce_eager=asked)._settings(ranks=1)["enforce_eager"] is eager


@pytest.mark.parametrize(("on_gpu", "tokens"), [(True, 512), (False, 2048)])
def test_a_gpu_cuts_long_prompts_and_a_cpu_does_not(make: Make, on_gpu: bool, tokens: int) -> None:
    engine = make(on_gpu, prefill_tokens=256)
    given = engine._settings(ranks=1)
    assert given["enable_chunked_prefill"] is on_gpu
    assert given["max_model_len"] == 2048
    assert given["max_num_batched_tokens"] == tokens, "max_rows on a GPU, else the longest prompt plus completion"
    assert make(on_gpu, prefill_tokens=4096)._settings(ranks=1)["max_num_batched_tokens"] == 4096


def test_the_draw_of_a_prompt_that_is_cut_could_not_be_taken_back_on_a_cpu() -> None:
    """vLLM 0.32 sets a request's generator back by one draw; why `settings.batches` cuts no prompt there."""
    generator = torch.Generator().manual_seed(1)
    with pytest.raises(RuntimeError, match="CPU Generator does not use offset"):
        generator.set_offset(generator.get_offset() - 4)


@pytest.mark.parametrize(("sleep", "sleeps"), [("auto", True), (True, True), (False, False)])
def test_an_engine_that_does_not_sleep_keeps_its_memory(make: Make, sleep: Any, sleeps: bool) -> None:
    engine = make(True, sleep=sleep)
    assert engine._settings(ranks=1)["enable_sleep_mode"] is sleeps
    engine._llm, engine._has_weights = Llm(), True
    engine.make_room()
    assert engine._llm.calls == ["sleep"] * sleeps
    with pytest.raises(RuntimeError, match="load_policy comes before generate"):
        engine.generate([], Sampling(max_new_tokens=1), num_completions=1, seeds=[])


def test_the_longest_completion_is_what_the_run_asks_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make(False)

    def length() -> int:
        return engine._settings(ranks=1)["max_model_len"]

    assert length() == engine.policy.context == 2048, "where nobody says what it is"
    for asked, given in ((700, 700), (5000, 2048), (3, FEWEST_TOKENS), (300, 300)):
        engine.expect(asked)
        assert length() == given
    fixed = make(False, max_tokens=200)
    fixed.expect(900)
    assert fixed._settings(ranks=1)["max_model_len"] == 200


def test_an_engine_that_runs_starts_anew_for_longer_completions(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make(False)
    closed: list[int] = []
    monkeypatch.setattr(VLLMEngine, "close", lambda self: closed.append(self._max_tokens))
    engine.expect(400)
    engine._llm = Llm()
    engine.expect(300)
    assert (closed, engine._max_tokens) == ([], 400), "what it has is enough"
    engine.expect(500)
    assert (len(closed), engine._max_tokens) == (1, 500)


def test_the_check_of_the_log_probs_fits_into_the_shortest_engine() -> None:
    assert max(parity.PROMPT_TOKENS) + parity.MANY_TOKENS == FEWEST_TOKENS
    assert parity.NEW_TOKENS < parity.MANY_TOKENS


def test_several_ranks_are_there_before_vllm_is() -> None:
    assert settings.ranks_that_share(1, 1) == {}
    assert settings.ranks_that_share(4, 2)["distributed_executor_backend"] == "external_launcher"
