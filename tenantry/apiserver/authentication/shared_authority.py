"""The certificate authority that all processes of a platform share. Each issues its own certificates with it."""

from __future__ import annotations

from tenantry.http.certificates import CertificateAuthority, Pair
from tenantry.storage.secrets import shared_secret
from tenantry.storage.store import Store

_END = b"-----END CERTIFICATE-----\n"


async def shared_authority(store: Store) -> CertificateAuthority:
    """The CA that is in the store; the first process makes it. Raises Unavailable, Indeterminate, CertificateError."""
    pem = await shared_secret(store, "ca", _new)
    # The certificate is public, so not a byte of the key may stay with it.
    certificate, end, key = pem.partition(_END)
    return CertificateAuthority(Pair(certificate + end, key))


def _new() -> bytes:
    pair = CertificateAuthority.create().pair
    return pair.certificate + pair.key
