"""The bandit against simulations in numpy that know the published formulas and nothing of the package."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rsgrpo.bandit import trajectories
from rsgrpo.bandit.landscape import Peaks
from rsgrpo.bandit.play import Bandit, draw, play
from rsgrpo.bandit.streams import OfficialStream, SeededStreams, Stream
from rsgrpo.bandit.trajectories import Trajectories, entropy_of
from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptFloat
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.rs_grpo import RSGRPO, risk_sensitive
from rsgrpo.schedules.constant import Constant
from rsgrpo.schedules.linear import Linear

SGD = functools.partial(torch.optim.SGD, lr=0.1)
ARMS = np.arange(100)
REWARDS = 0.1 + 0.9 * np.exp(-((ARMS - 40) ** 2) / 50) + 0.5 * np.exp(-((ARMS - 75) ** 2) / 50)

PUBLISHED = {
    0: ((18165, None, None), 0.5996, 0.047),
    2: ((20972, None, None), 0.5993, 0.065),
    4: ((27419, 65428, 71717), 0.9991, 0.026),
    8: ((27989, 34803, 43575), 0.9979, 0.043),
    16: ((46570, 56095, 71709), 0.9949, 0.082),
    32: ((95870, 116320, 147493), 0.9888, 0.185),
    64: ((181194, 209390, 268738), 0.9654, 0.466),
}
"""beta -> (first pull from which the average over 10,000 is at least .5, .7, .9; its last value; last entropy)."""

AS_USERS_RUN_IT = pytest.mark.usefixtures("as_users_run_it")
"""For the longest runs, most of whose time would go into checks of types; the others have them."""


def experiment(**changes: Any) -> Bandit:
    """The published one, short."""
    settings: dict[str, Any] = {
        "landscape": Peaks(),
        "stream": OfficialStream(),
        "optimizer": SGD,
        "values": None,
        "pulls": 4000,
        "window": 160,
    }
    return Bandit(**(settings | changes))


@dataclass(frozen=True, kw_only=True)
class Watched(Objective):
    """RS-GRPO that keeps every reward it sees."""

    beta: PromptFloat = 0.0
    seen: list[Tensor] = field(default_factory=list)

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        self.seen.append(rewards.clone())
        return risk_sensitive(rewards, self.beta)

    def rewards(self) -> np.ndarray:
        """[runs, pulls]."""
        return torch.cat(self.seen, dim=1).numpy()


@dataclass(frozen=True, kw_only=True)
class Given:
    """A stream of numbers made beforehand, [updates, S, N]."""

    numbers: Tensor
    seed: int = 0

    @property
    def seeds(self) -> int:
        return self.numbers.shape[1]

    def uniforms(self, updates: int, batch: int, dtype: torch.dtype) -> Iterator[Tensor]:
        yield from self.numbers[:updates].to(dtype)


@dataclass(frozen=True, kw_only=True)
class Coin:
    """Two arms that pay 0 and 1, and a policy that takes either."""

    noise: float = 0.0

    def rewards(self) -> Tensor:
        return torch.tensor([0.0, 1.0], dtype=torch.float64)

    def logits(self) -> Tensor:
        return torch.zeros(2, dtype=torch.float64)


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max())
    return e / e.sum()


def first_logits() -> np.ndarray:
    policy = np.exp(-((ARMS - 75) ** 2) / 50) + 0.1
    logits = np.log(policy / policy.sum() + 1e-8)
    return logits - logits.mean()


def advantages_of(rewards: np.ndarray, beta: float) -> np.ndarray:
    """Eq. 8, naively."""
    if beta == 0:
        return rewards - rewards.mean()
    e = np.exp(beta * rewards)
    return (e / e.mean() - 1) / beta


def simulate(
    beta: Callable[[int], float],
    pulls: int,
    change: Callable[[np.ndarray], np.ndarray] = lambda gradient: 0.1 * gradient,
) -> tuple[np.ndarray, np.ndarray]:
    """(rewards [pulls], the policy before each update and after the last) as the released code plays."""
    uniforms = np.random.RandomState(43).random_sample(pulls)
    logits, rewards, policies = first_logits(), [], []
    for update in range(pulls // 16):
        policy = softmax(logits)
        policies.append(policy)
        sums = np.cumsum(policy)
        arms = np.searchsorted(sums / sums[-1], uniforms[16 * update : 16 * update + 16], side="right")
        advantages = advantages_of(REWARDS[arms], beta(update))
        gradient = np.mean([a * ((arm == ARMS) - policy) for arm, a in zip(arms, advantages, strict=True)], axis=0)
        logits = logits + change(gradient)
        rewards.append(REWARDS[arms])
    return np.concatenate(rewards), np.array([*policies, softmax(logits)])


def moving_average(rewards: np.ndarray, window: int) -> np.ndarray:
    return np.array([rewards[i : i + window].mean() for i in range(len(rewards) - window + 1)])


def first_at(average: np.ndarray, threshold: float) -> float:
    above = np.flatnonzero(average >= threshold)
    return float(above[0]) if len(above) else math.nan


# The published run


@pytest.mark.parametrize("beta", [0.0, 8.0])
def test_a_short_run_is_numpys_pull_for_pull(beta: float) -> None:
    rewards, policies = simulate(lambda update: beta, 20_000)
    average = moving_average(rewards, 1600)
    thresholds = (0.36, 0.38, 0.4, 0.45, 0.5, 0.55, 0.99)
    watched = Watched(beta=beta)
    result = play(experiment(pulls=20_000, window=1600), watched, Constant(), thresholds=thresholds)
    np.testing.assert_allclose(watched.rewards()[0], rewards, atol=1e-12)
    np.testing.assert_allclose(result.policies[0], policies[result.pulls.numpy() // 16], atol=1e-9)
    np.testing.assert_allclose(result.reward[0, 0], average[result.pulls], atol=1e-9)
    assert result.final_reward.item() == pytest.approx(average[-1], abs=1e-9)
    assert result.final_entropy.item() == pytest.approx(-(policies[-1] @ np.log(policies[-1])), abs=1e-9)
    entropies = -(policies * np.log(policies)).sum(axis=1)
    np.testing.assert_allclose(result.entropy[0, 0], entropies[result.pulls.numpy() // 16], atol=1e-9)
    np.testing.assert_array_equal(
        [result.crossings[t].item() for t in thresholds], [first_at(average, t) for t in thresholds]
    )
    assert result.resolution == 1
    assert result.pulls[0] == 0
    assert result.pulls[-1] == 20_000 - 1600


@AS_USERS_RUN_IT
def test_values_are_the_same_runs_side_by_side() -> None:
    result = play(experiment(values=[0, 8], pulls=20_000, window=1600), RSGRPO(), Constant())
    assert result.values == (0, 8)
    for v, beta in enumerate((0.0, 8.0)):
        rewards, policies = simulate(lambda update, beta=beta: beta, 20_000)
        assert result.final_reward[v, 0].item() == pytest.approx(rewards[-1600:].mean(), abs=1e-9)
        np.testing.assert_allclose(result.policies[v], policies[result.pulls.numpy() // 16], atol=1e-9)


@pytest.mark.slow
@AS_USERS_RUN_IT
def test_the_published_run_to_the_pull() -> None:
    result = play(experiment(values=list(PUBLISHED), pulls=400_000, window=10_000), RSGRPO(), Constant())
    for v, (crossings, reward, entropy) in enumerate(PUBLISHED.values()):
        reached = [result.crossings[t][v, 0].item() for t in (0.5, 0.7, 0.9)]
        assert [None if math.isnan(at) else at for at in reached] == list(crossings)
        assert result.final_reward[v, 0].item() == pytest.approx(reward, abs=5e-5)
        assert result.final_entropy[v, 0].item() == pytest.approx(entropy, abs=5e-4)


@pytest.mark.slow
@AS_USERS_RUN_IT
def test_from_which_beta_on_runs_escape() -> None:
    betas = [0, 1, 2, 4, 8, 16, 32, 64]
    stream = SeededStreams(seeds=100, seed=0)
    bandit = experiment(stream=stream, values=betas, pulls=400_000, window=10_000, precision=32)
    result = play(bandit, RSGRPO(), Constant())
    assert (result.final_reward >= 0.9).sum(dim=1).tolist() == [0, 0, 0, 100, 100, 100, 100, 100]


# Drawing


def test_draw_is_the_inverse_of_the_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    for arms in (2, 3, 7, 64, 65, 100):
        policy = (3 * torch.randn(6, arms, generator=generator, dtype=torch.float64)).softmax(dim=1)
        uniforms = torch.rand(6, 50, generator=generator, dtype=torch.float64)
        sums = policy.cumsum(dim=1)
        expected = torch.searchsorted(sums, uniforms * sums[:, -1:], right=True)
        assert torch.equal(draw(policy, uniforms), expected)


def test_draw_repeats_the_uniforms_in_turn() -> None:
    policy = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.1, 0.9], [0.9, 0.1]], dtype=torch.float64)
    uniforms = torch.tensor([[0.2, 0.4, 0.6], [0.7, 0.8, 0.95]], dtype=torch.float64)
    assert draw(policy, uniforms).tolist() == [[0, 0, 1], [1, 1, 1], [1, 1, 1], [0, 0, 1]]


def test_draw_at_the_edges() -> None:
    # A number at a partial sum belongs to the arm after it; an arm of probability 0 is never drawn, and rounding to 1
    # does not lead beyond the last arm.
    policy = torch.tensor([[0.25, 0.0, 0.25, 0.5]])
    assert draw(policy, torch.tensor([[0.0, 0.25, 0.5, 1.0]])).tolist() == [[0, 2, 3, 3]]


def test_entropy() -> None:
    policy = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    assert entropy_of(policy).tolist() == pytest.approx([math.log(2), 0.0])


# Many runs at once


@AS_USERS_RUN_IT
def test_runs_side_by_side_are_the_runs_alone() -> None:
    stream = SeededStreams(seeds=3, seed=5)
    numbers = torch.stack(list(stream.uniforms(250, 16, torch.float64)))
    together = play(experiment(stream=stream, values=[0, 4, 16]), RSGRPO(), Constant(), thresholds=(0.36, 0.4))
    assert together.final_reward.shape == (3, 3)
    for v, beta in enumerate((0.0, 4.0, 16.0)):
        for s in range(3):
            alone = play(
                experiment(stream=Given(numbers=numbers[:, s : s + 1])),
                RSGRPO(beta=beta),
                Constant(),
                thresholds=(0.36, 0.4),
            )
            assert torch.allclose(together.reward[v, s], alone.reward[0, 0], atol=1e-12)
            assert torch.allclose(together.entropy[v, s], alone.entropy[0, 0], atol=1e-10)
            assert together.final_entropy[v, s].item() == pytest.approx(alone.final_entropy.item(), abs=1e-10)
            for threshold, at in alone.crossings.items():
                assert torch.equal(together.crossings[threshold][v, s].nan_to_num(-1), at[0, 0].nan_to_num(-1))
            if s == 0:
                assert torch.allclose(together.policies[v], alone.policies[0], atol=1e-10)


def test_values_of_k() -> None:
    together = play(experiment(values=[1, 4, 16]), PKPO(), Constant())
    for v, k in enumerate((1, 4, 16)):
        alone = play(experiment(), PKPO(k=k), Constant())
        assert torch.allclose(together.policies[v], alone.policies[0], atol=1e-12)
    assert not torch.allclose(together.policies[0], together.policies[1], atol=1e-6)


def test_values_need_something_to_set() -> None:
    with pytest.raises(UserError, match=r"GRPO has no beta and no k; use values=None"):
        play(experiment(values=[1, 2]), GRPO(), Constant())


def test_an_objective_that_refuses_says_why() -> None:
    with pytest.raises(FieldError, match="k=20 is too large"):
        play(experiment(), PKPO(k=20), Constant())


def test_without_beta_the_objectives_own_formula_counts() -> None:
    grpo, mean = (play(experiment(), objective, Constant()) for objective in (GRPO(), RSGRPO(beta=0.0)))
    assert torch.allclose(grpo.policies, mean.policies, atol=1e-12)
    assert grpo.values == (None,)
    standardised = play(experiment(), GRPO(normalize_std=True), Constant())
    assert not torch.allclose(standardised.policies, mean.policies, atol=1e-4)


# Schedules, optimisers, precision, noise


def test_a_schedule_changes_beta_from_update_to_update() -> None:
    # Held at 8 for 20 updates, then down to 1 in 100.
    schedule = Linear(start=8.0, hold=20, decay=100)
    rewards, policies = simulate(lambda update: 8 - 7 * min(1, max(0, (update - 20) / 100)), 4000)
    watched = Watched(beta=1.0)
    result = play(experiment(), watched, schedule)
    np.testing.assert_allclose(watched.rewards()[0], rewards, atol=1e-12)
    np.testing.assert_allclose(result.policies[0], policies[result.pulls.numpy() // 16], atol=1e-9)


def test_a_schedule_ends_at_each_of_the_values() -> None:
    result = play(experiment(values=[1, 4]), RSGRPO(), Linear(start=8.0, hold=20, decay=100))
    for v, final in enumerate((1.0, 4.0)):
        _, policies = simulate(
            lambda update, final=final: 8 + (final - 8) * min(1, max(0, (update - 20) / 100)),
            4000,
        )
        np.testing.assert_allclose(result.policies[v], policies[result.pulls.numpy() // 16], atol=1e-9)


def test_rescaled_advantages() -> None:
    result = play(experiment(), RSGRPO(beta=8.0), Constant(rescale="times_beta"))
    _, policies = simulate(lambda update: 8.0, 4000, change=lambda gradient: 0.8 * gradient)
    np.testing.assert_allclose(result.policies[0], policies[result.pulls.numpy() // 16], atol=1e-9)


def test_any_optimiser() -> None:
    first, second, step = np.zeros(100), np.zeros(100), 0

    def adam(gradient: np.ndarray) -> np.ndarray:
        nonlocal first, second, step
        step += 1
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        return 0.01 * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)

    _, policies = simulate(lambda update: 4.0, 4000, change=adam)
    result = play(experiment(optimizer=functools.partial(torch.optim.Adam, lr=0.01)), RSGRPO(beta=4.0), Constant())
    np.testing.assert_allclose(result.policies[0], policies[result.pulls.numpy() // 16], atol=1e-7)


def test_32_bits_follow_64_for_a_while() -> None:
    watched = Watched(beta=8.0)
    half = play(experiment(precision=32, pulls=1600), watched, Constant())
    assert watched.seen[0].dtype == torch.float32
    whole = play(experiment(pulls=1600), RSGRPO(beta=8.0), Constant())
    assert torch.allclose(half.policies, whole.policies, atol=1e-4)
    assert torch.allclose(half.reward, whole.reward, atol=0.02)


@AS_USERS_RUN_IT
def test_noise_is_around_the_mean_and_the_same_for_every_value() -> None:
    flat = Peaks(arms=4, peaks=((0, 0.0),), floor=0.3, start=3.0, noise=0.5)
    watched = Watched()
    stream = SeededStreams(seeds=2, seed=9)
    still = functools.partial(torch.optim.SGD, lr=0.0)
    play(experiment(landscape=flat, stream=stream, values=[0, 8], optimizer=still, pulls=8000), watched, Constant())
    rewards = watched.rewards()
    assert rewards.shape == (4, 8000)
    np.testing.assert_array_equal(rewards[:2], rewards[2:])
    assert abs(np.corrcoef(rewards[0], rewards[1])[0, 1]) < 0.05
    assert rewards.mean() == pytest.approx(0.3, abs=0.02)  # four standard errors
    assert rewards.std() == pytest.approx(0.5, abs=0.015)
    again = Watched()
    play(experiment(landscape=flat, stream=stream, values=[0, 8], optimizer=still, pulls=8000), again, Constant())
    np.testing.assert_array_equal(again.rewards(), rewards)


# The exact gradient


def exactly(beta: float, updates: int) -> np.ndarray:
    """The policies before each update when every logit moves by lr pi A, A of Eq. 7."""
    logits, policies = first_logits(), []
    for _ in range(updates):
        policy = softmax(logits)
        policies.append(policy)
        e = np.exp(beta * REWARDS)
        advantages = REWARDS - policy @ REWARDS if beta == 0 else (e / (policy @ e) - 1) / beta
        logits = logits + 0.1 * policy * advantages
    return np.array(policies)


def test_the_exact_gradient_is_that_of_equation_7() -> None:
    result = play(experiment(values=[0, 2, 8], gradient="exact"), RSGRPO(), Constant())
    for v, beta in enumerate((0.0, 2.0, 8.0)):
        np.testing.assert_allclose(result.policies[v], exactly(beta, 250)[result.pulls.numpy() // 16], atol=1e-10)
    expected = result.policies[0] @ torch.from_numpy(REWARDS)
    assert bool((expected.diff() > 0).all())


def test_the_exact_gradient_needs_a_claim() -> None:
    with pytest.raises(UserError, match=r"^gradient=exact: Watched does not say what it maximises"):
        play(experiment(gradient="exact"), Watched(), Constant())


# What is recorded


def tiny(stream: Stream) -> Trajectories:
    """Four updates of two pulls from a policy that never changes, averaged over four pulls."""
    still = functools.partial(torch.optim.SGD, lr=0.0)
    bandit = experiment(landscape=Coin(), stream=stream, optimizer=still, pulls=8, batch=2, window=4)
    return play(bandit, RSGRPO(), Constant(), thresholds=(0.5, 0.7, 0.9))


def given(rewards: Sequence[int]) -> Given:
    """Numbers that draw these rewards from the coin."""
    return Given(numbers=torch.tensor([0.25 + 0.5 * r for r in rewards], dtype=torch.float64).view(-1, 1, 2))


def test_the_moving_average_and_its_crossings_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = given([0, 0, 0, 1, 1, 1, 0, 1])
    # Means of four in a row: 1/4, 2/4, 3/4, 3/4, 3/4. Updates begin at pulls 0, 2 and 4.
    result = tiny(stream)
    assert result.pulls.tolist() == [0, 2, 4]
    assert result.reward.tolist() == [[[0.25, 0.75, 0.75]]]
    assert result.final_reward.item() == 0.75
    assert [result.crossings[t].item() for t in (0.5, 0.7)] == [1, 2]
    assert result.crossings[0.9].isnan().all()
    assert result.entropy.flatten().tolist() == pytest.approx([math.log(2)] * 3)
    monkeypatch.setattr(trajectories, "PULLS_KEPT", 7)
    by_update = tiny(stream)
    assert (result.resolution, by_update.resolution) == (1, 2)
    assert by_update.reward.tolist() == [[[0.25, 0.75, 0.75]]]
    assert by_update.final_reward.item() == 0.75
    assert [by_update.crossings[t].item() for t in (0.5, 0.7)] == [2, 2]
    assert by_update.crossings[0.9].isnan().all()


def test_a_crossing_at_the_first_pull_is_not_never() -> None:
    result = tiny(given([1, 1, 1, 1, 0, 0, 0, 0]))
    assert [result.crossings[t].item() for t in (0.5, 0.7, 0.9)] == [0, 0, 0]
    assert result.final_reward.item() == 0.0


@AS_USERS_RUN_IT
def test_beyond_what_is_kept_crossings_are_known_to_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds = (0.37, 0.4, 0.45, 0.5)
    bandit = experiment(values=[0, 8], pulls=24_000, window=1600)
    pulls = play(bandit, RSGRPO(), Constant(), thresholds=thresholds)
    monkeypatch.setattr(trajectories, "PULLS_KEPT", 2 * 24_000 - 1)
    updates = play(bandit, RSGRPO(), Constant(), thresholds=thresholds)
    assert (pulls.resolution, updates.resolution) == (1, 16)
    assert torch.allclose(pulls.reward, updates.reward, atol=1e-6)
    assert torch.allclose(pulls.final_reward, updates.final_reward, atol=1e-6)
    for v, beta in enumerate((0.0, 8.0)):
        rewards, _ = simulate(lambda update, beta=beta: beta, 24_000)
        average = moving_average(rewards, 1600)[::16]
        for threshold in thresholds:
            at = updates.crossings[threshold][v, 0].item()
            np.testing.assert_equal(at, 16 * first_at(average, threshold))
            assert math.isnan(at) or at >= pulls.crossings[threshold][v, 0].item()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"pulls": 0}, "pulls"),
        ({"batch": 1}, "batch"),
        ({"window": 0}, "window"),
        ({"window": 4001}, "window"),
        ({"window": 15}, "window"),
    ],
)
def test_what_is_no_experiment_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(FieldError) as error:
        experiment(**changes)
    assert error.value.name == named
