"""QAE: which completions get an advantage at all."""

import math

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.qae import QAE, quantile_baseline
from tests.objectives.cases import advantages_of, binary_group


@pytest.mark.parametrize("correct", range(1, 16))
def test_on_hard_prompts_the_right_ones_and_on_easy_ones_the_wrong_ones(correct):
    # At place .4 x 15 = 6 of the sorted rewards: 0 while at most 9 of 16 are right, which is accuracy .6 = 1 - K.
    a = advantages_of(QAE(), binary_group(correct, 16))[0]
    right, wrong = a[:correct], a[correct:]
    if correct <= 9:
        assert (right > 0).all()
        assert (wrong == 0).all()
    else:
        assert (right == 0).all()
        assert (wrong < 0).all()


def test_by_hand():
    # 0, .2, .5, 1 at place .5 x 3 = 1.5: .35; mean .425, variance (.180625 + .050625 + .005625 + .330625) / 3.
    deviation = math.sqrt(0.5675 / 3)
    got = advantages_of(QAE(quantile=0.5), [0.0, 0.2, 0.5, 1.0])
    assert got.tolist() == pytest.approx([x / deviation for x in (-0.35, -0.15, 0.15, 0.65)], abs=1e-14)


@pytest.mark.parametrize("quantile", [0.0, 0.13, 0.4, 0.5, 0.75, 1.0])
def test_the_quantile_is_torchs(quantile):
    rewards = torch.rand(20, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = rewards - torch.quantile(rewards, quantile, dim=1, keepdim=True)
    got = quantile_baseline(rewards, quantile) * rewards.std(dim=1, keepdim=True)
    torch.testing.assert_close(got, expected, atol=1e-14, rtol=0)


def test_a_group_of_one_is_refused():
    with pytest.raises(UserError, match=r"objective qae .*completions_per_prompt=1"):
        advantages_of(QAE(), [1.0])


@pytest.mark.parametrize("fields", [{"quantile": 1.01}, {"quantile": -0.1}, {"ddof": 2}, {"eps": -1.0}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(FieldError, match=next(iter(fields))):
        QAE(**fields)
