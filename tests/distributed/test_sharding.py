"""The sharded policy is the policy: read, computed, trained, sampled and written as if it were whole."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from rsgrpo.distributed.sharding import Compiled, Sharding, full_tensors, shard_reader
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_tokenizer
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.types import Problem, Prompt, Sampling
from tests.adapters import add_random_adapters
from tests.distributed.on_ranks import on_ranks
from tests.distributed.rank_bodies import backward, rows_of
from tests.models.folders import changed, sharded


@pytest.fixture(scope="module")
def tied(random_policy: Path) -> Path:
    """Embedding and head are one tensor."""
    return random_policy


def untied_policy(folder: Path, num_layers: int) -> Path:
    """A head of its own, a vocabulary that two ranks cannot halve, and weights stored in bfloat16."""
    config = Qwen3Config(
        vocab_size=len(build_tokenizer()) | 1,
        hidden_size=48,
        intermediate_size=202,
        num_hidden_layers=num_layers,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=16,
        tie_word_embeddings=False,
        eos_token_id=1,
    )
    torch.manual_seed(3)
    Policy(Qwen3ForCausalLM(config).bfloat16(), build_tokenizer()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untied_policy(tmp_path_factory.mktemp("policy") / "untied", num_layers=6)


@pytest.mark.slow
def test_every_surrogate_term_and_correction_adds_up_over_ranks(tied: Path) -> None:
    on_ranks("every_loss_adds_up_over_ranks", tied)


@pytest.mark.slow
def test_each_rank_reads_its_shards_and_no_more(tied: Path) -> None:
    on_ranks("shards_are_read_from_the_files", tied)


def test_shards_are_read_from_bfloat16_files_with_a_head_of_its_own(untied: Path) -> None:
    on_ranks("shards_are_read_from_the_files", untied)


@pytest.mark.slow
def test_three_ranks_share_what_three_does_not_divide(untied: Path) -> None:
    on_ranks("shards_are_read_from_the_files", untied, ranks=3)
    on_ranks("gradients_add_up_over_ranks", untied, ranks=3)


def test_gradients_are_the_sum_over_ranks_however_many_rows_each_has(tied: Path) -> None:
    on_ranks("gradients_add_up_over_ranks", tied)


@pytest.mark.slow
def test_gradients_add_up_with_a_head_of_its_own(untied: Path) -> None:
    on_ranks("gradients_add_up_over_ranks", untied)


@pytest.mark.slow
def test_bfloat16_computes_over_float32_masters(tied: Path) -> None:
    on_ranks("bfloat16_computes_over_float32_masters", tied)


def test_ranks_sample_without_waiting_for_one_another(tied: Path) -> None:
    on_ranks("ranks_sample_different_numbers_of_steps", tied)


@pytest.mark.slow
def test_sampling_with_a_head_of_its_own(untied: Path) -> None:
    on_ranks("ranks_sample_different_numbers_of_steps", untied)


@pytest.mark.slow
def test_the_export_of_shards_is_a_hugging_face_folder(tied: Path, tmp_path: Path) -> None:
    (tmp_path / "policy").symlink_to(tied)
    on_ranks("the_export_is_a_hugging_face_folder", tmp_path / "policy")


def test_adapters_are_sharded_and_merged(tied: Path, tmp_path: Path) -> None:
    (tmp_path / "policy").symlink_to(tied)
    on_ranks("adapters_are_sharded_and_merged", tmp_path / "policy")


@pytest.mark.slow
def test_adapters_on_three_ranks_beside_a_head_of_its_own(untied: Path, tmp_path: Path) -> None:
    (tmp_path / "policy").symlink_to(untied)
    on_ranks("adapters_are_sharded_and_merged", tmp_path / "policy", ranks=3)


@pytest.mark.slow
def test_a_stream_of_whole_tensors_holds_few_of_them_at_a_time(tmp_path: Path) -> None:
    on_ranks("few_whole_tensors_at_a_time", untied_policy(tmp_path / "policy", num_layers=24))


def test_a_whole_policy_streams_its_own_tensors(policy: Policy) -> None:
    streamed = dict(full_tensors(policy.model))
    assert streamed.keys() == dict(policy.model.named_parameters()).keys()
    for name, parameter in policy.model.named_parameters():
        assert streamed[name].data_ptr() == parameter.data_ptr()
        assert not streamed[name].requires_grad


def test_activation_checkpointing_changes_no_gradient(policy: Policy) -> None:
    plain = backward(policy, rows_of(0))
    gradients = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    Sharding(activation_checkpointing=True).apply(policy, None)
    assert policy.model.is_gradient_checkpointing
    for mine, other in zip(backward(policy, rows_of(0)), plain, strict=True):
        torch.testing.assert_close(mine, other)
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradients[name], msg=name)


def test_activation_checkpointing_reaches_adapters_behind_frozen_embeddings(policy: Policy) -> None:
    add_random_adapters(policy)
    backward(policy, rows_of(0))
    gradients = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    Sharding(activation_checkpointing=True).apply(policy, None)
    backward(policy, rows_of(0))
    again = {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}
    assert again.keys() == gradients.keys() != set()
    for name, gradient in again.items():
        torch.testing.assert_close(gradient, gradients[name], msg=name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch's own, from inside its compiler
def test_compiled_layers_give_the_same_gradients_and_sampling_leaves_them_alone(policy: Policy) -> None:
    plain = backward(policy, rows_of(0)[:2])
    gradients = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    compiled = torch._dynamo.utils.counters["stats"]
    policy.statistics = inspect.unwrap(policy.statistics)  # the compiler cannot follow the tests' checks of types
    Sharding(compile=True).apply(policy, None)
    for mine, other in zip(backward(policy, rows_of(0)[:2]), plain, strict=True):
        torch.testing.assert_close(mine, other, atol=5e-6, rtol=1e-5)
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-6, rtol=1e-4)
    graphs = compiled["unique_graphs"]
    assert graphs > 0
    prompt = Prompt(problem=Problem(id="p", text="", answer=""), token_ids=(3, 4, 5))
    list(HFEngine(policy=policy).generate([prompt], Sampling(max_new_tokens=5), num_completions=2, seeds=[0]))
    assert compiled["unique_graphs"] == graphs


def test_compiled_layers_are_gathered_by_the_layout_of_their_weights() -> None:
    calls: list[str] = []

    class Recorded:
        @contextmanager
        def whole(self) -> Iterator[None]:
            calls.append("gathered")
            yield
            calls.append("given back")

    with Compiled(Recorded()).whole():
        calls.append("sampled")
    assert calls == ["gathered", "sampled", "given back"]


def test_layers_are_prepared_once(policy: Policy) -> None:
    sharding = Sharding(activation_checkpointing=True)
    sharding.apply(policy, None)
    policy.model.gradient_checkpointing_disable()
    sharding.apply(policy, None)  # Lightning asks before each of its loops
    assert not policy.model.is_gradient_checkpointing


def test_what_an_earlier_save_has_left_in_the_folder_is_not_read(tied: Path, tmp_path: Path) -> None:
    folder = changed(tied, sharded, tmp_path)
    leftover = folder / "model-00001-of-00003.safetensors"
    leftover.write_bytes((tied / "model.safetensors").read_bytes())
    files = {str(info.relative_path) for info in shard_reader(folder).read_metadata().storage_data.values()}
    assert files == {str(file) for file in folder.glob("*.safetensors")} - {str(leftover)}
    assert len(files) == 2
