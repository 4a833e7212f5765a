"""Secrets that all processes of a platform share. They are in the store; the first process that needs one creates it."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.storage.store import Compare, CompareFailed, Indeterminate, Put, Store

SECRETS = "/secrets/"
_ATTEMPTS = 5


async def shared_secret(store: Store, name: str, make: Callable[[], bytes]) -> bytes:
    """Reads the secret `/secrets/<name>`, and creates it with `make` if it does not exist. Raises Unavailable, Indeterminate."""
    key = f"{SECRETS}{name}".encode()
    for attempt in range(_ATTEMPTS):
        page = await store.read(key, key + b"\0")
        if page.kvs:
            return page.kvs[0].value
        try:
            await store.commit([Compare(key, 0)], [Put(key, make())], [])
        except CompareFailed:
            # Another process created it first. Use that one.
            continue
        except Indeterminate:
            if attempt == _ATTEMPTS - 1:
                raise
    raise Indeterminate(f"cannot create the secret {name}: another process creates and deletes it")
