"""What each objective claims to maximise, against definitions by enumeration of ordered draws: value and gradient."""

import math

import pytest
import torch

from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.chen import Chen
from rsgrpo.objectives.claims import (
    expected_max,
    exponential_utility,
    group_chances,
    multisets,
    utility_of_groups,
)
from rsgrpo.objectives.entropic import Entropic, beta_of_kl
from rsgrpo.objectives.maxrl import MaxRL
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.rs_grpo import RSGRPO
from tests.objectives.cases import CASES, VARIANTS, composed
from tests.objectives.enumeration import (
    BINARY,
    CONTINUOUS,
    POLICY,
    REWARDS,
    Claim,
    best_of,
    best_of_group,
    gradient,
    mean_over_groups,
    mean_reward,
    ordered_groups,
    times,
    truncated_likelihood,
    utility,
    utility_of_group,
)

N = 5


def entropic_at_a_solved_beta(policy, rewards, n):
    """beta J_beta, beta being what the policy itself needs for KL(tilted || policy) = log 2; not differentiated."""
    beta = beta_of_kl(rewards[None], 0.693147, beta_max=1e6, weights=policy.detach()[None]).item()
    return times(beta, utility(beta))(policy, rewards, n)


def pass_at_16(policy, rewards, n):
    """1 - (1 - p)^16: sixteen draws of four outcomes are too many to write out."""
    return 1 - (1 - (policy * rewards).sum()) ** 16


def jackknifed(beta):
    """N J_N - (N-1) J_(N-1)."""
    return lambda policy, rewards, n: (
        n * utility_of_group(beta)(policy, rewards, n) - (n - 1) * utility_of_group(beta)(policy, rewards, n - 1)
    )


CLAIMS: dict[str, Claim] = {
    "reinforce": mean_reward,
    "grpo": mean_reward,
    "dr_grpo": mean_reward,
    "rloo": mean_reward,
    "focal": mean_reward,
    "unlikeliness": mean_reward,
    "uniqueness": mean_reward,
    "darling": mean_reward,
    "ucpo": mean_reward,
    "ngrpo": mean_reward,
    "qae": mean_reward,
    "boundary_gate": pass_at_16,
    "w_reinforce": times(1.1, mean_reward),
    "psr": mean_reward,
    "nsr": mean_reward,
    "rs_grpo": utility(2.0),
    "rs_grpo beta -2": utility(-2.0),
    "rs_grpo beta 0": mean_reward,
    "rs_grpo loo beta -2": utility(-2.0),
    "rs_grpo loo beta 0": mean_reward,
    "rs_grpo vimco": utility_of_group(2.0),
    "rs_grpo vimco beta -2": utility_of_group(-2.0),
    "rs_grpo vimco beta 0": mean_reward,
    "rs_grpo jackknife": jackknifed(2.0),
    "rs_grpo jackknife beta -2": jackknifed(-2.0),
    "rs_grpo jackknife beta 0": mean_reward,
    "best_of_n": best_of_group,
    "pkpo": best_of(4),
    "mahdavi": best_of(4),
    "chen": best_of(4),
    "rspo": best_of(4),
    "maxpo": best_of(4),
    "maxrl": truncated_likelihood,
    "entropic": entropic_at_a_solved_beta,
    "entropic beta 2": times(2.0, utility(2.0)),
}
"""By case, or else by yaml."""


def claim_of(objective: Objective) -> Claim:
    def claim(policy, rewards, n):
        value = objective.claim(policy, rewards, n)
        assert value is not None
        return value

    return claim


