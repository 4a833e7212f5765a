"""The HTTPS server of a process that gateways and other processes of the platform pass requests to."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.authentication import common_names
from tenantry.apiserver.authentication.client_authority import ClientAuthority
from tenantry.apiserver.authentication.client_certificate import RequestHeaders
from tenantry.apiserver.authentication.front_proxies import FrontProxies
from tenantry.apiserver.callers import ApiCallers
from tenantry.apiserver.forwarded import FORWARDED_HEADERS
from tenantry.apiserver.request import Handler, Request
from tenantry.apiserver.serving import https_server, serving_names
from tenantry.apiserver.settings import HttpsSettings
from tenantry.base.metrics import Metrics
from tenantry.http.certificates import CertificateAuthority
from tenantry.http.renewal import Certificates
from tenantry.http.server import HttpServer


def forwarded_server(
    handler: Handler,
    settings: HttpsSettings,
    *,
    watch_buffer_bytes: int,
    address: str,
    bind_address: str,
    authority: CertificateAuthority,
    certificates: Certificates,
    clients: ClientAuthority,
    metrics: Metrics,
    tenant_of: Callable[[str], str],
    proxies: FrontProxies | None = None,
) -> HttpServer[Request]:
    """The server. Its certificate names `address`, where the others reach it, and `bind_address`.

    `tenant_of`: the tenant for which a request of a path counts. `proxies`: front proxies of the operator's. Raises
    CertificateError.
    """
    own = RequestHeaders(authority.certificate, allowed_names=common_names.FRONT_PROXIES)
    return https_server(
        handler,
        settings,
        limits=settings.limits(watch_buffer_bytes=watch_buffer_bytes, headers=FORWARDED_HEADERS),
        certificates=certificates,
        serving=certificates.serving("serving", serving_names(address, bind_address)),
        clients=clients,
        # Gateways and shards have certificates of the platform's CA, even if clients have those of another CA.
        servers_ca=authority.certificate if settings.client_ca_file else b"",
        metrics=metrics,
        callers=ApiCallers(
            tenant_of,
            certificates=clients.identities(front_proxies=common_names.FRONT_PROXIES),
            headers=(own,) if proxies is None else (own, proxies.headers),
        ),
        proxies=proxies,
    )
