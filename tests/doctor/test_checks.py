"""Each check is ok on what is right, and finds the fault that it is there for."""

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from tokenizers import normalizers

from rsgrpo.data.countdown import Countdown, Demonstrations
from rsgrpo.data.prompting import PromptFormat
from rsgrpo.doctor import engine, prompts, rewards, trainer
from rsgrpo.doctor.bench import Bench
from rsgrpo.doctor.runs import compared
from rsgrpo.doctor.versions import unmet_requirements
from rsgrpo.models import attention
from rsgrpo.models import policy as policies
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from rsgrpo.rewards.countdown import CountdownReward
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.types import Problem
from tests.doctor.faults import AlwaysRight, NeverRight, OwnWeights


@pytest.fixture
def wide() -> Policy:
    """One layer, and logits that spread as those of a trained model."""
    tokenizer = build_tokenizer()
    policy = Policy(build_model(tokenizer, hidden_size=64, num_layers=1, seed=0), tokenizer)
    with torch.no_grad():
        policy.model.get_output_embeddings().weight.mul_(3.0)  # type: ignore[union-attr, operator]
    return policy


def bench_of(policy: Policy, **faults: Any) -> Bench:
    return Bench(policy=policy, make_engine=lambda: OwnWeights(policy=policy, **faults), half=False)


def test_a_sound_policy_and_engine_pass(wide: Policy) -> None:
    live = Bench(policy=wide, make_engine=lambda: HFEngine(policy=wide), half=False)
    of_both = (engine.start, engine.names, engine.parity, engine.same_seeds_same_samples)
    for bench, check in (
        *((live, check) for check in (trainer.packed_is_separate, trainer.micro_batches_are_one, *of_both)),
        *((bench_of(wide), check) for check in (*of_both, engine.every_tensor_moves)),
    ):
        result = check(bench)
        assert result.ok, (check.__name__, result)


def test_sequences_that_see_each_other_are_found(wide: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    of = attention.PackedLayout.of

    def one(lengths: Any, device: torch.device) -> Any:
        return of([sum(lengths)], device)

    monkeypatch.setattr(policies.PackedLayout, "of", one)
    result = trainer.packed_is_separate(bench_of(wide))
    assert not result.ok, result


def test_positions_that_are_right_in_short_rows_only_are_found(wide: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Policy.forward

    def shifted(self: Policy, row: Any, *args: Any, **kwargs: Any) -> Any:
        seen = row.position_ids * (len(row.lengths) == 1)
        return forward(self, replace(row, position_ids=seen), *args, **kwargs)

    monkeypatch.setattr(Policy, "forward", shifted)
    assert not trainer.packed_is_separate(bench_of(wide)).ok


def test_a_gradient_that_depends_on_the_rows_is_found(wide: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Bench.rows

    def averaged(self: Bench, *args: Any, **kwargs: Any) -> Any:
        made = rows(self, *args, **kwargs)
        return [replace(row, weights=row.weights / len(made)) for row in made]

    monkeypatch.setattr(Bench, "rows", averaged)
    assert not trainer.micro_batches_are_one(bench_of(wide)).ok


def test_tensors_that_no_sync_moves_are_named_and_all_are_as_they_were_afterwards(wide: Policy) -> None:
    before = {name: p.detach().clone() for name, p in wide.named_parameters()}
    skips = ("model.layers.0.self_attn.k_norm.weight", "model.layers.0.mlp.down_proj.weight", "model.norm.weight")
    result = engine.every_tensor_moves(bench_of(wide, skips=skips))
    assert not result.ok
    assert "10 of 13 tensors followed; not model.layers.0." in result.measured
    assert "and 2 more" in result.measured
    for name, parameter in wide.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_an_engine_that_samples_another_policy_is_found(wide: Policy) -> None:
    assert engine.parity(bench_of(wide)).ok
    result = engine.parity(bench_of(wide, hotter=1.1))
    assert not result.ok
    assert "p99" in result.measured


@pytest.mark.parametrize(("reward", "ok"), [(CountdownReward(), True), (AlwaysRight(), False), (NeverRight(), False)])
def test_a_reward_that_does_not_judge_is_found(reward: Any, ok: bool) -> None:
    problems = Countdown(levels=[1]).split("train")[:4]

    def answers(problem: Problem) -> list[str]:
        return [Demonstrations().draw(problem, random.Random(seed)) for seed in range(60)]

    result = rewards.judges(reward, problems, answers)
    assert result.ok == ok, result


TEMPLATE = (
    "{{ bos_token or '' }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def chat_tokenizer(template: str = TEMPLATE) -> Any:
    tokenizer = build_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = template
    return tokenizer


CHAT = PromptFormat(chat_template=True)
PROBLEM = Problem(id="p", text="6 12 9 => 36 :", answer="36")


def test_a_prompt_comes_back_as_it_was() -> None:
    result = prompts.round_trip(chat_tokenizer(), PROBLEM, CHAT)
    assert result.ok
    assert "<|im_start|>" in result.measured
    assert "6 12 9 => 36" in result.measured
    assert prompts.round_trip(build_tokenizer(), PROBLEM, PromptFormat()).ok


def test_a_text_that_the_tokenizer_changes_is_found() -> None:
    tokenizer = build_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("9", "8")
    assert not prompts.round_trip(tokenizer, PROBLEM, PromptFormat()).ok


def test_a_text_that_begins_twice_is_found() -> None:
    tokenizer = chat_tokenizer("<|im_start|><|im_start|>{{ messages[0].content }}")
    tokenizer.bos_token = "<|im_start|>"
    result = prompts.round_trip(tokenizer, PROBLEM, CHAT)
    assert not result.ok
    assert "begin twice" in result.measured


def test_a_turn_whose_end_does_not_stop_is_found() -> None:
    tokenizer = chat_tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    missing = prompts.stop_tokens(tokenizer, [tokenizer.eos_token_id], CHAT)
    assert not missing.ok
    assert f"put {end} (<|im_end|>) into eos_token_id" in missing.cure
    assert prompts.stop_tokens(tokenizer, [tokenizer.eos_token_id, end], CHAT).ok
    assert not prompts.stop_tokens(tokenizer, [], PromptFormat()).ok
    assert prompts.stop_tokens(tokenizer, [tokenizer.eos_token_id], PromptFormat()).ok


def test_runs_are_compared_number_by_number() -> None:
    one = [{"train/loss": 1.0, "train/entropy": 2.0}]
    assert compared(one, one, 0.0).ok
    assert not compared(one, [{"train/loss": 1.0, "train/entropy": 2.1}], 0.02).ok
    assert "train/entropy, iteration 1" in compared(one, [{"train/loss": 1.0, "train/entropy": 2.1}], 0.02).measured
    assert compared(one, [{"train/loss": 1.0, "train/entropy": 2.01}], 0.02).ok
    assert not compared(one, [{"train/loss": float("nan"), "train/entropy": 2.0}], 0.02).ok
    assert not compared(one, [], 0.02).ok
    assert not compared(one, [{"train/loss": 1.0}], 0.02).ok


def test_requirements_that_are_not_met_are_named() -> None:
    wanted = ["torch>=2.0", "numpy<1", "no-such-package>=1", "vllm; extra == 'vllm'"]
    assert [requirement.name for requirement in unmet_requirements(wanted)] == ["numpy", "no-such-package"]
