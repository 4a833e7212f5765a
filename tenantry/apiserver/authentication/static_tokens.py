"""Tokens that are configured beforehand. They are kept as hashes, so that neither a memory dump nor the time of a comparison
reveals them."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from tenantry.apiserver.authentication.authenticator import TokenIdentity
from tenantry.apiserver.user import User

logger = logging.getLogger(__name__)


class TokenFileError(Exception):
    """The file of tokens cannot be used; the text says where and why."""


class StaticTokens:
    """`users`: token → its user. The tokens are valid for the server's own `audiences` only."""

    def __init__(self, users: Mapping[str, User], audiences: Sequence[str] = ()) -> None:
        self._users = {_digest(token): user for token, user in users.items()}
        self._audiences = tuple(audiences)

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        user = self._users.get(_digest(token))
        if user is None:
            return None
        shared = tuple(audience for audience in audiences if audience in self._audiences)
        if audiences and self._audiences and not shared:
            return None
        return TokenIdentity(user, shared)


def read_token_file(path: Path) -> dict[str, User]:
    """Reads lines `token,user,uid[,"group1,group2"]`, the format of kube-apiserver's --token-auth-file. Raises TokenFileError."""
    users: dict[str, User] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, record in enumerate(csv.reader(file, skipinitialspace=True), 1):
                if not record:
                    continue
                if len(record) < 3:
                    raise TokenFileError(
                        f"{path} line {number} must have at least 3 columns (token, user name, user uid), found {len(record)}"
                    )
                token, name, uid = record[0], record[1], record[2]
                if not token:
                    logger.warning("a line without a token is skipped", extra={"file": str(path), "line": number})
                    continue
                if token in users:
                    logger.warning("a token occurs twice, the later line is used", extra={"file": str(path), "line": number})
                # As upstream, an empty fourth column is one group with an empty name.
                users[token] = User(name, tuple(record[3].split(",")) if len(record) > 3 else (), uid)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TokenFileError(f"cannot read the tokens in {path}: {error}") from error
    return users


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
