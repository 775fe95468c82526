"""The folder that tells vLLM what the policy is: configuration and tokenizer, no weights.

Its name goes into the key under which vLLM keeps what it has compiled, so it has to be the same at the next start and
on every rank.
"""

import hashlib
import os
import tempfile
from pathlib import Path

from rsgrpo.errors import UserError
from rsgrpo.models.policy import Policy


def describe(policy: Policy, cache_dir: str | None) -> Path:
    """The folder below `cache_dir` that describes `policy`, named by a hash of its content.

    Each file is put in place whole, so several processes may write it at once, and a file that somebody has removed or
    changed comes back.

    Args:
        policy: what is described.
        cache_dir: None is a folder of this user in the machine's temporary one.

    Raises:
        UserError: when the folder cannot be written, or is another user's.
    """
    cache = _of_this_user() if cache_dir is None else Path(cache_dir).expanduser()
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700 if cache_dir is None else 0o777)
        if cache_dir is None and cache.stat().st_uid != os.getuid():
            raise UserError(f"{cache} is another user's; name a folder of your own: cache_dir=...", cache_dir="engine")
        with tempfile.TemporaryDirectory(dir=cache) as new:
            policy.save_description(Path(new))
            folder = cache / content_hash(Path(new))
            for file in _files(Path(new)):
                place = folder / file.relative_to(new)
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)
    except OSError as error:
        raise UserError(
            f"the policy cannot be described to vLLM in {cache} ({error.strerror}); name another folder: cache_dir=...",
            cache_dir="engine",
        ) from error
    return folder


def content_hash(folder: Path) -> str:
    """blake2b (hexadecimal, 128 bits) of the names and contents of all files below a folder."""
    digest = hashlib.blake2b(digest_size=16)
    for file in _files(folder):
        for part in (file.relative_to(folder).as_posix().encode(), file.read_bytes()):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _of_this_user() -> Path:
    return Path(tempfile.gettempdir()) / f"rsgrpo-{os.getuid()}"
