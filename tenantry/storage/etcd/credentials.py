"""The PEM files for TLS to etcd, and explanations of TLS failures: gRPC's own texts name neither a file nor a cause."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tenantry.storage.etcd.config import Endpoint, EtcdConfig
from tenantry.storage.store import Unavailable

_HINTS_SECURE = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not signed by the certificate authority that is configured for etcd",
    "Hostname Verification": "its certificate is for another name; set the server name for etcd to a name of the certificate",
    "Unwrap failed": "it does not accept our client certificate: it has expired, or etcd does not trust its authority",
    "Handshake read failed": "it does not use TLS, or ended the handshake; the endpoint of an etcd without TLS begins with http://",
    "Socket closed": "it closed the connection; it may require a client certificate, or another one",
}
_NO_CLIENT_CERTIFICATE = "it requires a client certificate, and none is configured"
_HINT_PLAIN = "the endpoint of an etcd with TLS begins with https://"


def load_credentials(config: EtcdConfig) -> grpc.ChannelCredentials:
    """Reads the files. Raises OSError, Unavailable (a file cannot be used; it may be replaced later)."""
    authority = None
    if config.certificate_authority is not None:
        authority = config.certificate_authority.read_bytes()
        _certificates(config.certificate_authority, authority)
    if config.certificate is None or config.certificate_key is None:
        return grpc.ssl_channel_credentials(authority)
    certificate, key = config.certificate.read_bytes(), config.certificate_key.read_bytes()
    mine = _certificates(config.certificate, certificate)[0]
    if mine.not_valid_after_utc < datetime.now(UTC):
        raise Unavailable(f"the client certificate for etcd, {config.certificate}, expired at {mine.not_valid_after_utc}")
    try:
        public = load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError) as error:
        raise Unavailable(f"{config.certificate_key} is not an unencrypted private key in PEM: {error}") from None
    if _bytes(public) != _bytes(mine.public_key()):
        raise Unavailable(f"{config.certificate_key} is not the key of the client certificate {config.certificate}")
    return grpc.ssl_channel_credentials(authority, key, certificate)


def explain(text: str, endpoint: Endpoint, config: EtcdConfig) -> str:
    """Adds a probable cause to gRPC's text about a failed connection."""
    hint = ""
    if endpoint.secure:
        hint = next((hint for known, hint in _HINTS_SECURE.items() if known in text), "")
        if "has expired" in text:
            hint = "its certificate has expired"
        elif "Unwrap failed" in text and config.certificate is None:
            hint = _NO_CLIENT_CERTIFICATE
    elif "Socket closed" in text:
        hint = _HINT_PLAIN
    return f"{hint} ({text})" if hint else text


def _certificates(file: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise Unavailable(f"{file} holds no certificates in PEM: {error}") from None


def _bytes(key: object) -> bytes:
    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return found
