"""The keys of token issuers, as their documents tell (OpenID Connect Discovery 1.0).

Nothing is read before a token asks for it. Keys are read again when a token names one that is not known, and after
`REVALIDATE_SECONDS`, so that a key that the issuer has removed does not stay valid. However many tokens ask, one read is under
way at a time, and the next begins `REFRESH_SECONDS` later at the earliest.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any
from weakref import WeakValueDictionary

import orjson

from tenantry.apiserver.authentication import json_web_keys
from tenantry.apiserver.authentication.json_web_keys import KeySet
from tenantry.apiserver.authentication.json_web_tokens import SignedToken
from tenantry.base.tasks import awaited
from tenantry.http.calls import CallAnswer, CallFailed, Calls, client_context
from tenantry.kube.schema.go_url import reference

READ_SECONDS = 10.0
"""For both documents together."""
DOCUMENT_BYTES_MAX = 256 * 1024
REFRESH_SECONDS = 1.0
RETRY_SECONDS = 2.0
"""The pause after a read that failed."""
REVALIDATE_SECONDS = 600.0
_REVALIDATION_SECONDS = 0.5
"""How long a token waits for keys to be read again where the last read failed: the issuer may be gone for hours."""
WELL_KNOWN = "/.well-known/openid-configuration"
_REDIRECTS_MAX = 5
_SHOWN_CHARACTERS = 256

logger = logging.getLogger(__name__)

Fetched = Callable[[str, bytes | None], None]
"""(URL of the issuer, its key set; None where it could not be read)"""


class IssuerError(Exception):
    """The keys of an issuer cannot be read; the text says why."""


class BadSignature(Exception):
    """None of the issuer's keys signed a token."""


class IssuerKeys:
    """The keys of one issuer. `discovery_url`: where its discovery document is. Made by `IssuerKeySets`."""

    def __init__(self, sets: IssuerKeySets, url: str, discovery_url: str, authority: str, clock: Callable[[], float]) -> None:
        self.url = url
        self._discovery_url = discovery_url or url.removesuffix("/") + WELL_KNOWN
        self._sets = sets
        self._authority = authority
        self._clock = clock
        self._keys: KeySet | None = None
        self._keys_url = ""
        self._read_at = 0.0
        self._next = 0.0
        self._problem = f"oidc: authenticator for issuer {url!r} is not initialized"
        self._reading: asyncio.Task[str] | None = None

    @property
    def memory_bytes(self) -> int:
        return 2048 + (self._keys.memory_bytes if self._keys is not None else 0)

    async def initialize(self) -> None:
        """Reads the keys, unless they were read before. Raises IssuerError."""
        if self._keys is None and (problem := await self._refreshed()):
            raise IssuerError(problem)

    async def verify(self, token: SignedToken) -> None:
        """Returns where a key of the issuer signed the token. Raises BadSignature, IssuerError."""
        if self._keys is None:
            await self.initialize()
        elif self._clock() - self._read_at > REVALIDATE_SECONDS:
            # Where the issuer does not answer, the known keys stay valid.
            with suppress(TimeoutError):
                async with asyncio.timeout(_REVALIDATION_SECONDS if self._problem else None):
                    await self._refreshed()
        if await self._is_signed(token):
            return
        known = self._keys
        if problem := await self._refreshed():
            raise IssuerError(f"fetching keys {problem}")
        if self._keys is known or not await self._is_signed(token):
            raise BadSignature

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _is_signed(self, token: SignedToken) -> bool:
        assert self._keys is not None
        candidates = self._keys.candidates(token)
        if not candidates:
            return False
        if len(candidates) == 1 and not candidates[0].is_slow:
            return json_web_keys.is_signed(token, candidates)
        return await asyncio.to_thread(json_web_keys.is_signed, token, candidates)

    async def _refreshed(self) -> str:
        """Reads the keys, or waits for the read that is in progress. Why that failed, empty where it did not, or where the last
        one was too short ago to read again."""
        if self._reading is None:
            if self._clock() < self._next:
                return "" if self._keys is not None else self._problem
            self._reading = awaited(self._read(), name="keys of a token issuer")
        return await asyncio.shield(self._reading)

    async def _read(self) -> str:
        """Never raises: its result is for all who wait."""
        problem = ""
        try:
            async with asyncio.timeout(READ_SECONDS):
                tls = await self._sets.tls(self._authority)
                if not self._keys_url:
                    self._keys_url = await self._discovered(tls)
                answer = await self._document(self._keys_url, tls)
                self._keys = json_web_keys.parse(answer)
                self._sets.fetched(self.url, answer)
        except TimeoutError:
            problem = f"no answer in {READ_SECONDS:g} seconds"
        except (CallFailed, IssuerError, OSError, ValueError) as error:
            problem = str(error)
        finally:
            self._reading = None
        now = self._clock()
        self._next = now + (RETRY_SECONDS if problem else REFRESH_SECONDS)
        if problem:
            self._problem = problem
            # The next read looks for the place of the keys again.
            self._keys_url = ""
            self._sets.fetched(self.url, None)
            logger.warning("cannot read the keys of a token issuer", extra={"issuer": self.url, "error": problem})
        else:
            self._read_at = now
            self._problem = ""
        return problem

    async def _discovered(self, tls: ssl.SSLContext) -> str:
        """The URL of the issuer's keys."""
        found = orjson.loads(await self._document(self._discovery_url, tls))
        document: dict[str, Any] = found if isinstance(found, dict) else {}
        if document.get("issuer") != self.url:
            raise IssuerError(
                "oidc: issuer did not match the issuer returned by provider, "
                f'expected "{self.url}" got "{str(document.get("issuer", ""))[:_SHOWN_CHARACTERS]}"'
            )
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not url:
            raise IssuerError("provider did not return JWKS URL")
        return url

    async def _document(self, url: str, tls: ssl.SSLContext) -> bytes:
        answer = await self._sets.get(url, tls)
        if answer.status != 200:
            # What it says besides is none of the caller's business, who may see this in a TokenReview.
            raise IssuerError(f"{url} answered {answer.status}")
        return answer.body


