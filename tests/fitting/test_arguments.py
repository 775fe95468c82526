"""What `rsgrpo.fit` and `rsgrpo.evaluate` cannot use is refused with the name of the argument and a cure."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest

import rsgrpo
from rsgrpo.data.countdown import Countdown
from rsgrpo.errors import FieldError, UserError
from rsgrpo.metrics.rollouts import Rollouts
from rsgrpo.models.policy import Policy
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.rewards.countdown import CountdownReward
from rsgrpo.rollouts.hf import HFEngine
from tests.fitting.small import PROBLEMS, SAMPLING, recipe

pytestmark = pytest.mark.usefixtures("as_users_run_it")


@pytest.mark.parametrize(
    ("given", "says", "cure"),
    [
        ({"policy": "gpt2"}, "policy is 'gpt2'", "Policy.from_pretrained"),
        ({"policy": Policy}, "policy is the class Policy itself", "Policy.from_pretrained"),
        ({"recipe": {"objective": RSGRPO}}, "recipe is of type dict", "rsgrpo.Recipe("),
        ({"train": ["1 + 1"]}, "train[0] is '1 + 1'", "rsgrpo.types.Problem"),
        ({"train": "train"}, "train is 'train'", "rsgrpo.types.Problem"),
        ({"train": Countdown()}, "train is of type Countdown", "split('train')"),
        ({"train": []}, "train holds no problem", "split('train')"),
        ({"validation": [1]}, "validation[0] is 1", "rsgrpo.types.Problem"),
        ({"validation": None}, "validation is None", "rsgrpo.types.Problem"),
        ({"engine": "hf"}, "engine is 'hf'", "HFEngine(policy=policy)"),
        ({"engine": HFEngine}, "engine is the class HFEngine itself", "HFEngine(policy=policy)"),
        ({"metrics": [len]}, "metrics is of type list", "metrics={"),
        ({"metrics": {"a": 1}}, "metrics['a'] is 1", "function of a StepReport"),
        ({"metrics": {"a": Rollouts}}, "metrics['a'] is the class Rollouts itself", "function of a StepReport"),
        ({"metrics": {1: len}}, "a name of metrics is 1", "metrics={"),
        ({"callbacks": lightning.Callback()}, "callbacks is of type Callback", "callbacks=["),
        ({"callbacks": [lightning.Callback]}, "callbacks[0] is the class Callback itself", "callbacks=["),
        ({"folder": 3}, "folder is 3", "the path of a folder"),
        ({"resume": True}, "resume is True", "the path of a folder"),
        ({"chat_template": "qwen"}, "chat_template is 'qwen'", "True or False"),
        ({"logger": True}, "logger is True", "loggers"),
        ({"max_epochs": 3}, "max_epochs is not for fit", "Recipe(iterations=...)"),
        ({"gradient_clip_val": 1.0}, "gradient_clip_val is not for fit", "AdamW(grad_clip=...)"),
        ({"callback": []}, "callback: fit takes no such argument", "callbacks?"),
        ({"nonsense": 1}, "nonsense: fit takes no such argument", "lightning.Trainer"),
        ({"accelerator": "abacus"}, "lightning.Trainer refuses its arguments", "abacus"),
    ],
)
def test_fit_names_the_argument_and_the_cure(policy: Policy, given: dict[str, Any], says: str, cure: str) -> None:
    call: Callable[..., Any] = rsgrpo.fit
    with pytest.raises(UserError) as caught:
        call(**{"policy": policy, "recipe": recipe(), "train": PROBLEMS} | given)
    assert str(caught.value).startswith(says)
    assert cure in str(caught.value).removeprefix(says)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"policy": None}, "policy is None"),
        ({"reward": "countdown"}, "reward is 'countdown'"),
        ({"reward": CountdownReward}, "reward is the class CountdownReward itself"),
        ({"problems": "test"}, "problems is 'test'"),
        ({"problems": []}, "problems holds no problem"),
        ({"sampling": {"temperature": 1}}, "sampling is of type dict"),
        ({"completions": 2.5}, "completions is 2.5"),
        ({"completions": 0}, "k=[1, 4, 32], completions=0"),
        ({"k": 1}, "k is 1"),
        ({"k": ()}, "k=[], completions=64"),
        ({"k": (1, 65)}, "k=[1, 65], completions=64"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"engine": 1}, "engine is 1"),
        ({"chat_template": 1}, "chat_template is 1"),
        ({"chat_template": True}, "chat_template=True: the tokenizer of "),
    ],
)
def test_evaluate_names_the_argument(policy: Policy, given: dict[str, Any], says: str) -> None:
    usual = {"policy": policy, "reward": CountdownReward(), "problems": PROBLEMS, "sampling": SAMPLING}
    call: Callable[..., Any] = rsgrpo.evaluate
    with pytest.raises(UserError) as caught:
        call(**usual | given)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("field", "value", "cure"),
    [
        ("objective", RSGRPO, "give an object of a class: RSGRPO(...)"),
        ("objective", "grpo", "give an object of a class that inherits rsgrpo.objectives.base.Objective"),
        ("schedule", GRPO(), "inherits rsgrpo.schedules.base.Schedule"),
        ("loss", len, "inherits rsgrpo.losses.base.Loss"),
        ("reward", CountdownReward, "CountdownReward(...)"),
        ("reward", "countdown", "all that rsgrpo.rewards.base.Reward has"),
        ("filter", 1, "all that rsgrpo.batching.filters.GroupFilter has"),
        ("batching", {}, "give a rsgrpo.batching.plan.BatchPlan"),
        ("iterations", -1, "try iterations=1"),
    ],
)
def test_a_recipe_names_the_field_and_the_kind_that_it_needs(field: str, value: object, cure: str) -> None:
    with pytest.raises(FieldError) as caught:
        recipe(**{field: value})
    assert str(caught.value).startswith(f"{field}=")
    assert cure in str(caught.value)


def test_a_folder_that_cannot_be_made_is_named(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=rf"folder={re.escape(str(tmp_path))}/file/run cannot be made"):
        rsgrpo.fit(policy, recipe(), PROBLEMS, folder=tmp_path / "file" / "run", accelerator="cpu")
