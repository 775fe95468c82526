"""The flow of an objective: a closed form, and plain gradient ascent on the exact expected gradient."""

import math

import pytest
import torch

from rsgrpo.audit.enumeration import gradient_moments
from rsgrpo.audit.flow import FARTHEST, STARTS, TIMES, accuracies, audit_of_flow
from rsgrpo.objectives.base import Objective
from rsgrpo.objectives.best_of_n import BestOfN
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.rloo import RLOO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.unlikeliness import Unlikeliness
from rsgrpo.objectives.w_reinforce import WReinforce

OBJECTIVES = [GRPO(normalize_std=True), RSGRPO(beta=8.0), BestOfN(), WReinforce(), Unlikeliness()]


def antiderivative(p: float) -> float:
    """Of 1 / [p (1 - p)]^2."""
    return 1 / (1 - p) - 1 / p + 2 * math.log(p / (1 - p))


def ascent(objective: Objective, n: int, start: float, learning_rate: float, updates: int) -> float:
    """The accuracy after plain updates of one logit by the exact expected gradient of a policy with two outcomes."""
    x = math.log(start / (1 - start))
    rewards = torch.tensor([0.0, 1.0], dtype=torch.float64)
    for _ in range(updates):
        p = 1 / (1 + math.exp(-x))
        policy = torch.tensor([1 - p, p], dtype=torch.float64)
        x += learning_rate * gradient_moments(objective, policy, rewards, n).mean[1].item()
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("start", [0.05, 0.5])
def test_of_the_mean_reward_the_flow_has_a_closed_form(start: float) -> None:
    """w = 1, so t is the integral of 1 / [p (1 - p)]^2."""
    times = [0.0, 1.0, 10.0, 40.0]
    found = accuracies(RLOO(), 4, start, times).tolist()
    gone = [antiderivative(p) - antiderivative(start) for p in found]
    assert gone == pytest.approx(times, abs=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: type(objective).__name__)
def test_small_steps_along_the_expected_gradient_follow_the_flow(objective: Objective) -> None:
    """Steps half as long are half as far away, and where both errors are taken out nothing is left."""
    time, n = 8.0, 4
    flow = accuracies(objective, n, 0.2, [0.0, time])[-1].item()
    coarse, fine = (ascent(objective, n, 0.2, time / updates, updates) for updates in (100, 200))
    assert abs(flow - 0.2) > 0.05
    assert fine == pytest.approx(flow, abs=0.01)
    assert fine - flow == pytest.approx((coarse - flow) / 2, rel=0.2, abs=1e-6)
    assert 2 * fine - coarse == pytest.approx(flow, abs=2e-4)


def test_an_objective_that_learns_nothing_stays() -> None:
    class Nothing(Objective):
        def advantages(self, rewards: torch.Tensor, context: object) -> torch.Tensor:
            return torch.zeros_like(rewards)

    assert accuracies(Nothing(), 4, 0.3, [0.0, 100.0]).tolist() == pytest.approx([0.3, 0.3])


def test_a_flow_ends_where_the_grid_does() -> None:
    end = accuracies(GRPO(normalize_std=True), 4, 0.5, [0.0, 1e6])[-1].item()
    assert end == pytest.approx(1 / (1 + math.exp(-FARTHEST)))


def test_the_flow_of_an_audit_is_plain_numbers() -> None:
    found = audit_of_flow(RLOO(), 4)
    assert list(found["accuracy"]) == [f"{start:g}" for start in STARTS]
    for start, path in zip(STARTS, found["accuracy"].values(), strict=True):
        assert len(path) == len(TIMES)
        assert path == sorted(path)
        assert path[0] == pytest.approx(start, abs=0.01)
