"""Certificates in tests: time that passes for the authority that issues them, and what a server shows."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

from cryptography import x509

from tenantry.http.certificates import Pair, pair_client_context

DAY_SECONDS = 86400.0
YEAR_SECONDS = 365 * DAY_SECONDS
NAMES = ["127.0.0.1"]


class CertificateClock:
    """A certificate authority's, which the test sets. TLS has a clock of its own: what it shall accept is issued in the past."""

    def __init__(self, seconds_ago: float = 0.0) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=seconds_ago)

    def __call__(self) -> datetime:
        return self.time

    def pass_by(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def serial(pem: bytes) -> int:
    return x509.load_pem_x509_certificate(pem).serial_number


async def shown(port: int, ca: bytes, client: Pair | None = None) -> x509.Certificate:
    """What a server shows to a client that connects now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if client is None else pair_client_context(ca, client)
    context.load_verify_locations(cadata=ca.decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(True)
        return x509.load_der_x509_certificate(der)
    finally:
        writer.close()
