"""How a process that serves workspaces authenticates callers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenantry.apiserver.authentication.authenticator import RequestAuthenticator, TokenAuthenticator
from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority
from tenantry.apiserver.authentication.service_account_tokens import TokenIssuer
from tenantry.apiserver.authentication.static_tokens import StaticTokens, read_token_file
from tenantry.apiserver.settings import AuthenticationSettings
from tenantry.apiserver.user import User
from tenantry.base.flags import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How callers are authenticated. All parts of a process share it."""

    requests: Sequence[RequestAuthenticator]
    tokens: Sequence[TokenAuthenticator]
    issuer: TokenIssuer
    anonymous: bool
    signer: ClusterAuthority | None = None
    """Signs client certificates of logical clusters; None: they are not signed."""


def identity_of(
    settings: AuthenticationSettings,
    *,
    requests: Sequence[RequestAuthenticator],
    users: Mapping[str, User],
    issuer: TokenIssuer,
    signer: ClusterAuthority | None = None,
) -> Identity:
    """As the settings say. `users`: token → user, besides those of the token file, over which they have precedence. `signer`:
    where certificates of logical clusters are signed, too.

    Raises TokenFileError.
    """
    issuer = issuer.named(listed(settings.service_account_issuer), listed(settings.api_audiences))
    known = {**read_token_file(Path(settings.token_auth_file)), **users} if settings.token_auth_file else users
    return Identity(
        requests=requests,
        tokens=[StaticTokens(known, issuer.audiences)],
        issuer=issuer,
        anonymous=settings.anonymous_auth,
        signer=signer,
    )


def issuer_of(path: str) -> TokenIssuer | None:
    """The issuer whose key is in a file (PEM). None: `path` is empty. Raises KeyFileError, OSError."""
    return TokenIssuer.of_pem(Path(path).read_bytes(), path) if path else None
