"""Front proxies of the operator's (kube-apiserver's --requestheader-* flags): they authenticate with a client certificate of a CA
of their own, and name their callers in headers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from tenantry.apiserver.authentication.client_authority import ClientAuthority
from tenantry.apiserver.authentication.client_certificate import RequestHeaders
from tenantry.apiserver.authentication.settings import FrontProxySettings
from tenantry.base.flags import SettingError, each_listed
from tenantry.http.renewal import Certificates


@dataclass(frozen=True, slots=True)
class FrontProxies:
    """`authority`: the CA of their certificates, which TLS has to trust. `headers`: authenticates by their headers."""

    authority: ClientAuthority
    headers: RequestHeaders


def front_proxies(
    settings: FrontProxySettings, certificates: Certificates, clients: ClientAuthority, *, own: RequestHeaders | None = None
) -> FrontProxies | None:
    """Returns those of the settings, None where there are none. `certificates` follows their CA. `clients`: the CA of other
    client certificates. `own`: the platform's servers, which are none of these. Raises CertificateError, SettingError."""
    if not settings.requestheader_client_ca_file:
        return None
    authority = ClientAuthority.read(Path(settings.requestheader_client_ca_file), name="requestheader-client-ca-file")
    allowed_names = each_listed(settings.requestheader_allowed_names)
    if not allowed_names and _certificates_of(authority.pem) & _certificates_of(clients.pem):
        raise SettingError(
            "--requestheader-client-ca-file and --client-ca-file contain overlapping certificates; --requestheader-allowed-names "
            "must be specified to ensure regular client certificates cannot set authenticating proxy headers for arbitrary users"
        )
    headers = RequestHeaders(
        authority.pem,
        allowed_names=allowed_names,
        not_from=own,
        user_headers=each_listed(settings.requestheader_username_headers),
        uid_headers=each_listed(settings.requestheader_uid_headers),
        group_headers=each_listed(settings.requestheader_group_headers),
        extra_prefixes=each_listed(settings.requestheader_extra_headers_prefix),
    )
    authority.follow(headers.renew)
    certificates.keep(authority)
    return FrontProxies(authority, headers)


def _certificates_of(pem: bytes) -> frozenset[x509.Certificate]:
    return frozenset(x509.load_pem_x509_certificates(pem))
