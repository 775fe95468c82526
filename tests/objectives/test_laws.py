"""Laws of every objective that has a yaml in `conf/objective/`: a new yaml is tested here without another line."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, Objective

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(file.stem for file in (CONF / "objective").glob("*.yaml") if file.stem != "custom")

GROUPS = {
    "binary": [[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]],
    "continuous": [[0.0, 0.2, 0.5, 1.0], [0.9, 0.1, 0.7, 0.3], [0.25, 0.25, 0.75, 0.5]],
    "negative": [[-1.0, -0.2, -0.5, 0.0], [-3.0, 2.0, -1.0, 0.5], [-0.1, -0.1, -0.1, -0.2]],
    "some groups equal": [[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]],
    "huge": [[1e6, -1e6, 0.0, 1.0], [1e30, 0.0, 1.0, 2.0], [-1e30, 1e30, 0.0, 0.0]],
    "small": [[1e-6, 0.0, 0.0, 2e-6], [1e-30, 0.0, -1e-30, 0.0], [0.0, 1e-12, 1e-12, 0.0]],
}
EVERY_GROUP = pytest.mark.parametrize("rewards", [torch.tensor(g) for g in GROUPS.values()], ids=list(GROUPS))


@pytest.fixture(params=NAMES)
def objective(request: pytest.FixtureRequest) -> Objective:
    """Each objective as Hydra builds it for a run; composing lets a yaml inherit from another."""
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose(f"objective/{request.param}")
    return instantiate(config.objective, _convert_="all")


def context_of(rewards: Tensor) -> AdvantageContext:
    """Distinct log-probs, so that an objective that ranks by them has no ties to break."""
    p, n = rewards.shape
    logprobs = -(torch.arange(1.0, p * n + 1, dtype=rewards.dtype).reshape(p, n) * 0.37 % 1) - 0.1
    return AdvantageContext(iteration=1, prompt_ids=[f"prompt/{i}" for i in range(p)], sampler_logprobs=logprobs)


def test_the_paper_and_its_baseline_are_among_the_objectives():
    assert {"grpo", "rs_grpo"} <= set(NAMES)


@EVERY_GROUP
def test_advantages_have_the_shape_and_type_of_the_rewards(objective, rewards):
    advantages = objective.advantages(rewards, context_of(rewards))
    assert advantages.shape == rewards.shape
    assert advantages.dtype == rewards.dtype


@EVERY_GROUP
def test_advantages_are_finite(objective, rewards):
    assert objective.advantages(rewards, context_of(rewards)).isfinite().all()


@EVERY_GROUP
def test_rewards_are_not_changed(objective, rewards):
    before = rewards.clone()
    objective.advantages(rewards, context_of(rewards))
    assert rewards.equal(before)


@pytest.mark.parametrize("kind", ["binary", "continuous", "negative"])
def test_rewards_that_differ_give_some_advantage(objective, kind):
    rewards = torch.tensor(GROUPS[kind])
    assert (objective.advantages(rewards, context_of(rewards)).abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("kind", ["binary", "continuous", "negative", "some groups equal", "small"])
@pytest.mark.parametrize("order", [[1, 0, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_permuting_completions_permutes_advantages(objective, kind, order):
    rewards = torch.tensor(GROUPS[kind])
    context = context_of(rewards)
    permuted = AdvantageContext(
        iteration=1, prompt_ids=context.prompt_ids, sampler_logprobs=context.sampler_logprobs[:, order]
    )
    advantages = objective.advantages(rewards, context)
    # Sums are taken in another order: equal up to float32 rounding.
    torch.testing.assert_close(
        objective.advantages(rewards[:, order], permuted), advantages[:, order], atol=2e-6, rtol=0
    )


@pytest.mark.parametrize("reward", [0.0, 1.0, -1.0, 0.5, 0.1, 0.7, 1e-6])
@pytest.mark.parametrize("completions", [2, 3, 7, 16])
def test_equal_rewards_give_zero_advantage(objective, reward, completions):
    rewards = torch.full((2, completions), reward)
    advantages = objective.advantages(rewards, context_of(rewards))
    # 0.1 and 0.7 are no binary fractions: their mean may be off by one rounding (2^-24, relative), never by more.
    assert advantages.abs().max().item() <= 2**-23 * abs(reward)


@EVERY_GROUP
def test_no_gradient_is_needed_or_made(objective, rewards):
    context = context_of(rewards)
    advantages = objective.advantages(rewards, context)
    assert not advantages.requires_grad
    with torch.inference_mode():
        assert objective.advantages(rewards, context).equal(advantages)


@pytest.mark.parametrize("kind", ["binary", "continuous", "negative", "some groups equal"])
def test_float32_agrees_with_float64(objective, kind):
    single = torch.tensor(GROUPS[kind])
    double = single.double()
    exact = objective.advantages(double, context_of(double))
    assert exact.dtype == torch.float64
    torch.testing.assert_close(objective.advantages(single, context_of(single)).double(), exact, atol=1e-6, rtol=1e-6)


@EVERY_GROUP
def test_a_batch_of_prompts_is_each_prompt_alone(objective, rewards):
    context = context_of(rewards)
    together = objective.advantages(rewards, context)
    for i in range(len(rewards)):
        only = AdvantageContext(
            iteration=1, prompt_ids=context.prompt_ids[i : i + 1], sampler_logprobs=context.sampler_logprobs[i : i + 1]
        )
        torch.testing.assert_close(objective.advantages(rewards[i : i + 1], only)[0], together[i], atol=0, rtol=1e-6)


def test_no_prompts_give_no_advantages(objective):
    # A filter may drop every group of an iteration.
    rewards = torch.zeros(0, 4)
    assert objective.advantages(rewards, context_of(rewards)).shape == (0, 4)
