"""The authority that signs client certificates of logical clusters: what CertificateSigningRequests for the API server get.

Its certificates are good in one logical cluster, whose id is in the certificate. It is not the platform's own
authority, whose certificates are good everywhere. Its key is derived from that one's, so that all processes have it without
sharing another secret, and it ends with it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tenantry.apiserver.user import SYSTEM_PREFIX, is_privileged_group
from tenantry.http.certificates import CertificateAuthority

LIFE_SECONDS = 365 * 86400
"""The longest life of a certificate, and that of one for which no other was asked (kube-controller-manager's default)."""
SHORTEST_LIFE_SECONDS = 600
_NAME = "tenantry-clusters-ca"
_PURPOSE = "client certificates of logical clusters"
_CLUSTER = "urn:tenantry:cluster:"
"""Before the id of the cluster, in the alternative name of the issuer. An extension of our own would be no better: Go reads no
certificate that has an identifier of X.667 (a UUID), and others need a registry."""
_BACKDATE = timedelta(minutes=5)
_SHORT_LIFE_SECONDS = 8 * 3600
_USAGES = ("client auth", "digital signature", "key encipherment")


class Refused(Exception):
    """The authority does not sign this request, now or later. The text says why."""


class ClusterAuthority:
    """Signs certificates for clients of one logical cluster each. `authority`: that of the platform."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self._authority = authority.derived(_PURPOSE, _NAME)

    @property
    def pem(self) -> bytes:
        """The certificate of this authority (PEM)."""
        return self._authority.certificate

    def sign(
        self,
        request: x509.CertificateSigningRequest,
        cluster: str,
        *,
        usages: Collection[str],
        life_seconds: int | None = None,
    ) -> bytes:
        """A certificate (PEM) for the subject of a request, whose signature is checked already.

        `life_seconds`: what the requester asks for. As kube-controller-manager's, the certificate is valid five minutes before
        now, and is not shorter for it if it lives less than eight hours. Raises Refused, CertificateError (the authority has
        expired).
        """
        check_usages(usages)
        check_subject(request.subject)
        seconds = LIFE_SECONDS if life_seconds is None else min(max(life_seconds, SHORTEST_LIFE_SECONDS), LIFE_SECONDS)
        now = self._authority.now()
        end = now + timedelta(seconds=seconds)
        if seconds >= _SHORT_LIFE_SECONDS:
            end -= _BACKDATE
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(min(end, self._authority.end))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_issuer_of(cluster), critical=False)
        )
        usage = _key_usage(usages)
        if usage is not None:
            builder = builder.add_extension(usage, critical=True)
        try:
            names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            pass
        else:
            builder = builder.add_extension(names, critical=False)
        return self._authority.sign(builder).public_bytes(Encoding.PEM)


def check_usages(usages: Collection[str]) -> None:
    """Raises Refused for usages that a client of the API server does not need (kube-controller-manager's rule)."""
    for usage in usages:
        if usage not in _USAGES:
            raise Refused(f"invalid usage for client certificate: {usage}")
    if "client auth" not in usages:
        raise Refused("missing required usage for client certificate: client auth")


def check_subject(subject: x509.Name) -> None:
    """Raises Refused for a subject that would be no user, or one that only the platform itself names: users `system:…`, and
    groups with more rights than a login has. kcp refuses the same of users that a workspace authenticates itself."""
    users = names_in(subject, NameOID.COMMON_NAME)
    if len(users) != 1 or not users[0]:
        raise Refused("the subject needs one common name, which is the name of the user")
    if users[0].startswith(SYSTEM_PREFIX):
        raise Refused(f"the user {users[0]} is one of the system's, and gets no certificate of a workspace")
    for group in names_in(subject, NameOID.ORGANIZATION_NAME):
        if is_privileged_group(group):
            raise Refused(f"the group {group} is one of the system's, and is in no certificate of a workspace")


def cluster_of(certificate: x509.Certificate) -> str:
    """The logical cluster that a certificate of this authority is for. Empty where it names none."""
    try:
        issuer = certificate.extensions.get_extension_for_class(x509.IssuerAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return ""
    names = issuer.get_values_for_type(x509.UniformResourceIdentifier)
    return names[0].removeprefix(_CLUSTER) if len(names) == 1 and names[0].startswith(_CLUSTER) else ""


def _issuer_of(cluster: str) -> x509.IssuerAlternativeName:
    return x509.IssuerAlternativeName([x509.UniformResourceIdentifier(_CLUSTER + cluster)])


def names_in(subject: x509.Name, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in subject.get_attributes_for_oid(oid)]


def _key_usage(usages: Collection[str]) -> x509.KeyUsage | None:
    """None: what the key may be used for is not restricted. An extension that allows nothing would be no certificate at all."""
    if "digital signature" not in usages and "key encipherment" not in usages:
        return None
    return x509.KeyUsage(
        digital_signature="digital signature" in usages,
        content_commitment=False,
        key_encipherment="key encipherment" in usages,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
