"""`tenantry probe`: checks whether a server is ready. For containers, whose images have no curl and no grpc_health_probe."""

from __future__ import annotations

import argparse
import http.client
import os
import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from tenantry.base.flags import seconds

DEFAULT_URL = "https://127.0.0.1:6443/readyz"


class NotReady(Exception):
    """The server is not ready, or does not answer. The text says why."""


def add_command(commands: Any) -> None:
    """Adds the sub-command to an argparse sub-parser collection."""
    probe = commands.add_parser(
        "probe",
        help="check whether a server is ready",
        description="Exits with 0 if a server is ready, else with 1 and the reason. https:// requests a page and does not verify "
        "the certificate, as the kubelet. grpc:// calls gRPC's health service with the certificates under the root directory; "
        "the path is the name of a service.",
    )
    probe.add_argument(
        "url",
        nargs="?",
        default=os.environ.get("TENANTRY_PROBE_URL", DEFAULT_URL),
        help=f"https://host:port/page, http://… or grpc://host:port[/service]; default: TENANTRY_PROBE_URL or {DEFAULT_URL}",
    )
    probe.add_argument("--timeout-seconds", type=seconds, default=3.0, help="how long to wait for the answer; default: 3")
    probe.add_argument(
        "--root-directory",
        type=Path,
        default=Path(os.environ.get("TENANTRY_ROOT_DIRECTORY", ".tenantry")),
        help="directory of the certificates for grpc://; default: .tenantry",
    )
    probe.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    try:
        probe(options.url, timeout_seconds=options.timeout_seconds, root=options.root_directory)
    except NotReady as error:
        print(f"tenantry: {options.url} is not ready: {error}", file=sys.stderr)
        return 1
    return 0


def probe(url: str, *, timeout_seconds: float, root: Path) -> None:
    """Returns if the server at `url` is ready. Raises NotReady."""
    parts = urlsplit(url)
    if parts.scheme == "grpc" and parts.netloc:
        _probe_grpc(parts, timeout_seconds, root / "pki")
    elif parts.scheme in ("http", "https") and parts.hostname:
        _probe_http(parts, timeout_seconds)
    else:
        raise NotReady("the URL has to begin with https://, http:// or grpc:// and a host")


def _probe_http(parts: SplitResult, timeout_seconds: float) -> None:
    assert parts.hostname is not None
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # No verification is needed: the request has no secret, and the answer is only used as a health status.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_seconds, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_seconds)
    try:
        connection.request("GET", f"{parts.path or '/readyz'}{'?' + parts.query if parts.query else ''}")
        answer = connection.getresponse()
        if answer.status != 200:
            raise NotReady(f"{answer.status} {answer.read(2000).decode(errors='replace').strip()}")
    except (OSError, http.client.HTTPException) as error:
        raise NotReady(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _probe_grpc(parts: SplitResult, timeout_seconds: float, pki: Path) -> None:
    # These imports take 0.1 s, which a probe over HTTP does not need.
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    try:
        credentials = grpc.ssl_channel_credentials(
            (pki / "ca.crt").read_bytes(), (pki / "lookup-client.key").read_bytes(), (pki / "lookup-client.crt").read_bytes()
        )
    except OSError as error:
        raise NotReady(f"cannot read the client certificates ({error}); check --root-directory") from error
    with grpc.secure_channel(parts.netloc, credentials) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=parts.path.strip("/")), timeout=timeout_seconds
            )
        except grpc.RpcError as error:
            raise NotReady(f"{error.code().name}: {error.details()}") from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise NotReady(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
