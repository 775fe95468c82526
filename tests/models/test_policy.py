import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen2Config, Qwen3Config

from rsgrpo.batching.packing import TrainingSequence, pack
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from rsgrpo.types import PackedRow

TOKENIZER = build_tokenizer()
VOCABULARY = len(TOKENIZER)
Sequences = Sequence[tuple[list[int], list[int]]]
"""Prompts with their completions."""


def grouped_query(kind: Callable[..., PreTrainedConfig]) -> PreTrainedConfig:
    return kind(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=kind is not LlamaConfig,
        # Wide enough for attention and distributions that are far from uniform.
        initializer_range=0.15,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )


ARCHITECTURES = {
    "tiny": lambda: build_model(TOKENIZER, hidden_size=64, num_layers=2, seed=0),
    "Qwen3": lambda: AutoModelForCausalLM.from_config(grouped_query(Qwen3Config)),
    "Qwen2": lambda: AutoModelForCausalLM.from_config(grouped_query(Qwen2Config)),
    "Llama": lambda: AutoModelForCausalLM.from_config(grouped_query(LlamaConfig)),
}


@pytest.fixture(params=ARCHITECTURES)
def any_policy(request: pytest.FixtureRequest) -> Policy:
    """A policy of each architecture, with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ARCHITECTURES[request.param]()
    if request.param == "tiny":
        with torch.no_grad():
            cast(nn.Embedding, model.get_input_embeddings()).weight.mul_(4)
    return Policy(model, TOKENIZER)


def random_sequences(*lengths: tuple[int, int], seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """Random tokens: (tokens of the prompt, tokens of the completion) for each sequence."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(n: int) -> list[int]:
        return torch.randint(VOCABULARY, (n,), generator=generator).tolist()

    return [(tokens(prompt), tokens(completion)) for prompt, completion in lengths]


MIXED = random_sequences((6, 20), (1, 1), (150, 90), (6, 19), (3, 200), (1, 64), (60, 1), (7, 8), (7, 8), (30, 2))


def row_of(sequences: Sequences) -> PackedRow:
    """A packed row in the order given, put together without the project's packer."""
    ids, positions, targets, target_ids, owners = [], [], [], [], []
    for owner, (prompt, completion) in enumerate(sequences):
        start = len(ids)
        ids += prompt + completion
        positions += range(len(prompt) + len(completion))
        targets += range(start + len(prompt) - 1, start + len(prompt) + len(completion) - 1)
        target_ids += completion
        owners += [owner] * len(completion)
    zeros = torch.zeros(len(targets))
    return PackedRow(
        token_ids=torch.tensor(ids),
        position_ids=torch.tensor(positions),
        lengths=tuple(len(p) + len(c) for p, c in sequences),
        target_index=torch.tensor(targets),
        target_ids=torch.tensor(target_ids),
        sequence_of_target=torch.tensor(owners),
        advantages=zeros,
        weights=zeros,
        sampler_logprobs=zeros,
    )


def plain(policy: Policy, implementation: str = "eager") -> nn.Module:
    """The same weights in an ordinary transformers model, which knows nothing of packing."""
    model = AutoModelForCausalLM.from_config(policy.model.config, attn_implementation=implementation)
    model.load_state_dict(policy.model.state_dict())
    assert model.config._attn_implementation == implementation
    return model.train(policy.training)


