"""Checkpoints: written whole or not at all, found, compared with their manifest, kept, rewound to."""

from rsgrpo.checkpoints.finding import find_checkpoint, newest_whole
from rsgrpo.checkpoints.keeping import mark_best, prune
from rsgrpo.checkpoints.manifest import damage, files_of, fingerprint, finish_checkpoint, remove_checkpoint
from rsgrpo.checkpoints.rewinding import clear, evaluated, rewind

__all__ = [
    "clear",
    "damage",
    "evaluated",
    "files_of",
    "find_checkpoint",
    "fingerprint",
    "finish_checkpoint",
    "mark_best",
    "newest_whole",
    "prune",
    "remove_checkpoint",
    "rewind",
]
