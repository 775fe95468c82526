"""The random numbers of the pulls: the released code's, and seeds of one's own."""

import numpy as np
import pytest
import torch
from torch import Tensor

from rsgrpo.bandit import streams
from rsgrpo.bandit.streams import OfficialStream, SeededStreams, Stream
from rsgrpo.errors import FieldError


def numbers(stream: Stream, updates: int = 30, batch: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
    """All of them, [updates, S, N]."""
    return torch.stack(list(stream.uniforms(updates, batch, dtype)))


def test_the_official_stream_is_numpys_legacy_generator() -> None:
    drawn = numbers(OfficialStream(), 100, 16)
    assert drawn.shape == (100, 1, 16)
    np.testing.assert_array_equal(drawn.flatten().numpy(), np.random.RandomState(43).random_sample(1600))
    other = numbers(OfficialStream(seed=7), 5, 4)
    np.testing.assert_array_equal(other.flatten().numpy(), np.random.RandomState(7).random_sample(20))


def test_seeds_repeat_and_differ() -> None:
    stream = SeededStreams(seeds=3, seed=5)
    drawn = numbers(stream)
    assert drawn.shape == (30, 3, 16)
    assert torch.equal(drawn, numbers(stream))
    assert not torch.isin(numbers(SeededStreams(seeds=3, seed=6)), drawn).any()
    # No number of one seed, or of one update, comes again in another.
    assert drawn.unique().numel() == drawn.numel()


def test_seeds_are_uniform_and_independent() -> None:
    drawn = numbers(SeededStreams(seeds=4, seed=0), 1000).transpose(0, 1).reshape(4, -1)  # 16,000 of each
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) < 1
    # Standard errors: .0023 of a mean, .008 of a correlation.
    assert drawn.mean(dim=1).tolist() == pytest.approx([0.5] * 4, abs=0.012)
    assert drawn.var(dim=1).tolist() == pytest.approx([1 / 12] * 4, abs=0.004)
    assert float((drawn.corrcoef() - torch.eye(4)).abs().max()) < 0.04
    assert float(torch.corrcoef(torch.stack([drawn[0, 1:], drawn[0, :-1]]))[0, 1].abs()) < 0.04


def test_how_many_are_drawn_at_once_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "UPDATES_AT_ONCE", 8)
    drawn = numbers(SeededStreams(seeds=2, seed=1), 21)
    assert drawn.shape == (21, 2, 16)
    assert drawn.unique().numel() == drawn.numel()


@pytest.mark.parametrize("stream", [OfficialStream(), SeededStreams(seeds=2, seed=1)])
def test_precision(stream: Stream) -> None:
    assert {u.dtype for u in stream.uniforms(3, 4, torch.float32)} == {torch.float32}
    assert isinstance(stream, Stream)


def test_what_is_refused() -> None:
    with pytest.raises(FieldError, match="seeds=0 must be between 1 and"):
        SeededStreams(seeds=0, seed=0)
    with pytest.raises(FieldError, match="seed=-1"):
        SeededStreams(seeds=1, seed=-1)
    with pytest.raises(FieldError, match="seed=4294967296"):
        OfficialStream(seed=2**32)
