"""The HTTPS server of a process, as its settings say."""

from __future__ import annotations

import socket
import sys
from functools import partial
from pathlib import Path

from tenantry.addresses import WILDCARDS
from tenantry.apiserver.edge.callers import Callers
from tenantry.apiserver.edge.certificates import CertificateAuthority, load_pair, pair_server_context, server_context
from tenantry.apiserver.edge.renewal import Certificate, Certificates
from tenantry.apiserver.edge.server import EdgeServer
from tenantry.apiserver.http import Handler
from tenantry.apiserver.limits import Limits
from tenantry.apiserver.logging import AccessLog
from tenantry.apiserver.metrics import Metrics
from tenantry.apiserver.options import HttpsOptions


def https_server(
    handler: Handler,
    options: HttpsOptions,
    *,
    limits: Limits,
    certificates: Certificates,
    serving: Certificate,
    client_ca: bytes,
    metrics: Metrics,
    callers: Callers | None = None,
) -> EdgeServer:
    """Shows `serving` unless the operator has a certificate. `client_ca`: PEM of all that issue clients' certificates. `callers`:
    for whom requests count.

    What it shows is renewed by `certificates`. Raises CertificateError.
    """
    if options.tls_cert_file:
        files = Path(options.tls_cert_file), Path(options.tls_private_key_file)
        tls = server_context(*files, client_ca_pem=client_ca)
        serving = certificates.of_files("tls-cert-file", *files)
    else:
        tls = pair_server_context(serving.pair, client_ca_pem=client_ca)
    serving.follow(partial(load_pair, tls))
    if options.client_ca_file:
        certificates.show_end("client-ca-file", client_ca)
    access_log = AccessLog(sys.stdout.buffer) if options.access_log else None
    return EdgeServer(handler, tls=tls, limits=limits, metrics=metrics, access_log=access_log, callers=callers)


def client_authority(options: HttpsOptions, authority: CertificateAuthority) -> bytes:
    """PEM of the CA by whose certificates people and controllers are known. Raises OSError."""
    return Path(options.client_ca_file).read_bytes() if options.client_ca_file else authority.certificate


def serving_names(*names: str) -> list[str]:
    """What a serving certificate is for: `names`, the first of them as its common name, and what every machine calls itself."""
    known = dict.fromkeys((*names, "127.0.0.1", "::1", "localhost", socket.gethostname()))
    return [name for name in known if name and name not in WILDCARDS]