@pytest.mark.parametrize("kind", REWARDS)
@pytest.mark.parametrize("case", CASES)
def test_what_each_objective_claims(case, kind):
    name = VARIANTS.get(case, (case,))[0]
    if name in ("maxrl", "mahdavi", "psr", "nsr", "w_reinforce", "boundary_gate") and kind == "continuous":
        kind = "binary"  # claimed for rewards of 0 and 1
    truth, claim = CLAIMS.get(case, CLAIMS[name]), claim_of(composed(case))
    value = claim(POLICY, REWARDS[kind], N)
    assert value.shape == ()
    assert value.item() == pytest.approx(truth(POLICY, REWARDS[kind], N).item(), rel=1e-11)
    got, expected = gradient(claim, REWARDS[kind], N), gradient(truth, REWARDS[kind], N)
    torch.testing.assert_close(got, expected, atol=1e-13, rtol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_claims_may_be_of_float32_and_leave_no_trace(case):
    policy, rewards = POLICY.float(), BINARY.float()
    value = composed(case).claim(policy, rewards, N)
    assert value is not None
    assert value.item() == pytest.approx(claim_of(composed(case))(POLICY, BINARY, N).item(), rel=2e-5)
    assert not value.requires_grad


def test_an_objective_of_ones_own_need_not_claim_anything():
    class Own(Objective):
        def advantages(self, rewards: torch.Tensor, context: AdvantageContext) -> torch.Tensor:
            return rewards

    assert Own().claim(POLICY, BINARY, N) is None


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_k_of_the_objective_is_claimed(k):
    for objective in (PKPO(k=k), Chen(k=k), PKPO(k=torch.tensor([[k]]))):
        assert claim_of(objective)(POLICY, CONTINUOUS, N).item() == pytest.approx(
            best_of(k)(POLICY, CONTINUOUS, N).item(), rel=1e-12
        )


@pytest.mark.parametrize("n", [2, 3, 6])
def test_n_of_the_group_is_claimed_where_it_matters(n):
    for objective, truth in ((MaxRL(), truncated_likelihood), (RSGRPO(estimator="vimco"), utility_of_group(2.0))):
        assert claim_of(objective)(POLICY, BINARY, n).item() == pytest.approx(
            truth(POLICY, BINARY, n).item(), rel=1e-12
        )


def test_a_solved_beta_is_that_of_the_policy():
    # KL(q || pi) = log 2 at it; checked from q, without the solver.
    beta = beta_of_kl(CONTINUOUS[None], 0.693147, beta_max=1e6, weights=POLICY[None]).item()
    q = POLICY * (beta * CONTINUOUS).exp()
    q = q / q.sum()
    assert (q * (q / POLICY).log()).sum().item() == pytest.approx(0.693147, abs=1e-10)
    expected = (POLICY * (beta * CONTINUOUS).exp()).sum().log().item()
    assert claim_of(Entropic())(POLICY, CONTINUOUS, N).item() == pytest.approx(expected, rel=1e-10)


# --- the functions themselves


@pytest.mark.parametrize(
    "rewards", [[0.3, 0.3, -1.0, 0.3], [2.0, -5.0, 2.0, -5.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.3, 0.7, 1.0]]
)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_expected_max_with_ties_and_signs(rewards, k):
    r = torch.tensor(rewards, dtype=torch.float64)
    truth = gradient(best_of(k), r, N)
    torch.testing.assert_close(expected_max(POLICY, r, k), best_of(k)(POLICY, r, N), atol=1e-14, rtol=1e-12)
    got = gradient(lambda policy, r, n: expected_max(policy, r, k), r, N)
    torch.testing.assert_close(got, truth, atol=1e-13, rtol=1e-10)


def test_pass_at_k_by_hand():
    # p = .35: 1 - .65^3.
    assert expected_max(POLICY, BINARY, 3).item() == pytest.approx(1 - 0.65**3, abs=1e-13)


@pytest.mark.parametrize("beta", [1e-9, -1e-9, 1e-25, 0.0])
def test_utilities_near_beta_zero_are_the_mean_reward(beta):
    mean = mean_reward(POLICY, CONTINUOUS).item()
    assert exponential_utility(POLICY, CONTINUOUS, beta).item() == pytest.approx(mean, abs=1e-6)
    assert utility_of_groups(POLICY, CONTINUOUS, beta, 4).item() == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize(("beta", "limit"), [(1e4, 1.0), (-1e4, 0.0)])
def test_utilities_at_extreme_betas_do_not_overflow(beta, limit):
    # J -> max or min, within log(1/pi of it)/|beta|.
    assert exponential_utility(POLICY, CONTINUOUS, beta).item() == pytest.approx(limit, abs=3e-4)
    best = best_of(4)(POLICY, CONTINUOUS, 4) if beta > 0 else -best_of(4)(POLICY, -CONTINUOUS, 4)
    assert utility_of_groups(POLICY, CONTINUOUS, beta, 4).item() == pytest.approx(best.item(), abs=3e-4)


@pytest.mark.parametrize(("outcomes", "draws"), [(1, 3), (2, 5), (4, 4), (3, 7)])
def test_multisets_and_their_chances_are_those_of_ordered_draws(outcomes, draws):
    counts = multisets(outcomes, draws)
    assert len(counts) == math.comb(draws + outcomes - 1, outcomes - 1)
    policy = torch.arange(1.0, outcomes + 1, dtype=torch.float64) / (outcomes * (outcomes + 1) / 2)
    groups = ordered_groups(outcomes, draws)
    drawn = torch.stack([(groups == m).sum(dim=1) for m in range(outcomes)], dim=1)
    got = {tuple(c): x for c, x in zip(counts.tolist(), group_chances(counts.double(), policy).tolist(), strict=True)}
    assert len(got) == len(counts)
    for c, x in got.items():
        same = (drawn == torch.tensor(c)).all(dim=1)
        assert x == pytest.approx(policy[groups[same]].prod(dim=1).sum().item(), rel=1e-11)


def test_an_outcome_that_never_happens_costs_nothing():
    policy = torch.tensor([0.4, 0.6, 0.0], dtype=torch.float64)
    rewards = torch.tensor([0.0, 1.0, 50.0], dtype=torch.float64)
    some, less = (policy, rewards), (policy[:2], rewards[:2])
    assert expected_max(*some, 3).item() == pytest.approx(expected_max(*less, 3).item(), rel=1e-13)
    assert exponential_utility(*some, 2.0).item() == pytest.approx(exponential_utility(*less, 2.0).item(), rel=1e-13)
    assert utility_of_groups(*some, 2.0, 3).item() == pytest.approx(utility_of_groups(*less, 2.0, 3).item(), rel=1e-12)


def test_the_mean_over_groups_of_this_file_is_one():
    assert mean_over_groups(POLICY, 3, lambda groups: torch.ones(len(groups), dtype=torch.float64)).item() == (
        pytest.approx(1, abs=1e-14)
    )
