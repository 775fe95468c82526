"""Tables of the Hugging Face hub, fetched once and kept as a Parquet file with a note of what it is."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.console import Console

from rsgrpo.data.rows import Row, parquet_rows
from rsgrpo.errors import UserError

HUB_TIMEOUT_S = 10.0
"""How long the hub may take to name the commit of a revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubTable:
    """Some columns of one split of a dataset on the hub, or its first `rows` rows.

    `hub` may also be a folder of data files laid out as the hub has them; it has no commit.
    """

    hub: str
    config: str | None
    split: str
    revision: str
    columns: tuple[str, ...]
    """Columns of the table itself; those inside a struct come with it."""
    rows: int | None

    def read(self, cache_dir: Path, key: str) -> list[Row]:
        """The rows, from the cache when it has them; `key` goes before a field in a message.

        Raises:
            UserError: when it is not in the cache and cannot be fetched.
        """
        return parquet_rows(self.cached(cache_dir, key), f"{self.hub} {self.split}", columns=self.columns)

    def commit(self, cache_dir: Path, key: str) -> str | None:
        """The commit that the cached table comes from; None for a folder."""
        return json.loads(self.cached(cache_dir, key).with_suffix(".json").read_text(encoding="utf-8"))["commit"]

    def cached(self, cache_dir: Path, key: str) -> Path:
        """The Parquet file of this table, fetched unless it is there: by one process, while others wait for it."""
        asked = json.dumps([asdict(self), self._files()])
        digest = hashlib.blake2b(asked.encode(), digest_size=6).hexdigest()
        table = cache_dir / f"{Path(self.hub).name}_{self.split}_{digest}.parquet"
        note = table.with_suffix(".json")
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{table}.lock")
            lock.acquire()
        except OSError as error:
            raise UserError(f"cache_dir={cache_dir} cannot be written ({error.strerror}); name another") from None
        with lock:
            if not (note.exists() and table.exists()):  # the note is written last: it vouches for the table
                commit = self._fetch(table, key)
                _write(note, json.dumps(asdict(self) | {"commit": commit}, indent=2) + "\n")
        return table

    def _fetch(self, table: Path, key: str) -> str | None:
        """Write the table; returns the commit that it comes from.

        Raises:
            UserError: when the hub, or one of its files, cannot be read.
        """
        part = table.with_suffix(f".{os.getpid()}.part")
        Console(stderr=True).print(f"fetching {self.hub} ({self.split}) into {table}", soft_wrap=True, highlight=False)
        try:
            commit = self._commit()
            with _no_progress_bars():
                self._stream_to(part, commit)
            part.replace(table)
        except Exception as error:  # hub, HTTP client, file system and file formats each have exceptions of their own
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            columns = ", ".join(self.columns)
            raise UserError(
                f"{key}hub={self.hub} cannot be read ({why}); give a local copy with {key}path=..., a file with the "
                f"columns {columns}"
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return commit

    def _files(self) -> list[tuple[str, int, int]]:
        """What a folder holds now, so that a changed one is read anew; the hub's datasets are kept for good."""
        found = sorted(Path(self.hub).rglob("*")) if Path(self.hub).is_dir() else []
        return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found if path.is_file()]

    def _commit(self) -> str | None:
        """The commit that `revision` stands for now; None for a folder."""
        if Path(self.hub).is_dir():
            return None
        from huggingface_hub import HfApi

        return HfApi().dataset_info(self.hub, revision=self.revision, timeout=HUB_TIMEOUT_S).sha

    def _stream_to(self, file: Path, commit: str | None) -> None:
        """Write the wanted rows and columns. Of Parquet files little more is fetched, 5 MB per row group."""
        import pyarrow.parquet
        from datasets import load_dataset_builder

        builder: Any = load_dataset_builder(self.hub, self.config, revision=commit)
        if hasattr(builder.config, "columns"):  # of Parquet; JSON and CSV files have to be read whole
            builder.config.columns = list(self.columns)
        stream: Any = builder.as_streaming_dataset(split=self.split)
        stream = stream.select_columns(list(self.columns))
        if self.rows is not None:
            stream = stream.take(self.rows)
        writer = None
        try:
            for batch in stream.with_format("arrow").iter(batch_size=1000):
                writer = writer or pyarrow.parquet.ParquetWriter(file, batch.schema)
                writer.write_table(batch)
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise ValueError(f"the split {self.split} has no rows")


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Switch the bars of `datasets` off inside; they are on again afterwards if they were before."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    had = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if had:
            enable_progress_bars()


def _write(path: Path, text: str) -> None:
    """Write a file at once: nobody sees half of it."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
