"""How a process that serves workspaces authenticates callers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenantry.apiserver.authentication.authenticator import (
    RemoteTokenAuthenticator,
    RequestAuthenticator,
    TokenAuthenticator,
    UnionAuthenticator,
)
from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority
from tenantry.apiserver.authentication.configured_issuers import ConfiguredIssuers, configured_issuers
from tenantry.apiserver.authentication.issuer_keys import IssuerKeySets
from tenantry.apiserver.authentication.jwt_metrics import JwtMetrics
from tenantry.apiserver.authentication.service_account_tokens import Lookup, ServiceAccountTokens, TokenIssuer
from tenantry.apiserver.authentication.static_tokens import StaticTokens, read_token_file
from tenantry.apiserver.authentication.token_webhook import WebhookTokens
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.kubeconfig_file import KubeconfigError, read_endpoint
from tenantry.apiserver.review_calls import ReviewCalls
from tenantry.apiserver.settings import AuthenticationSettings
from tenantry.apiserver.user import User
from tenantry.base.flags import SettingError, listed
from tenantry.base.metrics import Metrics
from tenantry.http.calls import Calls
from tenantry.kube.server_configuration.authentication import Anonymous

_OPEN_PATHS = HEALTH_PATHS | {"/version"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How callers are authenticated. All parts of a process share it.

    `tokens` are asked before service account tokens, `remote_tokens` after them, as they may ask other servers.
    `anonymous_paths`: the only paths of anonymous requests; empty: all. `decides_anonymous`: whether a file says which requests
    may be anonymous, so that no path is open beside them. `issuers`: those of the JWTs in `remote_tokens`.
    """

    requests: Sequence[RequestAuthenticator]
    tokens: Sequence[TokenAuthenticator]
    issuer: TokenIssuer
    anonymous: bool
    remote_tokens: Sequence[RemoteTokenAuthenticator] = ()
    anonymous_paths: Sequence[str] = ()
    decides_anonymous: bool = False
    issuers: ConfiguredIssuers | None = None
    signer: ClusterAuthority | None = None
    """Signs client certificates of logical clusters; None: they are not signed."""

    def authenticator(self, lookup: Lookup) -> UnionAuthenticator:
        """The authenticator of a server. `lookup`: finds service accounts."""
        made = UnionAuthenticator(
            requests=self.requests,
            tokens=[*self.tokens, ServiceAccountTokens(self.issuer, lookup)],
            remote_tokens=self.remote_tokens,
            audiences=self.issuer.audiences,
            anonymous=self.anonymous,
            anonymous_paths=self.anonymous_paths,
        )
        if self.issuers is not None:
            self.issuers.follow(made.forget)
        return made

    @property
    def open_paths(self) -> frozenset[str]:
        """The paths of the process that need no authentication."""
        return frozenset() if self.decides_anonymous else _OPEN_PATHS

    def start(self) -> None:
        """Begins to follow the file of the JWT issuers."""
        if self.issuers is not None:
            self.issuers.start()

    async def stop(self) -> None:
        if self.issuers is not None:
            await self.issuers.stop()


async def identity_of(
    settings: AuthenticationSettings,
    *,
    requests: Sequence[RequestAuthenticator],
    users: Mapping[str, User],
    issuer: TokenIssuer,
    calls: Calls,
    metrics: Metrics,
    process: str,
    signer: ClusterAuthority | None = None,
) -> Identity:
    """As the settings say. `users`: token → user, besides those of the token file, over which they have precedence. `calls`:
    reaches other servers. `process`: its identity in metrics. `signer`: where
    certificates of logical clusters are signed, too. Call `start` and `stop` of the result.

    Raises TokenFileError, SettingError.
    """
    issuer = issuer.named(listed(settings.service_account_issuer), listed(settings.api_audiences))
    known = {**read_token_file(Path(settings.token_auth_file)), **users} if settings.token_auth_file else users
    jwt_metrics = JwtMetrics(process)
    issuers = await asyncio.to_thread(
        lambda: configured_issuers(
            settings,
            IssuerKeySets(calls, fetched=jwt_metrics.fetched),
            audiences=issuer.audiences,
            reserved_issuers=tuple(issuer.accepted),
            metrics=jwt_metrics,
            process=process,
        )
    )
    later: list[RemoteTokenAuthenticator] = []
    anonymous = Anonymous(enabled=settings.anonymous_auth)
    in_file: Anonymous | None = None
    if issuers is not None:
        later.append(issuers)
        metrics.registry.register(jwt_metrics)
        if issuers.file is not None:
            metrics.registry.register(issuers.file)
        in_file = issuers.configuration.anonymous
    if in_file is not None:
        if not settings.anonymous_auth:
            raise SettingError(
                "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in authentication "
                "configuration file"
            )
        anonymous = in_file
    if webhook := await _token_webhook(settings, issuer.audiences, calls):
        later.append(webhook)
    return Identity(
        requests=requests,
        tokens=[StaticTokens(known, issuer.audiences)],
        issuer=issuer,
        anonymous=anonymous.enabled,
        remote_tokens=later,
        anonymous_paths=anonymous.paths,
        decides_anonymous=in_file is not None,
        issuers=issuers,
        signer=signer,
    )


async def _token_webhook(settings: AuthenticationSettings, audiences: Sequence[str], calls: Calls) -> WebhookTokens | None:
    """Raises SettingError."""
    if not settings.authentication_token_webhook_config_file:
        return None
    path = Path(settings.authentication_token_webhook_config_file)
    try:
        endpoint = await asyncio.to_thread(read_endpoint, path)
    except KubeconfigError as error:
        raise SettingError(f"--authentication-token-webhook-config-file: {error}") from None
    return WebhookTokens(
        ReviewCalls(path, endpoint, calls),
        version=settings.authentication_token_webhook_version,
        implicit_audiences=audiences,
        kept_seconds=settings.token_webhook_seconds(),
    )


def issuer_of(path: str) -> TokenIssuer | None:
    """The issuer whose key is in a file (PEM). None: `path` is empty. Raises KeyFileError, OSError."""
    return TokenIssuer.of_pem(Path(path).read_bytes(), path) if path else None
