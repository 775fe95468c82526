import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rsgrpo.errors import FieldError
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.hf import HFEngine, UniformStreams, draw

LARGEST_UNIFORM = 1 - 2**-24
"""The largest float32 below 1, and the largest number of the generator."""


def uniforms(n: int, seed: int) -> Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "weights",
    [[1.0], [0.5, 0.5], [0.7, 0.2, 0.1], [0.0, 0.9, 0.0, 0.05, 0.05, 0.0], [*([1.0] * 100), 100.0], [1e-3, 1.0, 1e-3]],
    ids=str,
)
def test_tokens_are_drawn_as_often_as_their_probability(weights: list[float]):
    n = 20_000
    probabilities = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    logits = probabilities.log().float().expand(n, -1)
    token, logprob = draw(logits, uniforms(n, seed=1))
    counts = torch.bincount(token, minlength=len(weights))
    possible = probabilities > 0
    assert counts[~possible].sum() == 0
    expected = n * probabilities[possible]
    statistic = float(((counts[possible] - expected) ** 2 / expected).sum())
    freedom = int(possible.sum()) - 1
    assert statistic <= freedom + 4 * (2 * freedom) ** 0.5
    torch.testing.assert_close(logprob.double(), probabilities.log()[token], atol=1e-5, rtol=0)


def test_a_token_is_drawn_exactly_where_its_share_of_the_unit_interval_lies():
    logits = torch.tensor([0.25, 0.0, 0.5, 0.25]).log().expand(7, -1)
    token, _ = draw(logits, torch.tensor([0.0, 0.24, 0.26, 0.5, 0.74, 0.76, LARGEST_UNIFORM]))
    assert token.tolist() == [0, 0, 2, 2, 2, 3, 3]


@pytest.mark.parametrize("uniform", [0.0, 2**-24, 0.5, 1 - 2**-23, LARGEST_UNIFORM])
@pytest.mark.parametrize("vocabulary", [3, 427, 151_936])
def test_a_token_of_probability_zero_is_never_drawn(uniform: float, vocabulary: int):
    rows = 40
    generator = torch.Generator().manual_seed(2)
    logits = 4 * torch.randn(rows, vocabulary, generator=generator)
    possible = torch.rand(rows, vocabulary, generator=generator) < 0.3
    possible[:, 0] = possible[:, -1] = False  # at both ends, where rounding would fall
    possible[:, 1] = True
    token, logprob = draw(logits.masked_fill(~possible, -torch.inf), torch.full((rows,), uniform))
    assert possible.gather(-1, token[:, None]).all()
    assert logprob.isfinite().all()


@given(
    st.lists(st.one_of(st.floats(-200, 200, width=32), st.just(-torch.inf)), min_size=1, max_size=30).filter(
        lambda logits: max(logits) > -torch.inf
    ),
    st.integers(0, 2**24 - 1),
)
def test_any_draw_is_of_a_possible_token_with_its_log_prob(logits: list[float], numerator: int):
    values = torch.tensor([logits], dtype=torch.float32)
    token, logprob = draw(values, torch.tensor([numerator / 2**24]))
    expected = values.double().log_softmax(-1)[0, int(token)]
    assert expected.exp().float() > 0
    assert float(logprob) == pytest.approx(float(expected), abs=1e-4)


def test_streams_depend_on_seed_and_sample_alone():
    everyone = torch.arange(4)
    keys = [(5, 0), (5, 1), (6, 0), (2**63 - 1, 0)]
    one, two = UniformStreams(keys), UniformStreams(keys[::-1])
    first = torch.stack([one.at(step, everyone) for step in range(150)])
    second = torch.stack([two.at(step, everyone.flip(0)) for step in range(150)])
    assert torch.equal(first, second)
    assert len(first.flatten().unique()) > 590, "no stream repeats itself or another"
    assert first.min() >= 0
    assert first.max() < 1
    assert first.mean() == pytest.approx(0.5, abs=0.06)  # five standard deviations


def test_streams_of_rows_that_remain_go_on_where_they_were():
    keys = [(5, 0), (5, 1), (6, 0)]
    everyone, some = UniformStreams(keys), UniformStreams(keys)
    for step in range(200):
        rows = torch.arange(3) if step < 40 else torch.tensor([2])
        assert torch.equal(some.at(step, rows), everyone.at(step, torch.arange(3))[rows])


def test_fewer_rows_than_one_are_refused(policy: Policy):
    with pytest.raises(FieldError, match="max_rows=0 must be at least 1; try max_rows=1"):
        HFEngine(policy=policy, max_rows=0)
