"""The clipped surrogate: hand cases, its gradient, and what ClipLoss refuses."""

import math
from collections.abc import Iterator

import jaxtyping
import pytest
import torch

from rsgrpo.errors import FieldError
from rsgrpo.losses.clip import ClipLoss, clipped_surrogate
from rsgrpo.types import PackedRow, TokenStatistics

LOW, HIGH = 0.2, 0.28
"""The ratio is clipped to [0.8, 1.28]."""


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No runtime type checks, as in a real run: the class itself has to refuse a value of the wrong kind."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def row_of(advantages: torch.Tensor) -> PackedRow:
    """One completion behind a prompt of one token."""
    count, places = len(advantages), torch.arange(len(advantages))
    return PackedRow(
        token_ids=torch.zeros(count + 1, dtype=torch.long),
        position_ids=torch.arange(count + 1),
        lengths=(count + 1,),
        target_index=places,
        target_ids=torch.zeros(count, dtype=torch.long),
        sequence_of_target=torch.zeros(count, dtype=torch.long),
        advantages=advantages,
        weights=torch.ones(count),
        sampler_logprobs=torch.zeros(count),
    )


def clipped(
    loss: ClipLoss, logprobs: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of each token, and where it was clipped, of a row that holds nothing else."""
    row = row_of(advantages)
    output = loss(TokenStatistics(logprobs, torch.zeros_like(logprobs)), old, row)
    return output.per_token, output.diagnostics["clip_fraction"]


def surrogate(ratio: float, advantage: float) -> tuple[float, bool, float]:
    """(loss, clipped, derivative of the loss by the log-prob) of one token whose ratio is `ratio`."""
    logprob = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    advantages = torch.full((1,), advantage, dtype=torch.float64)
    loss, cut, _ = clipped_surrogate(logprob.exp(), advantages, clip_low=LOW, clip_high=HIGH)
    loss.sum().backward()
    assert logprob.grad is not None
    return loss.item(), bool(cut), logprob.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped"),
    [
        # A > 0: the surrogate is min(ratio, 1.28) A, so only growth beyond 1.28 is cut off.
        (1.50, 2.0, -2.56, True),  # -1.28 * 2
        (1.27, 2.0, -2.54, False),
        (1.00, 2.0, -2.00, False),
        (0.81, 2.0, -1.62, False),
        (0.50, 2.0, -1.00, False),  # below 0.8, yet min(0.5, 0.8) * 2 is the unclipped one
        # A < 0: the surrogate is max(ratio, 0.8) A, so only shrinking below 0.8 is cut off.
        (0.50, -2.0, 1.60, True),  # 0.8 * 2
        (0.81, -2.0, 1.62, False),
        (1.00, -2.0, 2.00, False),
        (1.27, -2.0, 2.54, False),
        (1.50, -2.0, 3.00, False),  # above 1.28, yet min(-3, -2.56) is the unclipped one
        (1.50, 0.0, 0.00, False),
    ],
)
def test_clip_cases_by_hand(ratio, advantage, loss, clipped):
    got_loss, got_clipped, gradient = surrogate(ratio, advantage)
    assert got_loss == pytest.approx(loss, abs=1e-14)
    assert got_clipped is clipped
    # d(-ratio A)/d logprob = -ratio A where nothing is cut off, and 0 where it is.
    assert gradient == pytest.approx(0.0 if clipped else -ratio * advantage, abs=1e-14)


@pytest.mark.parametrize("ratio", [0.3, 0.7, 0.9, 1.0, 1.2, 1.4, 3.0])
@pytest.mark.parametrize("advantage", [1.5, -0.7])
def test_gradient_is_that_of_finite_differences(ratio, advantage):
    # Central differences in the log-prob; the kinks 0.8 and 1.28 are far away, so the error is of order h^2.
    h = 1e-5
    up, down = surrogate(ratio * math.exp(h), advantage)[0], surrogate(ratio * math.exp(-h), advantage)[0]
    assert surrogate(ratio, advantage)[2] == pytest.approx((up - down) / (2 * h), abs=1e-8)


def test_ratio_one_gives_the_reinforce_gradient():
    # On-policy, the gradient of the loss is -(sum_t A_t grad log pi(y_t)), and grad log pi(y) = onehot(y) - pi.
    logits = torch.tensor([0.3, -1.2, 0.8, 0.0], dtype=torch.float64, requires_grad=True)
    tokens = torch.tensor([2, 0, 2, 1, 3])
    advantages = torch.tensor([1.0, -0.5, 0.25, 2.0, -3.0], dtype=torch.float64)
    logprobs = logits.log_softmax(0)[tokens]
    loss, cut = clipped(ClipLoss(), logprobs, logprobs.detach(), advantages)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    scores = torch.eye(4, dtype=torch.float64)[tokens] - logits.detach().softmax(0)
    torch.testing.assert_close(gradient, -(advantages[:, None] * scores).sum(dim=0), atol=1e-15, rtol=1e-13)
    assert loss.tolist() == (-advantages).tolist()
    assert not cut.any()


def test_tokens_are_clipped_one_by_one():
    ratios = torch.tensor([1.5, 1.5, 0.5, 0.5])
    loss, cut = clipped(ClipLoss(), ratios.log(), torch.zeros(4), torch.tensor([1.0, -1.0, 1.0, -1.0]))
    assert loss.tolist() == pytest.approx([-1.28, 1.5, -0.5, 0.8], abs=1e-6)
    assert cut.tolist() == [True, False, False, True]


def test_only_the_difference_to_the_old_logprobs_counts():
    advantages = torch.tensor([1.0, -1.0])
    old = torch.tensor([-3.0, -7.0])
    shifted, _ = clipped(ClipLoss(), old + 0.1, old, advantages)
    plain, _ = clipped(ClipLoss(), torch.full((2,), 0.1), torch.zeros(2), advantages)
    torch.testing.assert_close(shifted, plain, atol=1e-6, rtol=0)


def test_the_two_bounds_are_the_configured_ones():
    # clip_low = 0.5, clip_high = 1: the ratio is kept in [0.5, 2].
    wide = ClipLoss(clip_low=0.5, clip_high=1.0)
    loss, cut = clipped(wide, torch.tensor([3.0, 0.25]).log(), torch.zeros(2), torch.tensor([1.0, -1.0]))
    assert loss.tolist() == pytest.approx([-2.0, 0.5], abs=1e-6)
    assert cut.all()


@pytest.mark.parametrize(
    ("field", "value"),
    [("clip_low", -0.1), ("clip_low", 1.1), ("clip_high", -0.1), ("clip_high", math.inf)],
)
def test_values_outside_their_range_are_refused(field, value):
    with pytest.raises(FieldError, match=field):
        ClipLoss(**{field: value})


def test_an_unknown_aggregation_is_answered_with_the_known_ones(unchecked):
    with pytest.raises(FieldError, match="token_mean, sequence_mean, sequence_sum"):
        ClipLoss(aggregation="mean")  # pyright: ignore[reportArgumentType]