class IssuerKeySets:
    """The keys of all issuers that authenticators use, and how they are read. Authenticators for the same issuer, with the same
    CA, share its keys, which live as long as one of them. `fetched` is told of each read."""

    def __init__(
        self,
        calls: Calls,
        *,
        fetched: Fetched = lambda url, keys: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fetched = fetched
        self._calls = calls
        self._clock = clock
        self._known: WeakValueDictionary[tuple[str, str, bytes], IssuerKeys] = WeakValueDictionary()
        self._system: ssl.SSLContext | None = None

    def of(self, url: str, *, discovery_url: str = "", authority: str = "") -> IssuerKeys:
        """The keys of an issuer. `authority`: the CA of its server in PEM; empty: the system's."""
        key = (url, discovery_url, sha256(authority.encode()).digest())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = IssuerKeys(self, url, discovery_url, authority, self._clock)
        return found

    async def get(self, url: str, tls: ssl.SSLContext, *, token: str = "", answer_bytes: int = DOCUMENT_BYTES_MAX) -> CallAnswer:
        """The answer to a GET, after redirects, with a bearer token for the first server. Raises CallFailed, ValueError."""
        parts = reference(url)
        origin = parts.host
        for _ in range(_REDIRECTS_MAX + 1):
            if parts.scheme not in ("https", "http"):
                raise CallFailed(f"unsupported protocol scheme {parts.scheme!r}")
            headers = {"Accept": "application/json", "Connection": "close"}
            if token and parts.host == origin:
                headers["Authorization"] = f"Bearer {token}"
            answer = await self._calls.send(
                "GET", url, tls=tls, headers=headers, timeout_seconds=READ_SECONDS, answer_bytes=answer_bytes
            )
            location = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or not location:
                return answer
            url = f"{parts.scheme}://{parts.host}{location}" if location.startswith("/") else location
            parts = reference(url)
        raise CallFailed(f"stopped after {_REDIRECTS_MAX} redirects")

    async def tls(self, authority: str) -> ssl.SSLContext:
        """The TLS context for a CA in PEM, for the system's CAs where it is empty. Raises OSError, ValueError."""
        if authority:
            # It is not kept: it takes more memory than the keys, and is used a few times a day.
            return await asyncio.to_thread(client_context, authority)
        if self._system is None:
            self._system = await asyncio.to_thread(client_context)
        return self._system

    async def stop(self) -> None:
        """Ends reads that are in progress."""
        for keys in list(self._known.values()):
            await keys.stop()
