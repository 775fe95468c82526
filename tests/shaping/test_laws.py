"""What holds for every shaping in conf/shaping."""

from dataclasses import replace
from itertools import chain, pairwise

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from rsgrpo.shaping.base import Shaping, UpdateTokens
from rsgrpo.shaping.over_ranks import OverRanks
from tests.processes import ROOT
from tests.shaping.test_over_ranks import dealt
from tests.shaping.tokens import ALONE, random_tokens

FILES = [file for file in sorted((ROOT / "conf" / "shaping").glob("*.yaml")) if file.stem != "custom"]
SHAPINGS: dict[str, Shaping] = {file.stem: instantiate(OmegaConf.load(file)) for file in FILES}
MANY = {name: {"share": 0.1} if name.endswith("_cov") else {} for name in SHAPINGS}
"""Settings with which some tokens of a small update are changed."""


def test_the_choices_are_found() -> None:
    assert SHAPINGS.keys() >= {"none", "entropy_advantage", "clip_cov", "kl_cov", "rl_zvp"}


@pytest.fixture(params=SHAPINGS)
def shaping(request: pytest.FixtureRequest) -> Shaping:
    return replace(SHAPINGS[request.param], **MANY[request.param])  # pyright: ignore[reportArgumentType]


def picked(tokens: UpdateTokens, places: torch.Tensor, over_ranks: OverRanks = ALONE) -> UpdateTokens:
    """The tokens at these places, completions counted anew."""
    drawn = tokens.uniform[places]
    _, sequence = tokens.sequence[places].unique(return_inverse=True)
    names = ("logprobs", "entropy", "advantages", "group", "correct", "all_right", "all_wrong")
    columns = {name: getattr(tokens, name)[places] for name in names}
    return replace(tokens, **columns, sequence=sequence, over_ranks=over_ranks, draw=lambda: drawn)


def numbers(shaping: Shaping, tokens: UpdateTokens) -> torch.Tensor:
    """All that a shaping says of the tokens, a column each."""
    said = shaping(tokens)
    marks = [] if said.marks is None else [said.marks]
    return torch.stack([said.advantages.double(), *(n.double() for n in (*marks, *said.diagnostics.values()))], dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_finite_number_for_each_token(shaping: Shaping, dtype: torch.dtype) -> None:
    tokens = random_tokens(0, dtype=dtype)
    said = shaping(tokens)
    assert said.advantages.dtype == dtype
    assert not said.advantages.requires_grad
    everything = numbers(shaping, tokens)
    assert len(everything) == len(tokens.logprobs)
    assert everything.isfinite().all()


def test_every_shaping_but_none_does_something(shaping: Shaping) -> None:
    tokens = random_tokens(0)
    said = shaping(tokens)
    changed = (said.advantages != tokens.advantages).sum() + (0 if said.marks is None else said.marks.sum())
    assert bool(changed) is not shaping.off


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_completions_does_not_matter(shaping: Shaping, seed: int) -> None:
    tokens = random_tokens(seed)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed)).tolist()
    places = torch.cat([(tokens.sequence == i).nonzero()[:, 0] for i in order])
    assert torch.equal(numbers(shaping, picked(tokens, places)), numbers(shaping, tokens)[places])


@pytest.mark.parametrize("ends", [[6], [0], [1, 1, 11]])
def test_the_rank_that_has_a_completion_does_not_matter(shaping: Shaping, ends: list[int]) -> None:
    tokens, bounds = random_tokens(1), [0, *ends, 12]
    parts = [((low <= tokens.sequence) & (tokens.sequence < high)).nonzero()[:, 0] for low, high in pairwise(bounds)]
    said = dealt(parts, lambda over, places: numbers(shaping, picked(tokens, places, over)))
    assert torch.equal(torch.cat(said), numbers(shaping, tokens))


def test_float32_is_precise_enough(shaping: Shaping) -> None:
    wide, narrow = numbers(shaping, random_tokens(2, dtype=torch.float64)), numbers(shaping, random_tokens(2))
    torch.testing.assert_close(wide, narrow, atol=1e-5, rtol=1e-5)


def test_nothing_to_train_is_nothing_to_shape(shaping: Shaping) -> None:
    nothing = picked(random_tokens(0), torch.zeros(0, dtype=torch.long))
    assert numbers(shaping, nothing).shape[0] == 0


def test_the_laws_cover_what_a_shaping_may_look_at() -> None:
    tokens = random_tokens(0)
    flags = (tokens.all_right, tokens.all_wrong, ~tokens.all_right & ~tokens.all_wrong)
    assert all(bool(flag.any()) for flag in flags)
    assert len(set(chain(tokens.uniform.tolist()))) == len(tokens.uniform)
