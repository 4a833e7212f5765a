"""Client certificates of one logical cluster: what is signed, for how long, and where it is good."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from multidict import CIMultiDict

from tenantry.apiserver.authentication.authenticator import ANONYMOUS_USER, UnionAuthenticator
from tenantry.apiserver.authentication.client_certificate import ClientCertificates, RequestHeaders
from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority, Refused, cluster_of
from tenantry.apiserver.authentication.static_tokens import StaticTokens
from tenantry.apiserver.callers import credential_owner
from tenantry.apiserver.forwarded import request_head
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import User
from tenantry.http.certificates import CertificateAuthority, CertificateError
from tenantry.kube.certificates import parse_request
from tests.support.requests_for_certificates import request

HERE, ELSEWHERE = "rcluster00000001", "rcluster00000002"
PLATFORM = CertificateAuthority.create()
AUTHORITY = ClusterAuthority(PLATFORM)
USAGES = ("client auth", "digital signature")


def signed(
    pem: bytes = b"", *, authority: ClusterAuthority = AUTHORITY, usages: Sequence[str] = USAGES, life: int | None = None
) -> bytes:
    return authority.sign(parse_request(pem or request()), HERE, usages=usages, life_seconds=life)


def client(pem: bytes, token: str = "") -> Request:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return Request("GET", "/", headers=headers, client_certificate=ssl.PEM_cert_to_DER_cert(pem.decode()))


def methods(authority: ClusterAuthority = AUTHORITY) -> ClientCertificates:
    return ClientCertificates(PLATFORM.certificate, clusters_ca=authority.pem)


async def test_a_certificate_is_good_in_its_cluster_alone() -> None:
    union = UnionAuthenticator(requests=[methods()], tokens=[StaticTokens({"t": User("bob")})])
    pem = signed(request("carol", ["devs", "ops"]))
    user = await union.authenticate(client(pem), HERE)
    assert user is not None
    assert (user.name, user.groups, user.uid) == ("carol", ("devs", "ops", "system:authenticated"), "")
    assert user.extra_values("authentication.kcp.io/scopes") == (f"cluster:{HERE}",)
    assert user.extra_values("authentication.kcp.io/cluster-name") == (HERE,)
    assert user.extra_values("authentication.kubernetes.io/credential-id")[0].startswith("X509SHA256=")
    for place in (ELSEWHERE, "root", None):
        assert await union.authenticate(client(pem), place) is None
        # As in kube-apiserver, a token beside it may be good.
        other = await union.authenticate(client(pem, "t"), place)
        assert other is not None and other.name == "bob"
    assert await union.authenticate(Request("GET", "/"), HERE) == ANONYMOUS_USER


async def test_it_is_good_there_through_a_gateway_too() -> None:
    pem = signed()
    user = methods().authenticate_request(client(pem))
    head = request_head(client(pem), user, length=None).decode()
    headers: CIMultiDict[str] = CIMultiDict()
    for line in filter(None, head.split("\r\n")[1:]):
        name, _, value = line.partition(": ")
        headers.add(name, value)
    gateway = PLATFORM.issue_client("tenantry-gateway")
    forwarded = Request("GET", "/", headers=headers, client_certificate=ssl.PEM_cert_to_DER_cert(gateway.certificate.decode()))
    own = ClientCertificates(PLATFORM.certificate, clusters_ca=AUTHORITY.pem, front_proxies=["tenantry-gateway"])
    shard = UnionAuthenticator(requests=[RequestHeaders(PLATFORM.certificate, allowed_names=["tenantry-gateway"]), own])
    assert await shard.authenticate(forwarded, HERE) == user
    assert await shard.authenticate(forwarded, ELSEWHERE) is None


def test_its_user_counts_for_its_cluster_wherever_it_goes() -> None:
    user = methods().authenticate_request(client(signed()))
    assert user is not None
    assert credential_owner(user) == (f"user {HERE}/carol", HERE, False)


def test_authorities_are_apart() -> None:
    # A certificate of one is none of the other, neither way.
    assert ClientCertificates(PLATFORM.certificate).authenticate_request(client(signed())) is None
    own = PLATFORM.issue_client("carol").certificate
    assert ClientCertificates(AUTHORITY.pem).authenticate_request(client(own)) is None
    assert cluster_of(x509.load_pem_x509_certificate(own)) == ""
    # All processes of a platform have the same one, and other platforms others.
    assert methods(ClusterAuthority(CertificateAuthority(PLATFORM.pair))).authenticate_request(client(signed())) is not None
    assert methods(ClusterAuthority(CertificateAuthority.create())).authenticate_request(client(signed())) is None


def test_what_is_in_a_certificate() -> None:
    made = x509.load_pem_x509_certificate(signed(request("carol", ["devs"], names=["a.example"])))
    assert made.subject == parse_request(request("carol", ["devs"])).subject
    assert cluster_of(made) == HERE
    assert [*made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value] == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_encipherment and not usage.key_cert_sign
    plain = x509.load_pem_x509_certificate(signed(usages=["client auth"]))
    assert not any(isinstance(extension.value, x509.KeyUsage) for extension in plain.extensions)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example"]


@pytest.mark.parametrize(
    ("asked", "before", "after"),
    [
        (None, 300, 365 * 86400 - 300),
        (60, 300, 600),
        (3600, 300, 3600),
        (8 * 3600, 300, 8 * 3600 - 300),
        (1 << 30, 300, 365 * 86400 - 300),
    ],
)
def test_how_long_it_lives(asked: int | None, before: int, after: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    platform = CertificateAuthority.create(now=lambda: now)
    made = x509.load_pem_x509_certificate(signed(authority=ClusterAuthority(platform), life=asked))
    assert made.not_valid_before_utc == now - timedelta(seconds=before)
    assert made.not_valid_after_utc == now + timedelta(seconds=after)


def test_it_ends_with_the_platforms_authority() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    times = [begin]
    platform = CertificateAuthority.create(now=lambda: times[-1])
    authority = ClusterAuthority(platform)
    times.append(platform.end - timedelta(days=1))
    assert x509.load_pem_x509_certificate(signed(authority=authority)).not_valid_after_utc == platform.end
    times.append(platform.end)
    with pytest.raises(CertificateError):
        signed(authority=authority)


def test_an_expired_one_is_refused() -> None:
    past = datetime.now(UTC) - timedelta(days=2)
    platform = CertificateAuthority(PLATFORM.pair, now=lambda: past)
    pem = signed(authority=ClusterAuthority(platform), life=3600)
    assert methods().authenticate_request(client(pem)) is None


@pytest.mark.parametrize(
    ("pem", "usages", "text"),
    [
        (request(), ["client auth", "server auth"], "invalid usage for client certificate: server auth"),
        (request(), ["digital signature"], "missing required usage for client certificate: client auth"),
        (request(""), USAGES, "the subject needs one common name"),
        (request("a", [], "b"), USAGES, "the subject needs one common name"),
        (request("system:admin"), USAGES, "the user system:admin is one of the system's"),
        (request("system:serviceaccount:default:x"), USAGES, "the user system:serviceaccount:default:x"),
        (request("a", ["devs", "system:masters"]), USAGES, "the group system:masters is one of the system's"),
        (request("a", ["system:kcp:admin"]), USAGES, "the group system:kcp:admin is one of the system's"),
        (request("a", ["system:kcp:logical-cluster-admin"]), USAGES, "the group system:kcp:logical-cluster-admin"),
    ],
)
def test_what_is_not_signed(pem: bytes, usages: Sequence[str], text: str) -> None:
    with pytest.raises(Refused, match=text):
        signed(pem, usages=usages)
