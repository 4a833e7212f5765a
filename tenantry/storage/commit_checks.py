"""Checks of a commit that are the same for every engine."""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.storage.store import Delete, Put

OPERATIONS_LIMIT = 128


def check_commit(puts: Sequence[Put], deletes: Sequence[Delete]) -> None:
    """Raises ValueError: too many operations, a key written twice, an empty interval."""
    if len(puts) + len(deletes) > OPERATIONS_LIMIT:
        raise ValueError(f"a commit has at most {OPERATIONS_LIMIT} operations, not {len(puts) + len(deletes)}")
    keys = [put.key for put in puts] + [delete.key for delete in deletes if not delete.end]
    if len(set(keys)) != len(keys):
        raise ValueError("a key is written twice in one commit")
    for delete in deletes:
        if delete.end and any(delete.key <= key < delete.end for key in keys):
            raise ValueError("a key is written twice in one commit")
        if delete.end and any(
            other is not delete and other.end and delete.key < other.end and other.key < delete.end for other in deletes
        ):
            raise ValueError("two intervals that a commit deletes overlap")
