"""Secrets in the store that all shards of a platform share, so that any shard can authenticate any caller: the signing key for
service accounts' tokens, and the administrators' tokens.

Everyone who can read the store can also read the key of the platform's CA, and so can act as any user. For this reason the tokens
are stored in plain text.
"""

from __future__ import annotations

import uuid

import msgspec

from tenantry.apiserver.authentication.admin_tokens import AdminTokens
from tenantry.apiserver.authentication.service_account_tokens import TokenIssuer, new_key
from tenantry.storage.secrets import shared_secret
from tenantry.storage.store import Damaged, Store


class _Tokens(msgspec.Struct, frozen=True):
    kcp_admin: str
    shard_admin: str


async def shared_issuer(store: Store) -> TokenIssuer:
    """Signs tokens of service accounts. Raises Unavailable, Indeterminate, KeyFileError (the key is damaged)."""
    return TokenIssuer.of_pem(await shared_secret(store, "service-account-key", new_key), "the store")


async def shared_admin_tokens(store: Store) -> AdminTokens:
    """The two administrators of a platform. Both keep their tokens over restarts, unlike those of a single process
    (`admin_tokens`). Raises Unavailable, Indeterminate, Damaged."""
    value = await shared_secret(store, "admin-tokens", _new_tokens)
    try:
        tokens = msgspec.json.decode(value, type=_Tokens)
    except msgspec.DecodeError as error:
        raise Damaged(f"the administrators' tokens in the store cannot be read: {error}") from None
    return AdminTokens(tokens.kcp_admin, tokens.shard_admin)


def _new_tokens() -> bytes:
    return msgspec.json.encode(_Tokens(str(uuid.uuid4()), str(uuid.uuid4())))
