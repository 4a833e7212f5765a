"""The HTTP servers of a process: their settings, and Kubernetes' answers to errors."""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path

from tenantry.apiserver.access_log import AccessRequestLog
from tenantry.apiserver.authentication.client_authority import ClientAuthority
from tenantry.apiserver.authentication.front_proxies import FrontProxies
from tenantry.apiserver.callers import ApiCallers
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.error_responses import refusal
from tenantry.apiserver.request import Handler, Request
from tenantry.apiserver.settings import HttpsSettings
from tenantry.base.logs import AccessLog
from tenantry.base.metrics import Metrics
from tenantry.http.certificates import pair_server_context, server_context
from tenantry.http.limits import Limits
from tenantry.http.listen_addresses import WILDCARDS
from tenantry.http.renewal import Certificate, Certificates
from tenantry.http.server import HttpServer


def http_server(
    handler: Handler,
    *,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    metrics: Metrics | None = None,
    access_log: AccessLog | None = None,
    callers: ApiCallers | None = None,
) -> HttpServer[Request]:
    """A server that answers errors with a Status. Without `callers`, requests count by their credentials only, and not by
    tenant."""
    return HttpServer(
        handler,
        make=Request,
        refusal=refusal,
        callers=callers or ApiCallers(),
        tls=tls,
        limits=limits,
        metrics=metrics,
        request_log=AccessRequestLog(access_log) if access_log is not None else None,
        probes=HEALTH_PATHS,
    )


def https_server(
    handler: Handler,
    settings: HttpsSettings,
    *,
    limits: Limits,
    certificates: Certificates,
    serving: Certificate,
    clients: ClientAuthority,
    servers_ca: bytes = b"",
    metrics: Metrics,
    callers: ApiCallers | None = None,
    proxies: FrontProxies | None = None,
) -> HttpServer[Request]:
    """The HTTPS server of the API, configured by `settings`.

    Its certificate is `serving`, unless the operator gives one; `certificates` renews it. `clients`, `servers_ca` (PEM) or the CA
    of `proxies` may have issued the client certificates. `callers` says for which tenant a request counts. Raises
    CertificateError.
    """
    if settings.tls_cert_file:
        files = Path(settings.tls_cert_file), Path(settings.tls_private_key_file)
        # Its error text names the files.
        server_context(*files)
        serving = certificates.of_files("tls-cert-file", *files)
    access_log = AccessLog(sys.stdout.buffer) if settings.access_log else None

    def tls() -> ssl.SSLContext:
        of_proxies = proxies.authority.pem if proxies is not None else b""
        return pair_server_context(serving.pair, client_ca_pem=_joined(clients.trusted, servers_ca, of_proxies))

    server = http_server(handler, tls=tls(), limits=limits, metrics=metrics, access_log=access_log, callers=callers)
    serving.follow(server.load_pair)
    # A CA cannot be removed from a TLS context, and its session tickets still accept earlier clients.
    clients.follow(lambda _: server.renew(tls()))
    if proxies is not None:
        proxies.authority.follow(lambda _: server.renew(tls()))
    return server


def _joined(*pems: bytes) -> bytes:
    return b"\n".join(pem for pem in pems if pem)


def serving_names(*names: str) -> list[str]:
    """The names of a serving certificate: `names`, whose first is the common name, and this machine's names for itself."""
    known = dict.fromkeys((*names, "127.0.0.1", "::1", "localhost", socket.gethostname()))
    return [name for name in known if name and name not in WILDCARDS]
