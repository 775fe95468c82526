"""The lemmas of the paper, on updates that numpy makes by Eq. 13 and 14 as they stand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rsgrpo.bandit.lemmas import (
    Bandits,
    beta_grid,
    check_lemmas,
    exact_advantages,
    improvement,
    last_loss,
    last_rise,
    misleading,
    random_bandits,
    sufficient_beta,
)

RATES = (0.01, 0.1, 1.0, 10.0, 100.0)


def gains(bandits: Bandits, beta: np.ndarray, rate: float) -> np.ndarray:
    """log pi'(best) - log pi(best), [P, B], for beta [P, B]: the new logits, a softmax, and the sum over the best."""
    pi, r = bandits.policies.numpy()[:, None], bandits.rewards.numpy()[:, None]
    best = r == r.max(axis=2, keepdims=True)
    b = beta[:, :, None]
    e = np.exp(b * (r - r.max(axis=2, keepdims=True)))
    risky = (e / (pi * e).sum(axis=2, keepdims=True) - 1) / np.where(b == 0, 1, b)
    advantages = np.where(b == 0, r - (pi * r).sum(axis=2, keepdims=True), risky)
    logits = np.log(pi) + rate * pi * advantages
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    after = weights / weights.sum(axis=2, keepdims=True)
    return np.log((after * best).sum(axis=2)) - np.log((pi * best).sum(axis=2))


