"""The JWT issuers of the server's configuration: those of the file --authentication-config, or the one of the --oidc-* flags."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tenantry.apiserver.authentication.authenticator import TokenIdentity
from tenantry.apiserver.authentication.issuer_keys import IssuerError, IssuerKeySets
from tenantry.apiserver.authentication.json_web_keys import ALGORITHMS
from tenantry.apiserver.authentication.jwt_authenticator import IssuerTokens, JwtTokens
from tenantry.apiserver.authentication.jwt_metrics import JwtMetrics
from tenantry.apiserver.authentication.settings import JwtSettings
from tenantry.apiserver.configuration_file import ConfigurationFile, NotYet
from tenantry.apiserver.review_turns import NO_ASKER, Asker
from tenantry.base.backoff import Backoff
from tenantry.base.broadcast import Broadcast
from tenantry.base.flags import SettingError
from tenantry.base.tasks import restarting
from tenantry.kube.server_configuration import authentication_validation
from tenantry.kube.server_configuration.authentication import (
    AuthenticationConfiguration,
    ClaimRule,
    Issuer,
    JwtAuthenticator,
    Mapping,
    read,
)
from tenantry.kube.server_configuration.decoding import ConfigurationError, aggregate

INITIALIZE_SECONDS = 60.0
"""How long a changed configuration waits for its issuers (kube-apiserver)."""
_POLL_SECONDS = 2.0

logger = logging.getLogger(__name__)


class ConfiguredIssuers:
    """A RemoteTokenAuthenticator. `audiences`: the server's own. `reserved_issuers`: those of service account tokens. Call
    `start` and `stop`; until the keys of an issuer are read, each of its tokens asks for them."""

    def __init__(
        self,
        configuration: AuthenticationConfiguration,
        sets: IssuerKeySets,
        *,
        audiences: Sequence[str],
        reserved_issuers: Sequence[str],
        algorithms: Sequence[str] = ALGORITHMS,
        metrics: JwtMetrics,
        initialize_seconds: float = INITIALIZE_SECONDS,
    ) -> None:
        """Raises ConfigurationError."""
        self.configuration = configuration
        self.file: ConfigurationFile | None = None
        self._sets = sets
        self._audiences = tuple(audiences)
        self._reserved = tuple(reserved_issuers)
        self._algorithms = tuple(algorithms)
        self._metrics = metrics
        self._initialize_seconds = initialize_seconds
        self._changes: Broadcast[[]] = Broadcast("the JWT issuers have changed")
        self._initializing: asyncio.Task[None] | None = None
        self._tokens = self._made(configuration)
        metrics.keep([issuer.url for issuer in self._tokens.issuers])

    def follow(self, changed: Callable[[], None]) -> None:
        """Calls `changed` when another configuration is in use."""
        self._changes.subscribe(changed)

    async def authenticate_token(self, token: str, audiences: Sequence[str], asker: Asker = NO_ASKER) -> TokenIdentity | None:
        return await self._tokens.authenticate_token(token, audiences)

    def start(self) -> None:
        """Begins to read the issuers' keys, and to follow the file. An issuer that cannot be reached delays nothing."""
        if self._tokens.issuers:
            self._initializing = restarting(self._initialize, name="keys of the JWT issuers", ends=True)
        if self.file is not None:
            self.file.start()

    async def stop(self) -> None:
        if self.file is not None:
            await self.file.stop()
        if self._initializing is not None:
            self._initializing.cancel()
            await asyncio.gather(self._initializing, return_exceptions=True)
        await self._sets.stop()

    async def use(self, content: bytes) -> None:
        """Takes another content of the file into use, when the keys of its issuers are read. Raises ConfigurationError,
        NotYet."""
        configuration = await asyncio.to_thread(read, content)
        errors = await asyncio.to_thread(authentication_validation.validate, configuration, self._reserved)
        if errors:
            raise ConfigurationError(aggregate(errors))
        if configuration.anonymous != self.configuration.anonymous:
            raise ConfigurationError("anonymous: Forbidden: changed from initial configuration file")
        tokens = await asyncio.to_thread(self._made, configuration)
        await self._wait_for(tokens)
        self.configuration, self._tokens = configuration, tokens
        self._metrics.keep([issuer.url for issuer in tokens.issuers])
        self._changes.send()

    def _made(self, configuration: AuthenticationConfiguration) -> JwtTokens:
        make = partial(IssuerTokens, sets=self._sets, algorithms=self._algorithms, reserved_issuers=self._reserved)
        return JwtTokens(map(make, configuration.jwt), self._audiences, timed=self._metrics.timed)

    async def _initialize(self) -> None:
        await asyncio.gather(*(issuer.keys.initialize() for issuer in self._tokens.issuers), return_exceptions=True)

    async def _wait_for(self, tokens: JwtTokens) -> None:
        problem = ""
        try:
            async with asyncio.timeout(self._initialize_seconds):
                for issuer in tokens.issuers:
                    pauses = Backoff.steady(_POLL_SECONDS)
                    while problem := await _problem_of(issuer):
                        await pauses.pause()
        except TimeoutError:
            raise NotYet(problem or "the keys of its issuers cannot be read") from None


