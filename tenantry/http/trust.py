"""TLS contexts for calls to servers that tenants name, by the certificates that they trust."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tenantry.base.cache import Cache
from tenantry.base.shares import Shares

_BYTES_MAX = 16 << 20
_CONTEXT_BYTES = 24 << 10
"""About what OpenSSL keeps for a context, beside the certificates in it."""
_PER_CA_BYTE = 6
_PIECE_BYTES = 1 << 10
"""A bundle with more is read in a thread, in pieces: OpenSSL needs half a millisecond for a certificate, and holds up all other
threads of Python meanwhile."""
_THREADS = 2
_READ_AT_A_TIME = 16
_END = b"-----END CERTIFICATE-----"
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!SHA1"
"""The ciphers of TLS 1.2, about the ones of Go. With finite-field Diffie-Hellman a server chooses how long the event loop
computes."""


class TrustContexts:
    """A context trusts the certificates of a bundle (PEM), or, without one, the certificates that the machine trusts. `close`
    when the process ends."""

    def __init__(self) -> None:
        self.shares = Shares("webhook_bundles", _READ_AT_A_TIME)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="trust")
        self._known: Cache[bytes, ssl.SSLContext] = Cache("webhook_tls_contexts", bytes_max=_BYTES_MAX)
        self._reading: dict[bytes, asyncio.Future[ssl.SSLContext]] = {}
        self._machine: ssl.SSLContext | None = None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def known(self, bundle: bytes) -> ssl.SSLContext | None:
        """The context of a bundle, if it is made already."""
        return self._known.get(hashlib.sha256(bundle).digest()) if bundle else self._machine

    async def of(self, bundle: bytes, owner: str) -> ssl.SSLContext:
        """`owner`: the tenant. Raises ValueError if the bundle has no certificate that can be read, or if the tenant has too many
        that are being read."""
        if not bundle:
            if self._machine is None:
                self._machine = await asyncio.to_thread(_make, b"")
            return self._machine
        digest = hashlib.sha256(bundle).digest()
        if len(bundle) <= _PIECE_BYTES:
            made = _make(bundle)
        else:
            made = await asyncio.shield(self._reading.get(digest) or self._read(digest, bundle, owner))
        self._known.put(digest, made, _CONTEXT_BYTES + _PER_CA_BYTE * len(bundle))
        return made

    def _read(self, digest: bytes, bundle: bytes, owner: str) -> asyncio.Future[ssl.SSLContext]:
        if not self.shares.take((owner,)):
            raise ValueError("too many bundles of certificates are read at the same time")
        reading = self._reading[digest] = asyncio.get_running_loop().run_in_executor(self._threads, _make, bundle)

        def read(done: asyncio.Future[ssl.SSLContext]) -> None:
            # The thread is taken until it ends, also if its write has been given up.
            self.shares.give((owner,))
            del self._reading[digest]
            if not done.cancelled():
                done.exception()

        reading.add_done_callback(read)
        return reading


def _make(bundle: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # The server could ask for one handshake after the other.
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not bundle:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        for piece in _pieces(bundle):
            context.load_verify_locations(cadata=piece.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ValueError("unable to load root certificates: unable to parse bytes as PEM block") from error
    # As Go does: a certificate of the bundle is trusted though it is none of an authority.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _pieces(bundle: bytes) -> Iterator[bytes]:
    """The bundle in pieces of whole certificates. What follows the last one belongs to it."""
    begin = 0
    while True:
        end = bundle.find(_END, begin + _PIECE_BYTES)
        end = end + len(_END) if end >= 0 else -1
        if end < 0 or bundle.find(_END, end) < 0:
            yield bundle[begin:]
            return
        yield bundle[begin:end]
        begin = end