def separately(model: nn.Module, sequences: Sequences, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probs of all completion tokens and their entropies, by a full softmax over one sequence at a time."""
    logprobs, entropies = [], []
    for prompt, completion in sequences:
        logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1] / temperature
        distribution = torch.distributions.Categorical(logits=logits)
        logprobs.append(distribution.log_prob(torch.tensor(completion)))
        entropies.append(distribution.entropy())
    return torch.cat(logprobs), torch.cat(entropies)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "sequences",
    [
        pytest.param(MIXED, id="mixed lengths"),
        pytest.param(MIXED[2:3], id="one sequence"),
        pytest.param(random_sequences((1, 1)), id="two tokens"),
        pytest.param(random_sequences(*[(6, 10)] * 12), id="equal lengths"),
    ],
)
def test_a_packed_row_gives_what_each_sequence_gives_alone(
    any_policy: Policy, sequences: Sequences, implementation: str
):
    with torch.no_grad():
        statistics = any_policy(row_of(sequences), 1.0)
        logprobs, entropies = separately(plain(any_policy, implementation), sequences)
    assert len(sequences) == 1 or logprobs.std() > 0.1, "the weights tell tokens apart"
    torch.testing.assert_close(statistics.logprobs, logprobs, atol=1e-5, rtol=0)
    torch.testing.assert_close(statistics.entropy, entropies, atol=1e-5, rtol=0)


@pytest.mark.skipif(
    "ATEN_CPU_CAPABILITY" in os.environ, reason="PyTorch packs bfloat16 for the processor as it is, whatever it is told"
)
def test_under_bfloat16_autocast_it_computes_nearly_the_same_and_every_weight_learns(any_policy: Policy):
    """What `trainer.precision=bf16-mixed` does around it."""
    row = row_of(MIXED)
    exact = any_policy(row, 1.0).logprobs.detach()
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        logprobs = any_policy(row, 1.0).logprobs
    logprobs.sum().backward()
    assert 1e-4 < (logprobs - exact).abs().max() < 0.5
    assert (logprobs - exact).abs().mean() < 0.03
    for name, parameter in any_policy.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_rows_of_the_packer_give_what_each_sequence_gives_alone(any_policy: Policy):
    by_length = sorted(MIXED, key=lambda s: len(s[0]) + len(s[1]))
    sequences = [
        TrainingSequence(
            prompt_ids=tuple(p),
            completion_ids=tuple(c),
            advantage=0.0,
            weight=1.0,
            sampler_logprobs=torch.zeros(len(c)),
        )
        for p, c in MIXED
    ]
    rows = pack(sequences, row_tokens=150, device=any_policy.device)
    assert len(rows) > 2
    with torch.no_grad():
        packed = torch.cat([any_policy(row, 1.0).logprobs for row in rows])
        expected, _ = separately(plain(any_policy), by_length)
    torch.testing.assert_close(packed, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.7])
def test_log_probs_and_entropy_are_those_at_the_temperature(any_policy: Policy, temperature: float):
    with torch.no_grad():
        statistics = any_policy(row_of(MIXED), temperature)
        logprobs, entropies = separately(plain(any_policy), MIXED, temperature)
    # Logits are divided by the temperature, and so are their rounding errors.
    tolerance = 1e-5 * max(1, 1 / temperature)
    torch.testing.assert_close(statistics.logprobs, logprobs, atol=tolerance, rtol=0)
    torch.testing.assert_close(statistics.entropy, entropies, atol=tolerance, rtol=0)


def test_entropy_carries_no_gradient_and_log_probs_do(any_policy: Policy):
    for chunk_tokens in (4096, 50):
        any_policy.chunk_tokens = chunk_tokens
        statistics = any_policy(row_of(MIXED), 1.0)
        assert not statistics.entropy.requires_grad
        assert statistics.logprobs.requires_grad


def test_a_uniform_policy_has_the_entropy_of_the_vocabulary(policy: Policy):
    with torch.no_grad():
        cast(nn.Linear, policy.model.get_output_embeddings()).weight.zero_()
    statistics = policy(row_of(MIXED), 1.0)
    torch.testing.assert_close(statistics.entropy, torch.full_like(statistics.entropy, math.log(VOCABULARY)))
    torch.testing.assert_close(statistics.logprobs, torch.full_like(statistics.logprobs, -math.log(VOCABULARY)))


def test_a_certain_policy_has_no_entropy_and_no_nan(policy: Policy):
    with torch.no_grad():
        cast(nn.Linear, policy.model.get_output_embeddings()).weight.mul_(1e4)
    statistics = policy(row_of(MIXED), 1.0)
    assert statistics.logprobs.isfinite().all()
    assert statistics.entropy.isfinite().all()
    assert statistics.entropy.min() > -1e-2  # rounding of logits of some thousands
    assert statistics.entropy.median() < 0.1


@pytest.mark.parametrize("changed", [0, 2, 4])
def test_a_token_of_one_sequence_changes_nothing_in_another(any_policy: Policy, changed: int):
    prompt, completion = MIXED[changed]
    others = [*MIXED]
    others[changed] = ([(prompt[0] + 1) % VOCABULARY, *prompt[1:]], completion)
    with torch.no_grad():
        before, after = any_policy(row_of(MIXED), 1.0), any_policy(row_of(others), 1.0)
    mine = row_of(MIXED).sequence_of_target == changed
    assert not torch.allclose(before.logprobs[mine], after.logprobs[mine], atol=1e-3)
    torch.testing.assert_close(before.logprobs[~mine], after.logprobs[~mine], atol=1e-6, rtol=0)


def test_a_later_token_changes_nothing_before_it(any_policy: Policy):
    prompt, completion = MIXED[4]
    changed = [*MIXED]
    changed[4] = (prompt, [*completion[:100], (completion[100] + 1) % VOCABULARY, *completion[101:]])
    with torch.no_grad():
        before, after = any_policy(row_of(MIXED), 1.0).logprobs, any_policy(row_of(changed), 1.0).logprobs
    place = int((row_of(MIXED).sequence_of_target == 4).nonzero()[100])
    torch.testing.assert_close(before[:place], after[:place], atol=1e-6, rtol=0)
    assert not torch.allclose(before[place:], after[place:], atol=1e-3)


def gradients(module: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    module.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def assert_same_gradients(got: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert got.keys() == expected.keys()
    size = max(g.abs().max() for g in expected.values())
    assert size > 0
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], atol=float(tolerance * size), rtol=0, msg=name)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_gradient_of_a_packed_row_is_the_sum_of_the_separate_ones(any_policy: Policy, temperature: float):
    row = row_of(MIXED)
    weights = torch.randn(row.num_loss_tokens, generator=torch.Generator().manual_seed(1))
    packed = gradients(any_policy.model, (weights * any_policy(row, temperature).logprobs).sum())
    model = plain(any_policy)
    logprobs, _ = separately(model, MIXED, temperature)
    assert_same_gradients(packed, gradients(model, (weights * logprobs).sum()), 1e-5)


@pytest.mark.parametrize("chunk_tokens", [1, 7, 100, 412, 413, 414])
def test_the_chunk_size_changes_neither_values_nor_gradients(any_policy: Policy, chunk_tokens: int):
    row = row_of(MIXED)
    assert row.num_loss_tokens == 413
    weights = torch.randn(413, generator=torch.Generator().manual_seed(1))
    whole = any_policy(row, 0.8)
    expected = gradients(any_policy.model, (weights * whole.logprobs).sum())
    any_policy.chunk_tokens = chunk_tokens
    chunked = any_policy(row, 0.8)
    # A product of another shape may add up in another order, so the last bits may differ.
    torch.testing.assert_close(chunked.logprobs, whole.logprobs, atol=1e-5, rtol=0)
    torch.testing.assert_close(chunked.entropy, whole.entropy, atol=1e-5, rtol=0)
    assert_same_gradients(gradients(any_policy.model, (weights * chunked.logprobs).sum()), expected, 1e-5)


def test_a_saved_policy_comes_back_and_the_live_one_stays_as_it_was(any_policy: Policy, tmp_path: Path):
    row = row_of(MIXED)
    with torch.no_grad():
        before = any_policy(row, 1.0).logprobs
        any_policy.save_pretrained(tmp_path)
        loaded = Policy.from_pretrained(tmp_path)
        torch.testing.assert_close(any_policy(row, 1.0).logprobs, before)
        torch.testing.assert_close(loaded(row, 1.0).logprobs, before)
    live = dict(any_policy.named_parameters())
    assert all(torch.equal(parameter, live[name]) for name, parameter in loaded.named_parameters())
    assert loaded.training
    assert loaded.context == any_policy.context == 2048
    assert loaded.stop_token_ids == any_policy.stop_token_ids == (TOKENIZER.eos_token_id,)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())


def test_a_saved_folder_does_not_depend_on_the_project(policy: Policy, tmp_path: Path):
    policy.save_pretrained(tmp_path)
    for file in tmp_path.glob("*.json"):
        assert "packed" not in file.read_text() or file.name == "tokenizer.json"
    ids = torch.tensor([MIXED[0][0] + MIXED[0][1]])
    model = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    with torch.no_grad():
        logits = model(ids).logits[0].log_softmax(-1)
    expected = logits[len(MIXED[0][0]) - 1 : -1].gather(-1, torch.tensor(MIXED[0][1])[:, None])[:, 0]
    torch.testing.assert_close(policy(row_of(MIXED[:1]), 1.0).logprobs, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("configured", "stops"), [(None, (1,)), (1, (1,)), (7, (1, 7)), ([9, 1, 4], (1, 4, 9))])
def test_stop_tokens_are_those_of_the_tokenizer_and_of_the_generation_config(
    policy: Policy, configured: int | list[int] | None, stops: tuple[int, ...]
):
    assert TOKENIZER.eos_token_id == 1
    policy.model.generation_config.eos_token_id = configured
    assert policy.stop_token_ids == stops
