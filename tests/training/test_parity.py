"""An engine that samples from something else than the trained policy stops the run."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import lightning
import pytest
from torch import Tensor

from rsgrpo.data.countdown import Countdown
from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.errors import UserError
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.training.datamodule import PromptData
from rsgrpo.training.module import RLModule
from rsgrpo.training.parity import NEW_TOKENS, PROMPT_TOKENS, canaries, check_parity
from rsgrpo.types import Prompt
from tests.rollouts.one_vllm import vllm_engine
from tests.training.test_module import RECIPE

BLOCK = 32
"""Tokens that the engine's prefix cache keeps together on a CPU."""


def train(policy: Policy, engine: VLLMEngine, folder: Path) -> RLModule:
    """Two iterations of a random policy: the second one begins with a sync of new weights."""
    problems = Countdown().split("train")[:16]
    prompts = [Prompt(problem=p, token_ids=tuple(policy.tokenizer(p.text).input_ids)) for p in problems]
    module = RLModule(policy, engine, replace(RECIPE, iterations=2), train_set_size=len(prompts))
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=False,
        limit_val_batches=0,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, datamodule=PromptData(prompts, [], []))
    return module


def test_the_canaries_are_fixed_and_longer_than_a_block() -> None:
    prompts = canaries(427, 2048)
    assert prompts == canaries(427, 2048)
    assert [len(p.token_ids) for p in prompts] == list(PROMPT_TOKENS)
    assert max(PROMPT_TOKENS) > 2 * BLOCK > BLOCK > min(PROMPT_TOKENS)
    assert all(len(p.token_ids) + NEW_TOKENS <= 64 for p in canaries(427, 64))


def test_an_engine_without_weights_of_its_own_is_not_checked(policy: Policy) -> None:
    assert check_parity(policy, HFEngine(policy=policy), 1.0) is None


def test_tokens_of_the_tokenizer_that_have_no_embedding_are_no_canaries(policy: Policy) -> None:
    policy.tokenizer.add_tokens([f"<{i}>" for i in range(200)])
    engine = vllm_engine(policy)
    engine.load_policy(full_tensors(policy.model), version=0)
    gap = check_parity(policy, engine, 1.0)
    assert gap is not None
    assert gap < 1e-4


def test_engine_and_trainer_agree_at_the_start_and_after_an_update(policy: Policy, tmp_path: Path) -> None:
    engine = vllm_engine(policy)
    module = train(policy, engine, tmp_path)
    assert (module.iteration, engine.version) == (2, 1), "the last weights go to the engine when they are needed"
    module.sync()
    assert engine.version == 2
    gap = check_parity(policy, engine, 1.0)
    assert gap is not None
    assert 0 < gap < 1e-5


def test_keys_and_values_of_old_weights_stop_the_run(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = vllm_engine(policy)
    monkeypatch.setattr(VLLMEngine, "_forget_prefixes", lambda self: None)
    with pytest.raises(UserError, match=r"the engine's log-probs differ from the trainer's by .* nats"):
        train(policy, engine, tmp_path)
    assert engine.version == 1, "the first sync was right"


def test_a_tensor_that_is_not_renewed_stops_the_run(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = vllm_engine(policy)
    load_policy, old = VLLMEngine.load_policy, {}

    def with_old_tensor(self: VLLMEngine, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        def stream() -> Iterator[tuple[str, Tensor]]:
            for name, tensor in weights:
                stale = "layers.1.mlp.up_proj" in name
                yield name, old.setdefault(name, tensor.clone()) if stale else tensor

        load_policy(self, stream(), version=version)

    monkeypatch.setattr(VLLMEngine, "load_policy", with_old_tensor)
    with pytest.raises(UserError, match=r"the engine's log-probs differ from the trainer's by .* nats"):
        train(policy, engine, tmp_path)
    assert engine.version == 1
