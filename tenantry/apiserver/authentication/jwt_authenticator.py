"""Authenticates JWTs of the issuers of a configuration (kube-apiserver's structured authentication configuration).

Both classes are made of validated configuration values, and share nothing but `IssuerKeySets`, so that there may be one for each
of many configurations.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from tenantry.apiserver.authentication import json_web_tokens
from tenantry.apiserver.authentication.authenticator import InvalidToken, TokenIdentity
from tenantry.apiserver.authentication.claims import user_of
from tenantry.apiserver.authentication.distributed_claims import ClaimError, DistributedClaims
from tenantry.apiserver.authentication.issuer_keys import IssuerKeySets
from tenantry.apiserver.authentication.json_web_keys import ALGORITHMS
from tenantry.apiserver.authentication.json_web_tokens import SignedToken
from tenantry.apiserver.authentication.jwt_verification import NotVerified, expiry, verify
from tenantry.apiserver.user import User
from tenantry.kube.server_configuration.authentication import JwtAuthenticator
from tenantry.kube.server_configuration.authentication_validation import compile_authenticator
from tenantry.kube.server_configuration.decoding import ConfigurationError, aggregate
from tenantry.kube.server_configuration.expressions import AT_ONCE_LIMIT, RUN_LIMIT, TooCostly


class IssuerTokens:
    """The tokens of one issuer. `algorithms`: those that it may sign with."""

    def __init__(
        self,
        configuration: JwtAuthenticator,
        sets: IssuerKeySets,
        *,
        algorithms: Sequence[str] = ALGORITHMS,
        reserved_issuers: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Compiles the expressions, which takes milliseconds. Raises ConfigurationError."""
        self._compiled, errors = compile_authenticator(configuration, reserved_issuers=reserved_issuers)
        if errors:
            raise ConfigurationError(aggregate(errors))
        issuer = configuration.issuer
        self.url = issuer.url
        self.keys = sets.of(issuer.url, discovery_url=issuer.discovery_url, authority=issuer.certificate_authority)
        self._configuration = configuration
        self._algorithms = tuple(algorithms)
        self._clock = clock
        self._distributed = (
            DistributedClaims(
                configuration.groups.claim,
                sets,
                audiences=issuer.audiences,
                algorithms=self._algorithms,
                authority=issuer.certificate_authority,
                clock=clock,
            )
            if configuration.groups.claim
            else None
        )

    async def user_of(self, token: SignedToken) -> User:
        """The user whom a token of this issuer belongs to. Raises InvalidToken."""
        try:
            await verify(
                token,
                self.keys,
                issuer=self.url,
                audiences=self._configuration.issuer.audiences,
                algorithms=self._algorithms,
                clock=self._clock,
            )
        except NotVerified as error:
            raise InvalidToken(f"oidc: verify token: {error}") from None
        claims = token.claims
        if self._distributed is not None:
            try:
                claims = await self._distributed.expanded(claims)
            except ClaimError as error:
                raise InvalidToken(f"oidc: could not expand distributed claims: {error}") from None
        try:
            return user_of(self._configuration, self._compiled, claims, limit=AT_ONCE_LIMIT)
        except TooCostly:
            pass
        try:
            return await asyncio.to_thread(user_of, self._configuration, self._compiled, claims, limit=RUN_LIMIT)
        except TooCostly:
            raise InvalidToken("oidc: the expressions of the configuration cost too much for the claims of this token") from None


class Timed(Protocol):
    """Notes how long a token of an issuer took, and whether it was accepted."""

    def __call__(self, issuer: str, accepted: bool, seconds: float) -> None: ...


def _untimed(issuer: str, accepted: bool, seconds: float) -> None:
    pass


class JwtTokens:
    """The tokens of several issuers, each of which is asked for its own. They are valid for all of `audiences`, those of the
    server: which audience a token itself must have is the issuer's configuration. `timed`: is told of each token."""

    def __init__(self, issuers: Iterable[IssuerTokens], audiences: Sequence[str], *, timed: Timed = _untimed) -> None:
        self.issuers = tuple(issuers)
        self._audiences = tuple(audiences)
        self._timed = timed

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        if not self.issuers:
            return None
        parsed = json_web_tokens.parse(token)
        found = next((each for each in self.issuers if each.url == parsed.issuer), None) if parsed is not None else None
        if found is None or parsed is None:
            return None
        shared = tuple(audience for audience in audiences if audience in self._audiences)
        if audiences and not shared:
            return None
        began, accepted = time.perf_counter(), False
        try:
            user = await found.user_of(parsed)
            accepted = True
        finally:
            self._timed(found.url, accepted, time.perf_counter() - began)
        return TokenIdentity(user, shared, expiry(parsed))
