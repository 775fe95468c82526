"""What the library says in its own names reads in keys on the command line."""

import pytest

from rsgrpo.command_line.own_names import CONF, in_keys
from rsgrpo.errors import FieldError, UserError, field_errors_name_their_key, fields_belong_to
from rsgrpo.objectives.base import check_completions, check_k, check_rewards
from rsgrpo.rollouts.engine import check_prompts
from rsgrpo.types import Problem, Prompt, Sampling
from tests.architecture.test_structure import LIBRARY


@pytest.mark.parametrize(
    ("text", "fields", "shown"),
    [
        ("k=9 is too large; try k=8", {"k": "objective"}, "objective.k=9 is too large; try objective.k=8"),
        ("lower max_rows", {"max_rows": "engine"}, "lower rollout.max_rows"),
        ("path=a/b: not there", {"path": "policy"}, "model.path=a/b: not there"),
        ("seed=0: try seed=3", {"seed": "pretraining"}, "model.pretrain.seed=0: try model.pretrain.seed=3"),
        ("try top_k=1", {"top_k": "evaluation.sampling"}, "try eval.sampling.top_k=1"),
        ("name it: columns.answer=...", {"columns": "data"}, "name it: data.columns.answer=..."),
        ("tests.my-set.path=x", {"tests": "data"}, "data.tests.my-set.path=x"),
        ("use values=None", {"values": "bandit"}, "use bandit.values=null"),
        ("chat_template=False", {"chat_template": "policy"}, "model.chat_template=false"),
        # Words, longer names and keys of others stay as they are.
        ("a path to k, rank=2 and eval.k=3", {"k": "objective", "path": "data"}, "a path to k, rank=2 and eval.k=3"),
        ("use objective=Reinforce()", {}, "use objective=reinforce"),
        ("use engine=HFEngine(...)", {}, "use rollout=hf"),
        ('use objective=RSPO(metric="max_at_k")', {}, "use objective=rspo objective.metric=max_at_k"),
        ("use objective=GRPO()", {}, "use objective=grpo"),  # dr_grpo is of the same class
        ("use objective=Mine()", {}, "use objective=Mine()"),
        ("or strategy=FSDP2() devices=2", {"devices": "trainer"}, "or trainer=fsdp2 trainer.devices=2"),
        ("or use strategy=auto", {}, "or use trainer=gpu"),
        ("such as KL(estimator='k2', place='loss')", {}, "such as +term/kl=k2"),
        (f"path={'x' * 5000} is gone", {"path": "policy"}, f"model.path={'x' * 109}... is gone"),
    ],
)
def test_fields_become_keys_and_classes_choices(text: str, fields: dict[str, str], shown: str) -> None:
    assert in_keys(UserError(text, **fields)) == shown


def test_every_object_that_a_message_proposes_is_a_choice() -> None:
    """A class that was renamed, or lost its choice, would leave a cure that the command line does not take."""
    import re

    sources = "".join(
        file.read_text(encoding="utf-8") for file in LIBRARY.rglob("*.py") if "command_line" not in file.parts
    )
    proposed = set(re.findall(r"\b(?:objective|schedule|engine)=[A-Z]\w*\((?:\.\.\.)?\)", sources))
    proposed |= {f"objective={cls}()" for cls in re.findall(r"instead=[\"'](\w+)\(", sources)}
    assert {"objective=Reinforce()", "objective=MaxPO()", "schedule=Constant()", "engine=HFEngine(...)"} <= proposed
    for words in proposed - {"engine=HFEngine(policy=policy)"}:
        group, _, choice = in_keys(UserError(words)).partition("=")
        assert (CONF / group / f"{choice}.yaml").is_file(), words


def test_a_refusal_of_an_objective_names_the_key_of_another_part_too() -> None:
    import torch

    with pytest.raises(UserError) as caught, field_errors_name_their_key("objective"):
        check_k(9, 8, name="maxpo", at_most=8)
    assert in_keys(caught.value).endswith("; try objective.k=8, or a larger batching.completions_per_prompt")
    with pytest.raises(UserError) as caught:
        check_completions(torch.ones(1, 1), name="grpo")
    assert "batching.completions_per_prompt=1" in in_keys(caught.value)
    assert in_keys(caught.value).endswith("or objective=reinforce")
    with pytest.raises(UserError) as caught:
        check_rewards(torch.full((1, 2), 0.5), "binary", name="mahdavi", instead="MaxPO()")
    assert in_keys(caught.value).endswith("such as objective=maxpo")


@pytest.mark.parametrize("part", ["sampling", "evaluation.sampling"])
def test_whoever_samples_says_whose_settings_they_were(part: str) -> None:
    prompt = Prompt(problem=Problem(id="p", text="?", answer="1"), token_ids=(1, 2))
    with pytest.raises(UserError) as caught, fields_belong_to(part, *Sampling.__dataclass_fields__):
        check_prompts([prompt], Sampling(max_new_tokens=8), context=9)
    key = {"sampling": "sampling", "evaluation.sampling": "eval.sampling"}[part]
    assert in_keys(caught.value).endswith(f"lower {key}.max_new_tokens or data.max_prompt_tokens")


def test_a_field_error_is_told_with_the_part_it_is_of() -> None:
    with pytest.raises(UserError) as caught, fields_belong_to("loss"):
        raise FieldError("clip_low", 8.0, "must be at most 1", "try clip_low=1")
    assert str(caught.value) == "clip_low=8.0 must be at most 1; try clip_low=1"
    assert in_keys(caught.value) == "loss.clip_low=8.0 must be at most 1; try loss.clip_low=1"
    with pytest.raises(FieldError), fields_belong_to("sampling", "top_k"):  # another field: not of that part
        raise FieldError("max_rows", 0, "must be at least 1", "try max_rows=1")


def test_a_name_keeps_the_part_that_was_said_first() -> None:
    with pytest.raises(UserError) as caught, fields_belong_to("data", "path"), fields_belong_to("policy", "path"):
        raise UserError("path=x: not there")
    assert in_keys(caught.value) == "model.path=x: not there"
