"""The landscape: the published numbers, bumps of one's own, and what is refused."""

import numpy as np
import pytest
import torch

from rsgrpo.bandit.landscape import Landscape, Peaks, TwoArms
from rsgrpo.errors import FieldError


def test_the_default_is_the_published_landscape() -> None:
    rewards, policy = Peaks().rewards(), Peaks().logits().softmax(0)
    assert rewards.shape == policy.shape == (100,)
    assert (int(rewards.argmax()), int(rewards[60:].argmax()) + 60) == (40, 75)
    assert float(rewards[40]) == pytest.approx(1.0, abs=1e-9)
    assert float(rewards[75]) == pytest.approx(0.6, abs=1e-5)
    assert float(policy[75]) == pytest.approx(0.0488, abs=5e-5)
    assert float(policy[40]) == pytest.approx(0.00444, abs=5e-6)
    assert float(policy @ rewards) == pytest.approx(0.3745, abs=5e-5)
    assert -float(policy @ policy.log()) == pytest.approx(4.124, abs=5e-4)


def test_every_arm_is_that_of_the_formula() -> None:
    arms = np.arange(100)
    rewards = 0.1 + 0.9 * np.exp(-((arms - 40) ** 2) / 50) + 0.5 * np.exp(-((arms - 75) ** 2) / 50)
    np.testing.assert_allclose(Peaks().rewards().numpy(), rewards, rtol=1e-13)
    policy = np.exp(-((arms - 75) ** 2) / 50) + 0.1
    logits = np.log(policy / policy.sum() + 1e-8)
    np.testing.assert_allclose(Peaks().logits().numpy(), logits - logits.mean(), rtol=1e-12, atol=1e-14)
    assert Peaks().rewards().dtype == Peaks().logits().dtype == torch.float64


def test_peaks_of_ones_own() -> None:
    peaks = Peaks(arms=5, peaks=((1, 2.0), (3, 1.0)), width=0.5, floor=-1.0, start=3.0, start_floor=0.25)
    # Neighbours are two widths away: e^-2; two apart: e^-8; three: e^-18.
    near, two, three = np.exp([-2, -8, -18])
    expected = [-1 + 2 * near + three, 1 + two, -1 + 3 * near, 2 * two, -1 + near + 2 * three]
    np.testing.assert_allclose(peaks.rewards().numpy(), expected, atol=1e-12)
    weights = np.array([three, two, near, 1.0, near]) + 0.25
    np.testing.assert_allclose(peaks.logits().softmax(0).numpy(), weights / weights.sum(), atol=1e-7)
    assert isinstance(peaks, Landscape)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"arms": 1}, "arms"),
        ({"width": 0.0}, "width"),
        ({"start_floor": 0.0}, "start_floor"),
        ({"noise": -0.1}, "noise"),
        ({"start": 100.0}, "start"),
        ({"start": -1.0}, "start"),
        ({"floor": float("nan")}, "floor"),
        ({"peaks": ()}, "peaks"),
        ({"peaks": ((40, 0.9, 5.0),)}, "peaks"),
    ],
)
def test_what_is_no_landscape_is_refused(changes: dict, named: str) -> None:
    with pytest.raises(FieldError) as error:
        Peaks(**changes)
    assert error.value.name == named


@pytest.mark.parametrize("start", [0.05, 0.5, 0.9])
def test_two_arms_begin_at_the_accuracy(start: float):
    arms = TwoArms(start=start)
    assert arms.logits().softmax(0).tolist() == pytest.approx([1 - start, start], abs=1e-14)
    assert arms.rewards().tolist() == [0.0, 1.0]
    assert arms.logits().sum().item() == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("start", [0.0, 1.0, -0.1])
def test_an_accuracy_that_cannot_move_is_refused(start: float):
    with pytest.raises(FieldError, match="start="):
        TwoArms(start=start)
