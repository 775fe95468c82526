"""Every surrogate: REINFORCE where the ratio is 1, numbers worked by hand, finite differences beside the edges."""

import math

import pytest
import torch

from rsgrpo.errors import FieldError
from rsgrpo.losses.base import Loss
from rsgrpo.losses.cispo import CISPOLoss
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.losses.gspo import GSPOLoss
from rsgrpo.losses.reinforce import ReinforceLoss
from rsgrpo.types import TokenStatistics
from tests.losses.rows import row_of

SURROGATES = {
    "clip": ClipLoss(),
    "dual clip": ClipLoss(dual_clip=3.0),
    "reinforce": ReinforceLoss(),
    "gspo": GSPOLoss(),
    "cispo": CISPOLoss(),
}


def losses_and_gradient(loss: Loss, logprobs, old, lengths, advantages):
    """The loss of each token, the derivative of its weighted sum by each log-prob, and where it was clipped."""
    logprobs = torch.tensor(logprobs, dtype=torch.float64, requires_grad=True)
    row = row_of(lengths, advantages=advantages)
    output = loss(TokenStatistics(logprobs, torch.zeros_like(logprobs)), torch.tensor(old, dtype=torch.float64), row)
    (gradient,) = torch.autograd.grad(output.per_token.sum(), logprobs)
    return output.per_token.tolist(), gradient.tolist(), {n: v.tolist() for n, v in output.diagnostics.items()}


@pytest.mark.parametrize("loss", SURROGATES.values(), ids=list(SURROGATES))
def test_with_a_ratio_of_one_every_surrogate_has_the_gradient_of_reinforce(loss: Loss) -> None:
    # d/dlogprob = -A on every token, in completions of 1, 3 and 2 tokens.
    logprobs, advantages = [-0.3, -1.0, -2.0, -0.1, -0.7, -3.0], [1.0, -0.5, 2.0]
    _, gradient, _ = losses_and_gradient(loss, logprobs, logprobs, [1, 3, 2], advantages)
    assert gradient == pytest.approx([-1.0, 0.5, 0.5, 0.5, -2.0, -2.0], rel=1e-12)


@pytest.mark.parametrize(
    ("ratio", "loss", "gradient", "bounded"),
    [
        (2.9, 5.8, 5.8, False),  # -rho A with A = -2
        (3.1, 6.0, 0.0, True),  # -c A, and no gradient
        (0.5, 1.6, 0.0, False),  # the ordinary lower clip: -.8 A
    ],
)
def test_dual_clip_bounds_the_loss_of_negative_advantages(ratio, loss, gradient, bounded) -> None:
    said, slope, cut = losses_and_gradient(ClipLoss(dual_clip=3.0), [math.log(ratio)], [0.0], [1], [-2.0])
    assert said == pytest.approx([loss], rel=1e-12)
    assert slope == pytest.approx([gradient], rel=1e-12)
    assert cut["dual_clip_fraction"] == [bounded]


def test_dual_clip_leaves_positive_advantages_alone() -> None:
    plain = losses_and_gradient(ClipLoss(), [math.log(5.0)], [0.0], [1], [2.0])
    dual = losses_and_gradient(ClipLoss(dual_clip=3.0), [math.log(5.0)], [0.0], [1], [2.0])
    assert dual[:2] == plain[:2]


def test_gspo_by_hand() -> None:
    # Log ratios .1 and .3 of one completion: s = e^.2 = 1.2214, above 1.0004; A > 0 is clipped, A < 0 is not.
    loss, gradient, cut = losses_and_gradient(GSPOLoss(), [0.1, 0.3], [0.0, 0.0], [2], [1.0])
    assert loss == pytest.approx([-1.0004] * 2, rel=1e-12)
    assert gradient == [0.0, 0.0]
    assert cut["clip_fraction"] == [True, True]
    loss, gradient, _ = losses_and_gradient(GSPOLoss(), [0.1, 0.3], [0.0, 0.0], [2], [-1.0])
    s = math.exp(0.2)
    assert loss == pytest.approx([s, s], rel=1e-12)
    assert gradient == pytest.approx([s, s], rel=1e-12)  # two tokens of loss s, of which each log-prob moves s / 2


def test_gspo_does_not_mix_the_completions_of_a_row() -> None:
    together, _, _ = losses_and_gradient(GSPOLoss(), [0.1, 0.3, -0.2], [0.0] * 3, [2, 1], [-1.0, -1.0])
    alone, _, _ = losses_and_gradient(GSPOLoss(), [-0.2], [0.0], [1], [-1.0])
    assert together[2:] == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("log_ratio", [-0.5, -0.1, 0.1, 0.5])
@pytest.mark.parametrize("advantage", [1.5, -0.7])
def test_gspo_of_one_token_is_ppo(log_ratio: float, advantage: float) -> None:
    gspo = losses_and_gradient(GSPOLoss(clip_low=0.2, clip_high=0.28), [log_ratio], [0.0], [1], [advantage])
    assert gspo == losses_and_gradient(ClipLoss(), [log_ratio], [0.0], [1], [advantage])


@pytest.mark.parametrize(
    ("ratio", "weight"),
    [(1.5, 1.28), (1.2, 1.2), (0.1, 0.1)],  # no lower bound
)
def test_cispo_keeps_the_gradient_of_a_clipped_token(ratio: float, weight: float) -> None:
    for advantage in (1.0, -2.0):
        logprob = math.log(ratio) - 1.0
        loss, gradient, cut = losses_and_gradient(CISPOLoss(), [logprob], [-1.0], [1], [advantage])
        assert loss == pytest.approx([-weight * advantage * logprob], rel=1e-12)
        assert gradient == pytest.approx([-weight * advantage], rel=1e-12)
        assert cut["clip_fraction"] == [ratio > 1.28]


EDGES = {"clip": (0.8, 1.28), "dual clip": (0.8, 1.28, 3.0), "gspo": (1 - 3e-4, 1 + 4e-4)}


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("advantage", [1.5, -0.7])
def test_finite_differences_on_both_sides_of_every_edge(name: str, side: int, advantage: float) -> None:
    # A completion of one token, a little beside each edge; the step is far smaller than the distance to it.
    for edge in EDGES[name]:
        log_ratio, h = math.log(edge) + side * 1e-4, 1e-6
        up, down = (
            losses_and_gradient(SURROGATES[name], [log_ratio + shift], [0.0], [1], [advantage])[0][0]
            for shift in (h, -h)
        )
        _, (gradient,), _ = losses_and_gradient(SURROGATES[name], [log_ratio], [0.0], [1], [advantage])
        assert gradient == pytest.approx((up - down) / (2 * h), abs=1e-7)


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        (ClipLoss, "dual_clip", 0.9),
        (GSPOLoss, "clip_low", 1.5),
        (GSPOLoss, "clip_high", -1.0),
        (CISPOLoss, "clip_low", -0.1),
        (CISPOLoss, "clip_high", math.inf),
    ],
)
def test_values_outside_their_range_are_refused(cls: type[Loss], field: str, value: float) -> None:
    with pytest.raises(FieldError, match=field):
        cls(**{field: value})


@pytest.mark.parametrize("loss", SURROGATES.values(), ids=list(SURROGATES))
def test_a_row_that_only_keeps_step_with_other_ranks_has_a_loss_of_nothing(loss: Loss) -> None:
    from rsgrpo.batching.packing import empty_row

    nothing = torch.zeros(0, requires_grad=True)
    output = loss(TokenStatistics(nothing, nothing.detach()), nothing.detach(), empty_row(torch.device("cpu")))
    output.per_token.sum().backward()
    assert output.per_token.shape == (0,)