async def _problem_of(issuer: IssuerTokens) -> str:
    try:
        await issuer.keys.initialize()
    except IssuerError as error:
        return f'oidc: authenticator for issuer "{issuer.url}" is not healthy: {error}'
    return ""


def configured_issuers(
    settings: JwtSettings,
    sets: IssuerKeySets,
    *,
    audiences: Sequence[str],
    reserved_issuers: Sequence[str],
    metrics: JwtMetrics,
    process: str,
) -> ConfiguredIssuers | None:
    """The issuers that the settings name, None where they name none. Reads files. Raises SettingError."""
    path = settings.authentication_config
    try:
        content = Path(path).read_bytes() if path else b""
        configuration = read(content) if path else _of_flags(settings)
    except (OSError, ConfigurationError) as error:
        raise SettingError(f'failed to load authentication configuration from file "{path}": {error}') from None
    if configuration is None:
        return None
    if errors := authentication_validation.validate(configuration, reserved_issuers):
        raise SettingError(f"invalid authentication configuration: {aggregate(errors)}")
    made = ConfiguredIssuers(
        configuration,
        sets,
        audiences=audiences,
        reserved_issuers=reserved_issuers,
        # As kube-apiserver: what a file does not say is whatever fits the issuer's keys.
        algorithms=ALGORITHMS if path else settings.signing_algorithms(),
        metrics=metrics,
    )
    if path:
        made.file = ConfigurationFile(
            Path(path),
            content,
            name="authentication configuration",
            prefix="apiserver_authentication_config_controller",
            process=process,
            use=made.use,
        )
    return made


def _of_flags(settings: JwtSettings) -> AuthenticationConfiguration | None:
    """Raises SettingError."""
    if not settings.oidc_issuer_url:
        return None
    prefix = settings.oidc_username_prefix
    if not prefix and settings.oidc_username_claim != "email":
        prefix = f"{settings.oidc_issuer_url}#"
    authority = ""
    if settings.oidc_ca_file:
        try:
            authority = Path(settings.oidc_ca_file).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"cannot read --oidc-ca-file {settings.oidc_ca_file}: {error}") from None
    groups = settings.oidc_groups_claim
    return AuthenticationConfiguration(
        jwt=(
            JwtAuthenticator(
                issuer=Issuer(
                    url=settings.oidc_issuer_url, audiences=(settings.oidc_client_id,), certificate_authority=authority
                ),
                username=Mapping(claim=settings.oidc_username_claim, prefix="" if prefix == "-" else prefix),
                groups=Mapping(claim=groups, prefix=settings.oidc_groups_prefix) if groups else Mapping(),
                claim_rules=tuple(
                    ClaimRule(claim=claim, required_value=value) for claim, value in settings.required_claims().items()
                ),
            ),
        )
    )
