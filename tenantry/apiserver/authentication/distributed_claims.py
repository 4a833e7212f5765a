"""Distributed claims: those that a token does not have itself, but says where they are (OpenID Connect Core 1.0 §5.6.2).

As in kube-apiserver, this is for the claim of groups alone. The source answers with a JWT of any issuer, whose keys are read from
that issuer, and whose audience is one of those of the configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tenantry.apiserver.authentication import json_web_tokens
from tenantry.apiserver.authentication.issuer_keys import READ_SECONDS, IssuerKeys, IssuerKeySets
from tenantry.apiserver.authentication.jwt_verification import NotVerified, verify
from tenantry.http.calls import CallFailed

ANSWER_BYTES_MAX = json_web_tokens.CHARACTERS_MAX
ISSUERS_MAX = 16
"""How many issuers of claims one configuration's tokens may name."""


class ClaimError(Exception):
    """A claim cannot be had; the text says why."""


class DistributedClaims:
    """Finds one claim, for the tokens of one issuer. `authority`: the CA of all servers that it asks, in PEM; empty: the
    system's."""

    def __init__(
        self,
        claim: str,
        sets: IssuerKeySets,
        *,
        audiences: Sequence[str],
        algorithms: Sequence[str],
        authority: str,
        clock: Callable[[], float],
    ) -> None:
        self._claim = claim
        self._sets = sets
        self._audiences = audiences
        self._algorithms = algorithms
        self._authority = authority
        self._clock = clock
        self._issuers: dict[str, IssuerKeys] = {}

    async def expanded(self, claims: dict[str, Any]) -> dict[str, Any]:
        """The claims of a verified token, with that one where it is elsewhere. Raises ClaimError."""
        names = claims.get("_claim_names")
        if self._claim in claims or not isinstance(names, dict) or self._claim not in names:
            return claims
        source = (claims.get("_claim_sources") or {}).get(names[self._claim])
        if source is None:
            raise ClaimError(f"id token _claim_names contained a source {names[self._claim]} missing in _claims_sources")
        endpoint = source.get("endpoint") if isinstance(source, dict) else None
        if not endpoint:
            # It may be an aggregated claim, which is not supported upstream either.
            return claims
        token = source.get("access_token") or ""
        if not isinstance(endpoint, str) or not isinstance(token, str):
            raise ClaimError("oidc: could not parse claim sources: endpoint and access_token are texts")
        return {**claims, self._claim: await self._resolved(endpoint, token)}

    async def _resolved(self, endpoint: str, access_token: str) -> Any:
        try:
            async with asyncio.timeout(READ_SECONDS):
                tls = await self._sets.tls(self._authority)
                answer = await self._sets.get(endpoint, tls, token=access_token, answer_bytes=ANSWER_BYTES_MAX)
        except TimeoutError:
            raise ClaimError(f'while getting distributed claim "{self._claim}": no answer in {READ_SECONDS:g} seconds') from None
        except (CallFailed, OSError, ValueError) as error:
            raise ClaimError(f'while getting distributed claim "{self._claim}": {error}') from None
        if not 200 <= answer.status <= 226:
            raise ClaimError(
                f'while getting distributed claim "{self._claim}": error while getting distributed claim JWT: {answer.status}'
            )
        token = json_web_tokens.parse(answer.body.decode("ascii", "replace"))
        if token is None:
            raise ClaimError(
                f'getting untrusted issuer from endpoint {endpoint} failed for claim "{self._claim}": malformed token'
            )
        try:
            await verify(
                token,
                self._keys_of(token.issuer),
                issuer=token.issuer,
                audiences=self._audiences,
                algorithms=self._algorithms,
                clock=self._clock,
            )
        except NotVerified as error:
            raise ClaimError(f"verify distributed claim token: {error}") from None
        if self._claim not in token.claims:
            raise ClaimError(f'jwt returned by distributed claim endpoint "{endpoint}" did not contain claim: {self._claim}')
        return token.claims[self._claim]

    def _keys_of(self, issuer: str) -> IssuerKeys:
        found = self._issuers.get(issuer)
        if found is None:
            if len(self._issuers) >= ISSUERS_MAX:
                self._issuers.pop(next(iter(self._issuers)))
            found = self._issuers[issuer] = self._sets.of(issuer, authority=self._authority)
        return found
