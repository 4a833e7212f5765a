"""Secrets that all processes of a platform share, kept in the store: made by whoever comes first, the same for all."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.storage.store import Fence, Fenced, Indeterminate, Put, Store

SECRETS = "/secrets/"
_ATTEMPTS = 5


async def shared_secret(store: Store, name: str, make: Callable[[], bytes]) -> bytes:
    """The secret `/secrets/<name>`, made by `make` if there is none yet. Raises Unavailable, Indeterminate."""
    key = f"{SECRETS}{name}".encode()
    for attempt in range(_ATTEMPTS):
        page = await store.read(key, key + b"\0")
        if page.kvs:
            return page.kvs[0].value
        try:
            await store.commit([Fence(key, 0)], [Put(key, make())], [])
        except Fenced:
            # Another process was first: its secret counts.
            continue
        except Indeterminate:
            if attempt == _ATTEMPTS - 1:
                raise
    raise Indeterminate(f"the secret {name} could not be made: it comes and goes")
