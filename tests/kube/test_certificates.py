"""Requests for certificates and names of signers, with the texts of a recorded kube-apiserver."""

from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from tenantry.http.certificates import CertificateAuthority
from tenantry.kube import pem
from tenantry.kube.certificates import (
    DER_BYTES_MAX,
    BadRequest,
    certificate_error,
    check_signature,
    is_kubernetes_signer,
    parse_request,
    signer_name_errors,
)
from tests.support.requests_for_certificates import request


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "PEM block type must be CERTIFICATE REQUEST"),
        (b"x", "PEM block type must be CERTIFICATE REQUEST"),
        (pem.encode("CERTIFICATE", b"abc"), "PEM block type must be CERTIFICATE REQUEST"),
        (pem.encode("CERTIFICATE REQUEST", b"abc"), "asn1: structure error: it is no certificate request"),
    ],
)
def test_what_is_no_request(text: bytes, problem: str) -> None:
    with pytest.raises(BadRequest, match=f"^{problem}$"):
        parse_request(text)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "x509: ECDSA verification failure"),
        (rsa.generate_private_key(public_exponent=65537, key_size=2048), "crypto/rsa: verification error"),
        (ed25519.Ed25519PrivateKey.generate(), "x509: Ed25519 verification failure"),
    ],
)
def test_the_requester_has_to_have_the_key(key: CertificateIssuerPrivateKeyTypes, problem: str) -> None:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, algorithm)
    der = made.public_bytes(Encoding.DER)
    check_signature(parse_request(pem.encode("CERTIFICATE REQUEST", der)))
    forged = pem.encode("CERTIFICATE REQUEST", der[:-1] + bytes([der[-1] ^ 1]))
    with pytest.raises(BadRequest, match=f"^{problem}$"):
        check_signature(parse_request(forged))


def test_other_versions_are_not_read() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    der = made.public_bytes(Encoding.DER).replace(b"\x02\x01\x00", b"\x02\x01\x31", 1)
    with pytest.raises(BadRequest, match="no certificate request"):
        parse_request(pem.encode("CERTIFICATE REQUEST", der))
    certificate = x509.load_pem_x509_certificate(CertificateAuthority.create().certificate).public_bytes(Encoding.DER)
    other = certificate.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x31", 1)
    assert other != certificate
    assert certificate_error(pem.encode("CERTIFICATE", other)) == "x509: malformed certificate"


def test_long_ones_are_not_read() -> None:
    text = f"a certificate request may not be longer than {DER_BYTES_MAX} bytes"
    with pytest.raises(BadRequest, match=f"^{text}$"):
        parse_request(request("x", ["group"] * 1500))
    parse_request(request("x", ["group"] * 500))
    assert certificate_error(pem.encode("CERTIFICATE", b"x" * (DER_BYTES_MAX + 1))) == "x509: malformed certificate"


def test_issued_certificates() -> None:
    one = CertificateAuthority.create().certificate
    for text in (b"", one, one + one, b"text\n" + one):
        assert certificate_error(text) == ""
    for text, problem in (
        (b"x", "must contain at least one CERTIFICATE PEM block"),
        (one + request(), 'only CERTIFICATE PEM blocks are allowed, found "CERTIFICATE REQUEST"'),
        (one.replace(b"CATE-----\n", b"CATE-----\na: b\n\n", 1), "no PEM block headers are permitted"),
        (pem.encode("CERTIFICATE", b"abc"), "x509: malformed certificate"),
    ):
        assert certificate_error(text) == problem


@pytest.mark.parametrize("name", ["example.com/a", "kubernetes.io/kube-apiserver-client", "a.b/c.d-e", "a" * 63 + ".b/c"])
def test_names_of_signers(name: str) -> None:
    assert signer_name_errors("p", name) == []


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("", ["p: Required value"]),
        ("abc", ["p: Invalid value: \"abc\": must be a fully qualified domain and path of the form 'example.com/signer-name'"]),
        (
            "a.b/c/d",
            ["p: Invalid value: \"a.b/c/d\": must be a fully qualified domain and path of the form 'example.com/signer-name'"],
        ),
        ("abc/def", ['p: Invalid value: "abc": should be a domain with at least two segments separated by dots']),
    ],
)
def test_wrong_names_of_signers(name: str, texts: list[str]) -> None:
    assert [error.message for error in signer_name_errors("p", name)] == texts


def test_every_part_of_a_name_is_bounded_and_has_one_error() -> None:
    for name, count in (
        ("A.b/c", 1),
        ("a..b/c", 1),
        ("a.b/C", 1),
        ("a" * 64 + ".b/c", 1),
        ("A/B", 3),
        (".".join(["a"] * 200) + "/b", 1),
    ):
        assert len(signer_name_errors("p", name)) == count, name


def test_signers_of_kubernetes() -> None:
    assert is_kubernetes_signer("kubernetes.io/x") and is_kubernetes_signer("a.kubernetes.io/x")
    assert not is_kubernetes_signer("akubernetes.io/x") and not is_kubernetes_signer(b64encode(b"x").decode())
