"""Keys, requests for certificates, and CertificateSigningRequests of them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tenantry.kube.objects import Object
from tenantry.kube.types.certificate_signing_request import CLIENT_SIGNER


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem() -> bytes:
    return key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def request(user: str = "carol", groups: Sequence[str] = (), *more_users: str, names: Sequence[str] = ()) -> bytes:
    """PEM, for a subject with these names."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    attributes += [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in (user, *more_users) if name]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    return builder.sign(key(), hashes.SHA256()).public_bytes(Encoding.PEM)


def signing_request(name: str, pem: bytes = b"", **spec: Any) -> Object:
    """A CertificateSigningRequest for a client of the API server."""
    full = {"request": b64encode(pem or request()).decode(), "signerName": CLIENT_SIGNER, "usages": ["client auth"]}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": full | spec,
    }


def pod_request(**more: Any) -> Object:
    """A PodCertificateRequest without a name."""
    der = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key(), hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    spec = {
        "signerName": "example.com/s",
        "podName": "p",
        "podUID": "1",
        "serviceAccountName": "s",
        "serviceAccountUID": "2",
        "nodeName": "n",
        "nodeUID": "3",
        "stubPKCS10Request": b64encode(der).decode(),
    }
    return {"spec": spec | more}


def condition(name: str, status: str = "True", **more: Any) -> Object:
    return {"type": name, "status": status, **more}
