"""X.509 certificates and requests for them (PKCS#10) in fields of objects, with Go's words for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tenantry.kube import pem
from tenantry.kube.field_errors import invalid, required, too_long, while_few
from tenantry.kube.names import dns1123_label_errors, dns1123_subdomain_errors
from tenantry.kube.status import FieldError

REQUEST, CERTIFICATE = "CERTIFICATE REQUEST", "CERTIFICATE"
KUBERNETES_DOMAIN = "kubernetes.io"
_NO_REQUEST = "asn1: structure error: it is no certificate request"
DER_BYTES_MAX = 16 * 1024
"""The longest request or certificate that is read: to read one of 16 KiB may keep the interpreter for some milliseconds."""
_DOMAIN_MAX = 253
_FAILURES: Sequence[tuple[type, str]] = (
    (ec.EllipticCurvePublicKey, "x509: ECDSA verification failure"),
    (rsa.RSAPublicKey, "crypto/rsa: verification error"),
    (ed25519.Ed25519PublicKey, "x509: Ed25519 verification failure"),
)


UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""What reading a certificate or a request raises, or its extensions, which are read when they are asked for."""


class BadRequest(ValueError):
    """A certificate request cannot be read, or its signature is wrong. The text says why."""


def parse_request(data: bytes) -> x509.CertificateSigningRequest:
    """The request in PEM. Its signature is not checked. Raises BadRequest."""
    block = pem.first_block(data)
    if block is None or block.type != REQUEST:
        raise BadRequest("PEM block type must be CERTIFICATE REQUEST")
    return read_request(block.data)


def read_request(der: bytes) -> x509.CertificateSigningRequest:
    """The request in DER. Its signature is not checked. Raises BadRequest."""
    if len(der) > DER_BYTES_MAX:
        raise BadRequest(f"a certificate request may not be longer than {DER_BYTES_MAX} bytes")
    try:
        request = x509.load_der_x509_csr(der)
        # Parts are read when they are asked for.
        _ = request.subject, request.extensions
    except UNREADABLE:
        raise BadRequest(_NO_REQUEST) from None
    return request


def check_signature(request: x509.CertificateSigningRequest) -> None:
    """Raises BadRequest where the requester has not shown that it has the key."""
    try:
        key = request.public_key()
        kind = next((text for of, text in _FAILURES if isinstance(key, of)), "")
        if kind and request.is_signature_valid:
            return
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        kind = ""
    raise BadRequest(kind or "x509: cannot verify signature: algorithm unimplemented")


def certificate_error(data: bytes) -> str:
    """What is wrong with issued certificates in PEM; empty where nothing is, or there are none."""
    if not data:
        return ""
    found = False
    for block in pem.blocks(data):
        if block.type != CERTIFICATE:
            return f'only CERTIFICATE PEM blocks are allowed, found "{block.type}"'
        if block.has_headers:
            return "no PEM block headers are permitted"
        found = True
        if read_certificate(block.data) is None:
            return "x509: malformed certificate"
    return "" if found else "must contain at least one CERTIFICATE PEM block"


def read_certificate(der: bytes) -> x509.Certificate | None:
    """The certificate; None where it cannot be read."""
    if len(der) > DER_BYTES_MAX:
        return None
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.extensions
    except UNREADABLE:
        return None
    return certificate


def signer_name_errors(path: str, name: str) -> list[FieldError]:
    """The errors of a signer's name: `<domain>/<path>`, of labels of RFC 1123."""
    if not name:
        return [required(path)]
    segments = name.split("/")
    if len(segments) != 2:
        return [invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")]
    domain, rest = segments
    errors = [too_long(path, _DOMAIN_MAX)] if len(domain) > _DOMAIN_MAX else []
    errors += _label_errors(path, domain, dns1123_label_errors)
    if "." not in domain:
        errors.append(invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    errors += _label_errors(path, rest, dns1123_subdomain_errors)
    longest = 2 * _DOMAIN_MAX + 65
    if len(name) > longest:
        errors.append(too_long(path, longest))
    return errors


def is_kubernetes_signer(name: str) -> bool:
    """Whether a signer has a name of Kubernetes itself."""
    domain = name.partition("/")[0]
    return domain == KUBERNETES_DOMAIN or domain.endswith(f".{KUBERNETES_DOMAIN}")


def _label_errors(path: str, text: str, errors_of: Callable[[str], Sequence[str]]) -> list[FieldError]:
    """The errors of the first wrong label."""
    errors: list[FieldError] = []
    for label in while_few(errors, text.split(".")):
        found = errors_of(label)
        if found:
            return [invalid(path, text, f'validating label "{label}": {error}') for error in found]
    return errors
