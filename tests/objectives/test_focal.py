"""F-GRPO: GRPO's advantage times a focal weight."""

import math

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.focal import Focal
from rsgrpo.objectives.grpo import GRPO
from tests.objectives.cases import advantages_of, binary_group
from tests.objectives.enumeration import weight_of_large_groups


def test_by_hand():
    # (1, 1, 0, 0): weight 1/2, deviation sqrt(1/3) with ddof 1 and 1/2 with ddof 0.
    a = math.sqrt(3) / 4
    assert advantages_of(Focal(), [1.0, 1.0, 0.0, 0.0]).tolist() == pytest.approx([a, a, -a, -a], abs=1e-13)
    assert advantages_of(Focal(ddof=0, gamma=3.0), [1.0, 1.0, 0.0, 0.0]).tolist() == [1 / 8, 1 / 8, -1 / 8, -1 / 8]
    # (1, 0.5, 0, 0.5): weight 1/2, deviation sqrt(1/8) with ddof 0.
    expected = [0.5 * r * math.sqrt(8) for r in (0.5, 0.0, -0.5, 0.0)]
    assert advantages_of(Focal(ddof=0), [1.0, 0.5, 0.0, 0.5]).tolist() == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("eps", [0.0, 1e-4])
def test_gamma_0_is_grpo(ddof, eps):
    rewards = torch.tensor([[0.0, 0.2, 0.5, 1.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    grpo = GRPO(normalize_std=True, ddof=ddof, eps=eps)
    focal = Focal(gamma=0.0, ddof=ddof, eps=eps)
    torch.testing.assert_close(advantages_of(focal, rewards), advantages_of(grpo, rewards), atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("correct", [1, 8, 15])
def test_it_is_grpo_times_the_failure_rate_to_the_gamma(correct, gamma):
    rewards = binary_group(correct, 16)
    expected = (1 - correct / 16) ** gamma * advantages_of(GRPO(normalize_std=True), rewards)
    torch.testing.assert_close(advantages_of(Focal(gamma=gamma), rewards), expected, atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_its_weight_of_a_prompt_as_groups_grow(p):
    expected = (1 - p) ** 2 / math.sqrt(p * (1 - p))
    assert weight_of_large_groups(Focal(gamma=2.0, ddof=0), p) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("rewards", "wrong"), [([0.0, 1.5], "1.5"), ([-0.25, 1.0], "-0.25")])
def test_rewards_outside_the_unit_interval_are_refused(rewards, wrong):
    with pytest.raises(UserError, match=rf"objective focal .*between 0 and 1 and got {wrong};.*objective=GRPO\(\)"):
        advantages_of(Focal(), rewards)


def test_a_group_of_one_is_refused():
    with pytest.raises(UserError, match=r"objective focal .*completions_per_prompt=1"):
        advantages_of(Focal(), [1.0])


@pytest.mark.parametrize("fields", [{"gamma": -0.5}, {"ddof": 2}, {"ddof": -1}, {"eps": -1e-6}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(FieldError, match=next(iter(fields))):
        Focal(**fields)
