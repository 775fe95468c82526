"""Each method on numbers worked out by hand."""

import math

import pytest
import torch

from rsgrpo.errors import FieldError
from rsgrpo.shaping.clip_cov import ClipCov
from rsgrpo.shaping.covariance import covariances
from rsgrpo.shaping.entropy_advantage import EntropyAdvantage
from rsgrpo.shaping.kl_cov import KLCov
from rsgrpo.shaping.none import NoShaping
from rsgrpo.shaping.rl_zvp import RLZVP
from rsgrpo.types import TokenStatistics
from tests.shaping.tokens import tokens_of_lengths


def test_entropy_advantage() -> None:
    # alpha H = .4 x (.5, 2, 0, 3, 1) = (.2, .8, 0, 1.2, .4); |A| / kappa = (.5, .5, .5, .1, .1) and 0 for A = 0.
    tokens = tokens_of_lengths(
        [2, 1, 2, 1],
        logprobs=[-1.0] * 6,
        entropy=[0.5, 2.0, 0.0, 3.0, 1.0, 1.0],
        advantages=[1.0, -1.0, -0.2, 0.0],
    )
    said = EntropyAdvantage(alpha=0.4, kappa=2.0)(tokens)
    assert said.advantages.tolist() == pytest.approx([1.2, 1.5, -1.0, -0.1, -0.1, 0.0])
    assert said.diagnostics["entropy_advantage"].tolist() == pytest.approx([0.2, 0.5, 0.0, 0.1, 0.1, 0.0])
    assert said.marks is None


# Five tokens of two completions, with mean log-prob -2 and mean advantage (2 x 3 + 3 x -1) / 5 = .6:
#   log-prob          0    -4    -1    -3    -2
#   its difference    2    -2     1    -1     0
#   advantage         3     3    -1    -1    -1
#   its difference    2.4   2.4  -1.6  -1.6  -1.6
#   Cov               4.8  -4.8  -1.6   1.6   0
LOGPROBS, ADVANTAGES, COV = [0.0, -4.0, -1.0, -3.0, -2.0], [3.0, -1.0], [4.8, -4.8, -1.6, 1.6, 0.0]


def test_covariances() -> None:
    tokens = tokens_of_lengths([2, 3], logprobs=LOGPROBS, advantages=ADVANTAGES)
    assert covariances(tokens).tolist() == pytest.approx(COV)


@pytest.mark.parametrize(
    ("settings", "cut"),
    [
        # floor(.4 x 5) = 2 of those between 1 and 5: both of them, whatever is drawn.
        ({"share": 0.4}, [0, 3]),
        # floor(.2 x 5) = 1 of the two: the one with the larger random number.
        ({"share": 0.2}, [3]),
        # floor(.1 x 5) = 0, and at least one.
        ({"share": 0.1}, [3]),
        # The band has one; its bounds are not in it.
        ({"share": 0.9, "high": 4.8}, [3]),
        ({"share": 0.9, "low": 1.7}, [0]),
        ({"share": 0.9, "low": 5.0, "high": 6.0}, []),
    ],
)
def test_clip_cov(settings: dict[str, float], cut: list[int]) -> None:
    tokens = tokens_of_lengths([2, 3], logprobs=LOGPROBS, advantages=ADVANTAGES, uniform=[0.3, 0.9, 0.9, 0.4, 0.9])
    said = ClipCov(**settings)(tokens)
    wanted = [0.0 if i in cut else advantage for i, advantage in enumerate([3.0, 3.0, -1.0, -1.0, -1.0])]
    assert said.advantages.tolist() == wanted
    assert said.diagnostics["covariance"].tolist() == pytest.approx(COV)


def test_kl_cov_marks_the_largest_and_holds_them() -> None:
    tokens = tokens_of_lengths([2, 3], logprobs=LOGPROBS, advantages=ADVANTAGES)
    shaping = KLCov(share=0.4, coefficient=0.5)  # floor(.4 x 5) = 2 tokens, those of 4.8 and 1.6
    said = shaping(tokens)
    assert said.advantages.tolist() == [3.0, 3.0, -1.0, -1.0, -1.0]
    assert said.marks is not None
    assert said.marks.tolist() == [1.0, 0.0, 0.0, 1.0, 0.0]
    logprobs = (tokens.logprobs + torch.tensor([-0.2, 0.1, 0.3, 0.4, -0.5])).requires_grad_()
    added = shaping.added_loss(TokenStatistics(logprobs, tokens.entropy), tokens.logprobs, said.marks)
    # .5 x |-.2| and .5 x |.4|; its slope is the sign of the difference.
    assert added.tolist() == pytest.approx([0.1, 0.0, 0.0, 0.2, 0.0])
    added.sum().backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [-0.5, 0.0, 0.0, 0.5, 0.0]


def test_kl_cov_has_no_gradient_where_the_policy_has_not_moved() -> None:
    tokens = tokens_of_lengths([2, 3], logprobs=LOGPROBS, advantages=ADVANTAGES)
    logprobs = tokens.logprobs.clone().requires_grad_()
    added = KLCov().added_loss(TokenStatistics(logprobs, tokens.entropy), tokens.logprobs, torch.ones(5).double())
    added.sum().backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [0.0] * 5


def test_of_equal_covariances_the_random_numbers_decide() -> None:
    # Two completions of opposite advantage, all tokens certain: every Cov is 0 and 3 of 6 are marked.
    tokens = tokens_of_lengths(
        [3, 3], logprobs=[0.0] * 6, advantages=[1.0, -1.0], uniform=[0.1, 0.6, 0.2, 0.9, 0.3, 0.7]
    )
    marks = KLCov(share=0.5)(tokens).marks
    assert marks is not None
    assert marks.tolist() == [0, 1, 0, 1, 0, 1]


def test_rl_zvp() -> None:
    # Completion 0 of a group that is right: .1 x (1, .5). Completion 1 of one that is wrong, its largest entropy 2:
    # -.1 x (2 - 2, 2 - .5, 2 - 0). Completion 2 of another one that is wrong, of one token: 0. Completion 3: its own.
    tokens = tokens_of_lengths(
        [2, 3, 1, 2],
        logprobs=[-1.0] * 8,
        entropy=[1.0, 0.5, 2.0, 0.5, 0.0, 3.0, 1.0, 1.0],
        advantages=[0.0, 0.0, 0.0, -0.7],
        right=[0],
        wrong=[1, 2],
    )
    said = RLZVP(alpha=0.1)(tokens)
    assert said.advantages.tolist() == pytest.approx([0.1, 0.05, 0.0, -0.15, -0.2, 0.0, -0.7, -0.7])


def test_no_shaping_leaves_advantages_as_they_are() -> None:
    tokens = tokens_of_lengths([2], logprobs=[-1.0, -2.0], advantages=[0.3])
    assert NoShaping()(tokens).advantages is tokens.advantages


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: EntropyAdvantage(kappa=0.5), "kappa"),
        (lambda: EntropyAdvantage(alpha=-1.0), "alpha"),
        (lambda: ClipCov(share=1.5), "share"),
        (lambda: ClipCov(low=5.0), "low"),
        (lambda: ClipCov(high=math.inf), "high"),
        (lambda: KLCov(coefficient=-0.1), "coefficient"),
        (lambda: RLZVP(alpha=math.nan), "alpha"),
    ],
)
def test_settings_out_of_range_are_refused(make, field: str) -> None:
    with pytest.raises(FieldError, match=field):
        make()