def utility(logits: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """J_beta = (1/beta) log sum_a pi_a exp(beta r_a); the mean at 0."""
    if beta == 0:
        return logits.softmax(0) @ rewards
    return (logits.log_softmax(0) + beta * rewards).logsumexp(0) / beta


def bandit(policy: list[float], rewards: list[float]) -> Bandits:
    numbers = [torch.tensor([values], dtype=torch.float64) for values in (rewards, policy)]
    return Bandits(rewards=numbers[0], policies=numbers[1])


def many_bandits(count: int, arms: int, *, seed: int, best: int = 1) -> Bandits:
    """Random bandits with exactly `best` best arms, anywhere; policies from nearly uniform to nearly certain."""
    random = np.random.default_rng(seed)
    rewards = np.sort(random.random((count, arms)), axis=1)
    rewards[:, -best:] = rewards[:, -1:]
    logits = random.uniform(0.1, 6, (count, 1)) * random.standard_normal((count, arms))
    policies = torch.from_numpy(logits).softmax(dim=1)
    return Bandits(rewards=torch.from_numpy(random.permuted(rewards, axis=1)), policies=policies)


def zeros(count: int) -> Tensor:
    return torch.zeros(count, 1, dtype=torch.float64)


# The update


@pytest.mark.parametrize("beta", [0.0, -3.0, 1e-6, 0.5, 2.0, 16.0, 300.0])
def test_advantages_are_the_gradient_of_the_objective(beta: float) -> None:
    many = many_bandits(20, 7, seed=3)
    advantages = exact_advantages(many.policies, many.rewards, torch.full((20, 1), beta, dtype=torch.float64))[:, 0]
    for policy, rewards, advantage in zip(many.policies, many.rewards, advantages, strict=True):
        logits = policy.log().requires_grad_()
        (gradient,) = torch.autograd.grad(utility(logits, rewards, beta), logits)
        # At 1e-6 automatic differentiation itself is good to 1e-16 / 1e-6 only.
        assert torch.allclose(policy * advantage, gradient, rtol=1e-7, atol=1e-9)


def test_advantages_by_hand() -> None:
    # e^(2 r) is 1 and e^2, its mean (1 + e^2) / 2.
    one = bandit([0.5, 0.5], [0.0, 1.0])
    beta = torch.tensor([[0.0, 2.0, 1e5]], dtype=torch.float64)
    mean = (1 + math.e**2) / 2
    expected = [[-0.5, 0.5], [(1 / mean - 1) / 2, (math.e**2 / mean - 1) / 2], [-1e-5, 1e-5]]
    np.testing.assert_allclose(exact_advantages(one.policies, one.rewards, beta)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("optimal", [1, 3])
@pytest.mark.parametrize("rate", RATES)
def test_the_improvement_is_that_of_a_softmax_of_the_new_logits(optimal: int, rate: float) -> None:
    many = many_bandits(200, 8, seed=1, best=optimal)
    beta = torch.tensor([0.0, 0.3, 2.0, 20.0], dtype=torch.float64).repeat(200, 1)
    expected = gains(many, beta.numpy(), rate)
    np.testing.assert_allclose(improvement(many, beta, rate), expected, rtol=1e-9, atol=1e-12)


def test_an_improvement_by_hand() -> None:
    # pi A = +-1/4 at the standard step: odds of e^(1/4) to e^(-1/4) at a learning rate of 1.
    one = bandit([0.5, 0.5], [0.0, 1.0])
    assert improvement(one, zeros(1), 1.0).item() == pytest.approx(math.log(2 / (1 + math.exp(-0.5))))


# The bandits


def test_random_bandits() -> None:
    many = random_bandits(500, 6, seed=2, optimal_arms=2)
    assert (many.rewards.shape, many.policies.shape) == ((500, 6), (500, 6))
    assert bool(many.best[:, :2].all())
    assert bool((many.best.sum(dim=1) == 2).all())
    assert float(many.rewards.min()) >= 0
    assert float(many.rewards.max()) <= 1
    np.testing.assert_allclose(many.policies.sum(dim=1), 1, rtol=1e-12)
    # From nearly uniform to nearly certain.
    largest = many.policies.amax(dim=1)
    assert float(largest.min()) < 0.25
    assert float(largest.max()) > 0.99
    assert torch.equal(random_bandits(500, 6, seed=2, optimal_arms=2).policies, many.policies)
    assert not torch.equal(random_bandits(500, 6, seed=3, optimal_arms=2).rewards, many.rewards)


def test_a_misleading_policy_sits_on_the_second_best_arm() -> None:
    many = misleading(many_bandits(100, 10, seed=0))
    order = many.rewards.argsort(dim=1)
    np.testing.assert_allclose(many.policies.sum(dim=1), 1, rtol=1e-12)
    assert torch.equal(many.policies.argmax(dim=1), order[:, -2])
    np.testing.assert_allclose(many.policies.gather(1, order[:, :1]), 0.05)
    assert float(many.policies.gather(1, order[:, 1:-2]).max()) < 1e-6
    assert float(many.policies.min()) > 0


# Lemmas 2 and 6


@pytest.mark.parametrize("optimal", [1, 3])
@pytest.mark.parametrize("rate", RATES)
def test_misled_the_standard_step_lowers_the_best_arms(optimal: int, rate: float) -> None:
    many = misleading(many_bandits(1000, 10, seed=4, best=optimal))
    assert (gains(many, np.zeros((1000, 1)), rate) < 0).all()
    assert bool((improvement(many, zeros(1000), rate) < 0).all())


def test_at_random_the_standard_step_does_not_always_lower_them() -> None:
    lowered = (improvement(many_bandits(1000, 10, seed=4), zeros(1000), 1.0) < 0).sum()
    assert 50 < int(lowered) < 950


# Lemmas 3 and 7


def test_the_sufficient_beta_by_hand() -> None:
    # log(1/p) / gap: p = .2 + .1 and gap .5; p = 1/4 and gap .25.
    assert sufficient_beta(bandit([0.2, 0.7, 0.1], [1.0, 0.5, 1.0])).item() == pytest.approx(math.log(1 / 0.3) / 0.5)
    assert sufficient_beta(bandit([0.25, 0.25, 0.5], [0.5, 0.75, 0.0])).item() == pytest.approx(math.log(4) / 0.25)


@pytest.mark.parametrize("optimal", [1, 3])
@pytest.mark.parametrize("rate", RATES)
def test_above_the_sufficient_beta_every_step_raises_the_best_arms(optimal: int, rate: float) -> None:
    many = many_bandits(1000, 10, seed=5, best=optimal)
    beta = sufficient_beta(many)[:, None] * torch.tensor([1.0001, 1.5, 3.0, 10.0, 100.0], dtype=torch.float64)
    assert bool((improvement(many, beta, rate) > 0).all())
    # And for the reason given: the best arms have positive advantages, all others negative ones.
    advantages = exact_advantages(many.policies, many.rewards, beta)
    assert torch.equal(advantages > 0, many.best[:, None].expand_as(advantages))


def test_the_sufficient_beta_cures_a_misleading_policy() -> None:
    many = misleading(many_bandits(200, 10, seed=4))
    beta = 1.01 * sufficient_beta(many)[:, None]
    for rate in RATES:
        assert bool((improvement(many, beta, rate) > 0).all())


# Lemmas 4 and 8


@pytest.mark.parametrize("optimal", [1, 3])
@pytest.mark.parametrize("rate", [0.01, 1.0, 100.0])
def test_beyond_the_threshold_found_the_gain_only_shrinks(optimal: int, rate: float) -> None:
    many = many_bandits(200, 10, seed=6, best=optimal)
    beta = beta_grid(many, 400)
    threshold = last_rise(improvement(many, beta, rate), beta)
    assert bool((threshold < beta[:, -1]).all())
    # On another grid, from one step of the first one above the threshold (or from its start) up to ten times its end.
    start = torch.maximum(threshold, beta[:, 0]).numpy() * 10 ** (6 / 399)
    shares = np.linspace(0, 1, 97)[None]
    finer = start[:, None] ** (1 - shares) * (10 * beta[:, -1:].numpy()) ** shares
    found = gains(many, finer, rate)
    assert (np.diff(found, axis=1) < 1e-10).all()  # rounding, where the best arms have nearly all mass
    assert (found[:, -1] < found[:, 0]).all()
    assert (found > 0).all() or rate == 100.0


def test_thresholds_by_hand() -> None:
    beta = torch.tensor([[1.0, 2.0, 4.0, 8.0]] * 4, dtype=torch.float64)
    found = torch.tensor(
        [[-1.0, 0.0, 3.0, 2.0], [4.0, 3.0, 2.0, 1.0], [1.0, -1.0, 2.0, 3.0], [-4.0, -3.0, -2.0, -1.0]],
        dtype=torch.float64,
    )
    assert last_loss(found, beta).tolist() == [2, 0, 2, 8]
    assert last_rise(found, beta).tolist() == [4, 0, 8, 8]


def test_the_grid_of_betas() -> None:
    one = bandit([0.25, 0.25, 0.5], [0.5, 0.75, 0.0])
    grid = beta_grid(one, 7)[0]
    np.testing.assert_allclose(grid, math.log(4) / 0.25 * 10.0 ** np.arange(-3, 4), rtol=1e-12)


# All at once


@pytest.mark.parametrize("optimal", [1, 2])
def test_the_check_counts(optimal: int) -> None:
    many = many_bandits(60, 6, seed=8, best=optimal)
    check = check_lemmas(many, 1.0, 50)
    assert (check["bandits"], check["optimal_arms"], check["learning_rate"]) == (60, optimal, 1.0)
    standard = np.zeros((60, 1))
    assert check["lowered_when_misled"] == (gains(misleading(many), standard, 1.0) < 0).sum() == 60
    assert check["lowered_at_random"] == (gains(many, standard, 1.0) < 0).sum() > 0
    factors = 10 ** np.linspace(-3, 3, 50)
    np.testing.assert_allclose(check["relative_beta"], factors, rtol=1e-9)
    sufficient = np.array(check["sufficient"])
    beta = sufficient[:, None] * factors
    found = gains(many, beta, 1.0)
    np.testing.assert_allclose(check["gains"], found[:40], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(check["threshold_of_gain"], (beta * (found <= 0)).max(axis=1), rtol=1e-9)
    assert (np.array(check["threshold_of_gain"]) < sufficient).all()
    assert check["raised_above_sufficient"] == check["shrinks_in_the_end"] == 60


def test_the_check_tells_where_a_lemma_would_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    # A twentieth of the sufficient beta, and too short a grid: not everything is raised, nor has begun to shrink.
    from rsgrpo.bandit import lemmas

    many = many_bandits(60, 6, seed=8)
    monkeypatch.setattr(lemmas, "sufficient_beta", lambda bandits: sufficient_beta(bandits) / 2e4)
    check = check_lemmas(many, 1.0, 50)
    assert check["raised_above_sufficient"] < 60
    assert check["shrinks_in_the_end"] < 60
