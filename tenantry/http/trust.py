"""TLS contexts for calls to servers that tenants name, by the certificates that they trust."""

from __future__ import annotations

import asyncio
import hashlib
import ssl

from tenantry.base.cache import Cache

_BYTES_MAX = 16 << 20
_CONTEXT_BYTES = 24 << 10
"""About what OpenSSL keeps for a context, beside the certificates in it."""
_PER_CA_BYTE = 6
_LARGE_BYTES = 8 << 10
"""A bundle with more is read in a thread."""


class TrustContexts:
    """A context trusts the certificates of a bundle (PEM), or, without one, the certificates that the machine trusts."""

    def __init__(self) -> None:
        self._known: Cache[bytes, ssl.SSLContext] = Cache("webhook_tls_contexts", bytes_max=_BYTES_MAX)
        self._machine: ssl.SSLContext | None = None

    def known(self, bundle: bytes) -> ssl.SSLContext | None:
        """The context of a bundle, if it is made already."""
        return self._known.get(hashlib.sha256(bundle).digest()) if bundle else self._machine

    async def of(self, bundle: bytes) -> ssl.SSLContext:
        """Raises ValueError if the bundle has no certificate that can be read."""
        if not bundle:
            if self._machine is None:
                self._machine = await asyncio.to_thread(_make, b"")
            return self._machine
        made = await asyncio.to_thread(_make, bundle) if len(bundle) > _LARGE_BYTES else _make(bundle)
        self._known.put(hashlib.sha256(bundle).digest(), made, _CONTEXT_BYTES + _PER_CA_BYTE * len(bundle))
        return made


def _make(bundle: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not bundle:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        context.load_verify_locations(cadata=bundle.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ValueError("unable to load root certificates: unable to parse bytes as PEM block") from error
    # As Go does: a certificate of the bundle is trusted though it is none of an authority.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
