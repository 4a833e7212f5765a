"""Authenticates callers by client certificate, and front proxies that name their callers in headers."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tenantry.apiserver.authentication.cluster_authority import cluster_of, names_in
from tenantry.apiserver.forwarded import BEYOND_CAPACITY
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import (
    CREDENTIAL_ID_EXTRA,
    SYSTEM_PREFIX,
    User,
    as_authenticated,
    is_privileged_group,
    make_extra,
    of_cluster,
)
from tenantry.base.cache import Cache
from tenantry.kube.certificates import UNREADABLE

_BEYOND_CAPACITY = BEYOND_CAPACITY.lower()
_REMEMBERED_BYTES = 4 << 20
_USER_ID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
"""The attribute of the subject with the uid of the user (KEP-3338)."""
_PARSED_BYTES = 2048
"""Bytes of memory of a parsed certificate, in addition to its encoding."""


def _digest(der: bytes) -> bytes:
    """The key of a certificate in caches. A certificate itself could be too long, for example with many names."""
    return hashlib.sha256(der).digest()


class CertificateVerifier:
    """Checks that a certificate was issued directly by a CA (PEM, one or several certificates). TLS has already checked that the
    client has the private key. TLS trusts several CAs for different purposes, so the issuer is checked here again."""

    def __init__(self, ca_pem: bytes) -> None:
        self._authorities = x509.load_pem_x509_certificates(ca_pem)
        self._known: Cache[bytes, tuple[x509.Certificate | None, int]] = Cache(
            "client_certificates", bytes_max=_REMEMBERED_BYTES, size=lambda known: known[1] if known[0] is not None else 0
        )

    def verify(self, der: bytes) -> x509.Certificate | None:
        """The parsed certificate, if this CA issued it for client authentication and it is valid now, else None."""
        certificate, _ = self._known.compute(_digest(der), lambda: (self._issued(der), 2 * len(der) + _PARSED_BYTES))
        if certificate is None:
            return None
        return certificate if certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc else None

    def _issued(self, der: bytes) -> x509.Certificate | None:
        try:
            certificate = x509.load_der_x509_certificate(der)
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (*UNREADABLE, x509.ExtensionNotFound):
            return None
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
            return None
        return certificate if any(_issued_by(certificate, authority) for authority in self._authorities) else None


class ClientCertificates:
    """X.509 authentication: the common name is the user, the organizations are the groups (kube-apiserver's rule).

    `front_proxies` are the common names of servers that forward requests. They are not users themselves. A forwarded request
    without user headers is authenticated by its token, or is anonymous. `clusters_ca` (PEM) is the `ClusterAuthority`, whose
    certificates are good in one logical cluster: their users have the extra values of kcp for that (`user.of_cluster`).
    """

    def __init__(self, ca_pem: bytes, *, clusters_ca: bytes = b"", front_proxies: Collection[str] = ()) -> None:
        self._front_proxies = frozenset(front_proxies)
        self._verifier = CertificateVerifier(ca_pem)
        self._clusters = CertificateVerifier(clusters_ca) if clusters_ca else None
        self._users: Cache[bytes, User] = Cache("certificate_users", bytes_max=_REMEMBERED_BYTES)

    def renew(self, ca_pem: bytes) -> None:
        """Replaces the trusted CA."""
        self._verifier = CertificateVerifier(ca_pem)

    def authenticate_request(self, request: Request) -> User | None:
        der = request.client_certificate
        if der is None:
            return None
        certificate, bound = self._verifier.verify(der), False
        if certificate is None and self._clusters is not None:
            certificate, bound = self._clusters.verify(der), True
        if certificate is None:
            return None
        digest = _digest(der)
        user = self._users.get(digest)
        if user is None:
            user = self._user(certificate, digest, bound=bound)
            if user is not None:
                self._users.put(digest, user)
        return user

    def _user(self, certificate: x509.Certificate, digest: bytes, *, bound: bool) -> User | None:
        name = names_in(certificate.subject, NameOID.COMMON_NAME)
        uids = names_in(certificate.subject, _USER_ID)
        if not name or not name[0] or len(uids) > 1 or not self._front_proxies.isdisjoint(name):
            return None
        groups = names_in(certificate.subject, NameOID.ORGANIZATION_NAME)
        extra = {CREDENTIAL_ID_EXTRA: [f"X509SHA256={digest.hex()}"]}
        user = as_authenticated(User(name[0], tuple(dict.fromkeys(groups)), uids[0] if uids else "", make_extra(extra)))
        if not bound:
            return user
        cluster = cluster_of(certificate)
        # The authority signs neither, whatever it is asked for.
        if not cluster or user.name.startswith(SYSTEM_PREFIX) or any(map(is_privileged_group, groups)):
            return None
        return of_cluster(user, cluster)


class RequestHeaders:
    """Authenticates callers by the headers of a front proxy (kube-apiserver's request header authentication). The headers count
    only with a client certificate of `ca_pem` whose common name is in `allowed_names` (every name, where that is empty).
    Otherwise they are ignored.

    `peers`: the common names of the platform's shards, whose requests may have `Request.beyond_capacity`. `not_from`: the
    platform's own servers, whose certificates do not count here, even if their CA does: they pass on what clients sent.
    """

    def __init__(
        self,
        ca_pem: bytes,
        *,
        allowed_names: Collection[str] = (),
        peers: Collection[str] = (),
        not_from: RequestHeaders | None = None,
        user_headers: Sequence[str] = ("x-remote-user",),
        group_headers: Sequence[str] = ("x-remote-group",),
        uid_headers: Sequence[str] = ("x-remote-uid",),
        extra_prefixes: Sequence[str] = ("x-remote-extra-",),
    ) -> None:
        self._verifier = CertificateVerifier(ca_pem)
        self._allowed = frozenset(allowed_names)
        self._peers = frozenset(peers)
        self._not_from = not_from
        self._user_headers = tuple(name.lower() for name in user_headers)
        self._group_headers = tuple(name.lower() for name in group_headers)
        self._uid_headers = tuple(name.lower() for name in uid_headers)
        self._extra_prefixes = tuple(name.lower() for name in extra_prefixes)

    def renew(self, ca_pem: bytes) -> None:
        """Replaces the trusted CA."""
        self._verifier = CertificateVerifier(ca_pem)

    def has(self, name: str) -> bool:
        """Whether a header (in lower case) is one of those that name the caller."""
        return (
            name in self._user_headers
            or name in self._group_headers
            or name in self._uid_headers
            or name.startswith(self._extra_prefixes)
        )

    def authenticate_request(self, request: Request) -> User | None:
        der = request.client_certificate
        if der is None:
            return None
        name = next((value for header in self._user_headers if (value := request.header(header).strip())), "")
        if not name:
            return None
        if not self.trusts(der):
            return None
        if request.method == "POST" and self._peers and request.header(_BEYOND_CAPACITY):
            request.beyond_capacity = self._is_peer(der)
        groups = [value for header in self._group_headers for value in request.header_values(header)]
        uid = next((value for header in self._uid_headers if (value := request.header(header))), "")
        return as_authenticated(User(name, tuple(dict.fromkeys(groups)), uid, make_extra(self._extra(request))))

    def trusts(self, der: bytes) -> bool:
        """Whether this certificate (DER) belongs to a front proxy."""
        if self._not_from is not None and self._not_from.trusts(der):
            return False
        certificate = self._verifier.verify(der)
        if certificate is None:
            return False
        return not self._allowed or not self._allowed.isdisjoint(names_in(certificate.subject, NameOID.COMMON_NAME))

    def _is_peer(self, der: bytes) -> bool:
        certificate = self._verifier.verify(der)
        return certificate is not None and not self._peers.isdisjoint(names_in(certificate.subject, NameOID.COMMON_NAME))

    def _extra(self, request: Request) -> dict[str, list[str]]:
        extra: dict[str, list[str]] = {}
        for header in request.headers:
            lower = header.lower()
            for prefix in self._extra_prefixes:
                if lower.startswith(prefix):
                    extra.setdefault(unquote(lower.removeprefix(prefix)).lower(), request.header_values(lower))
        return extra


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
