"""Where mass goes on a prompt with several right answers, against ordered enumeration and finite differences."""

import itertools

import pytest
import torch

from rsgrpo.audit.report import several
from rsgrpo.audit.several import MassFlow, mass_flow
from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.darling import Darling
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.ucpo import UCPO
from rsgrpo.objectives.uniqueness import Uniqueness
from tests.objectives.cases import CASES, composed

POLICY = torch.tensor([0.3, 0.05, 0.45, 0.2], dtype=torch.float64)
RIGHT = torch.tensor([True, True, False, False])
N = 5
SEE_MORE = ("uniqueness", "darling", "ucpo", "unlikeliness")


def gradients(objective: Objective) -> tuple[torch.Tensor, torch.Tensor]:
    """The chance and the gradient by the logits of every ordered group, written out."""
    groups = torch.tensor(list(itertools.product(range(4), repeat=N)))
    context = AdvantageContext(
        iteration=1,
        prompt_ids=[str(i) for i in range(len(groups))],
        sampler_logprobs=POLICY.log()[groups],
        correct=RIGHT[groups],
        answers=[[str(y) for y in group] for group in groups.tolist()],
    )
    advantages = objective.advantages(RIGHT.double()[groups], context)
    scores = torch.eye(4, dtype=torch.float64)[groups] - POLICY
    return POLICY[groups].prod(dim=1), (advantages[:, :, None] * scores).mean(dim=1)


def entropy_of_right(policy: torch.Tensor) -> float:
    q = policy[RIGHT] / policy[RIGHT].sum()
    return float(-(q * q.log()).sum())


def found(objective: Objective) -> MassFlow:
    return mass_flow(objective, POLICY, RIGHT, N)


OBJECTIVES = [Uniqueness(), Uniqueness(normalize_std=False), Darling(), UCPO(tau=1.0), PKPO(k=2)]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_the_flow_is_that_of_a_small_step(objective):
    chances, of_groups = gradients(objective)
    mean = chances @ of_groups
    step = 1e-6
    ahead, behind = ((POLICY.log() + sign * step * mean).softmax(0) for sign in (1, -1))
    moved = ahead - behind
    gained = moved[RIGHT].sum()
    got = found(objective)
    assert got.flow.tolist() == pytest.approx((moved / gained).tolist(), abs=1e-8)
    assert got.flow[RIGHT].sum().item() == pytest.approx(1, abs=1e-12)
    assert got.flow.sum().item() == pytest.approx(0, abs=1e-12)
    grown = (entropy_of_right(ahead) - entropy_of_right(behind)) / gained.item()
    assert got.spread == pytest.approx(grown, rel=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_the_noise_and_its_parts(objective):
    chances, of_groups = gradients(objective)
    mean = chances @ of_groups
    strays = of_groups - mean
    variance = (chances @ strays.square().sum(dim=1)).item()
    got = found(objective)
    assert got.noise == pytest.approx(variance**0.5 / mean.norm().item(), rel=1e-9)
    # Two right and two wrong answers: one direction among each, and one between the two sets, all orthogonal.
    half = 0.5**0.5
    directions = [[1.0, -1.0, 0, 0], [0, 0, 1.0, -1.0], [half, half, -half, -half]]
    along = (chances @ (strays @ torch.tensor(directions, dtype=torch.float64).T / 2**0.5).square()) / variance
    assert along.sum().item() == pytest.approx(1, abs=1e-9), "they leave nothing out: gradients by logits add up to 0"
    assert [got.noise_among_right, got.noise_among_wrong] == pytest.approx(along[:2].tolist(), abs=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_the_credit_is_the_expected_advantage_of_an_answer(objective):
    groups = torch.tensor(list(itertools.product(range(4), repeat=N)))
    context = AdvantageContext(
        iteration=1,
        prompt_ids=[str(i) for i in range(len(groups))],
        sampler_logprobs=POLICY.log()[groups],
        answers=[[str(y) for y in group] for group in groups.tolist()],
    )
    advantages = objective.advantages(RIGHT.double()[groups], context)
    chances = POLICY[groups].prod(dim=1)
    of_first = [
        (chances * (groups[:, 0] == y) @ advantages[:, 0]).item() / POLICY[y].item() for y in range(4)
    ]  # every completion is drawn alike: the first stands for all
    mean = sum(p * a for p, a in zip(POLICY.tolist(), of_first, strict=True))
    assert found(objective).credit.tolist() == pytest.approx([a - mean for a in of_first], abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_who_sees_rewards_alone_gives_all_right_answers_the_same_credit(case):
    got = found(composed(case))
    first, second, *wrong = got.credit.tolist()
    if case != "unlikeliness":  # whose group is normalised by what the right ones' likelihoods leave
        assert wrong[0] == pytest.approx(wrong[1], abs=1e-12)
    if case.split()[0] in SEE_MORE:
        assert second > 1.01 * first, "the rarer right answer gets more"
        assert got.spread > found(composed("rloo")).spread
    else:
        assert second == pytest.approx(first, abs=1e-12)
        assert got.spread == pytest.approx(found(composed("rloo")).spread, abs=1e-9), "as the mean reward, whoever asks"


def test_the_mean_reward_makes_the_common_answer_commoner():
    # By logits: d log pi_m - d log pi_l = (pi_m - pi_l) x the same credit, so the larger of two grows faster.
    got = found(composed("rloo"))
    assert got.flow[0] / POLICY[0] > got.flow[1] / POLICY[1]
    assert got.spread < 0


@pytest.mark.parametrize(("completions", "enumerated"), [(2, True), (36, True), (37, False), (64, False)])
def test_groups_that_are_too_many_are_left_out(
    completions: int, enumerated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = found(composed("rloo"))
    monkeypatch.setattr("rsgrpo.audit.report.mass_flow", lambda *_, **__: flow)
    assert (several(composed("rloo"), completions) is not None) is enumerated
