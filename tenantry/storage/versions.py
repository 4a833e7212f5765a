"""resourceVersion: `cell << 55 | revision << 7 | index in the batch`.

An increasing integer (KEP-5504 makes comparing them legal), comparable on every shard of a cell. It is unique for every object
that there is, and for every write of one range. Two deletions of one batch in different ranges may share one: etcd keeps no
index of a deletion, and who reads a range's history back sees, and counts, those of that range alone (`commit`, `load`).
A version of another cell is recognised exactly, so it can be answered with 410 and never skips events.
"""

from __future__ import annotations

CELL_SHIFT = 55
REVISION_SHIFT = 7
BATCH_LIMIT = 1 << REVISION_SHIFT
LAST_INDEX = BATCH_LIMIT - 1
_REVISION_MASK = (1 << (CELL_SHIFT - REVISION_SHIFT)) - 1


def make(cell: int, revision: int, index: int) -> int:
    return cell << CELL_SHIFT | revision << REVISION_SHIFT | index


def cell_of(version: int) -> int:
    return version >> CELL_SHIFT


def revision_of(version: int) -> int:
    return version >> REVISION_SHIFT & _REVISION_MASK


def end_of_revision(cell: int, revision: int) -> int:
    """The version of a list or bookmark at a revision: not below any object of that revision, below all later ones."""
    return make(cell, revision, LAST_INDEX)
