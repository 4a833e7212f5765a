"""resourceVersion: `cell << 55 | revision << 7 | index in the batch`.

It is an increasing integer, and clients may compare two of them (KEP-5504), on every shard of a cell. It is unique for every
existing object, and for every write of a range. Two deletions of one batch in different ranges may have the same version: etcd
stores no index with a deletion, so a reader of a range's history counts the deletions of that range (`commit`, `load`).
A version of another cell is recognised, so a request with one gets 410 and never misses events.
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
    """The version of a list or bookmark at a revision. It is not less than that of any object of the revision, and less than all
    later ones."""
    return make(cell, revision, LAST_INDEX)
