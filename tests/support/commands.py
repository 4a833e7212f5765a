"""The commands of `tenantry` that end by themselves."""

from __future__ import annotations

from tests.support.patience import PATIENCE_SECONDS
from tools.spawning import Done, Spawn, done, forked


def tenantry(*arguments: str, fails: bool = False, spawn: Spawn = forked) -> Done:
    """Runs a command to its end, which is to be with a success or, with `fails`, without."""
    found = done(spawn, arguments, PATIENCE_SECONDS)
    assert (found.code != 0) is fails, f"tenantry {' '.join(arguments)}: {found}"
    return found
