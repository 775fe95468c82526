"""Shaping on real ranks: as on one, and no rank waits for one that has failed."""

from pathlib import Path

from tests.distributed.on_ranks import on_ranks


def test_two_ranks_shape_as_one(tmp_path: Path) -> None:
    on_ranks("shaping_is_that_of_one_rank", tmp_path)


def test_a_shaping_that_fails_on_one_rank_fails_on_all(tmp_path: Path) -> None:
    on_ranks("a_shaping_that_fails_on_one_rank_fails_on_all", tmp_path)
