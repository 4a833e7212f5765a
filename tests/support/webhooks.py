"""An HTTPS server that answers AdmissionReviews and ConversionReviews as a test says, in a thread of its own."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tenantry.kube.objects import Object

GROUP = "admissionregistration.k8s.io"
KINDS = {"validating": "ValidatingWebhookConfiguration", "mutating": "MutatingWebhookConfiguration"}
PLURALS = {kind: f"{name.lower()}s" for kind, name in KINDS.items()}


class Raw(NamedTuple):
    """An answer that is no review. `body` None: the connection is closed."""

    status: int
    body: bytes | None
    content_type: str = "application/json"


Reply = Callable[[Object], Object | Raw]
"""The response to a review, without its uid. It may wait, which makes the webhook slow."""


def allow(review: Object) -> Object:
    return {"allowed": True}


def deny(message: str) -> Reply:
    return lambda review: {"allowed": False, "status": {"message": message, "code": 403}}


def patch(*operations: Object) -> Reply:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda review: {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


@cache
def certificate() -> tuple[bytes, bytes]:
    """A self-signed certificate of 127.0.0.1, and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "webhook")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(serialization.Encoding.PEM), secret


class WebhookServer:
    """A context manager. `replies`: by path, how a review is answered; `allow` where nothing else is said. `seen`: the path and
    the request of each review."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.seen: list[tuple[str, Object]] = []
        self.connections = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            chain, secret = Path(folder, "tls.crt"), Path(folder, "tls.key")
            chain.write_bytes(certificate()[0])
            secret.write_bytes(certificate()[1])
            context.load_cert_chain(chain, secret)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                self.request = context.wrap_socket(self.request, server_side=True)
                super().setup()
                outer.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = outer._answer(self.path.partition("?")[0], json.loads(body))
                if answer.body is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        port: int = self._server.server_address[1]
        return port

    def client(self, path: str) -> Object:
        """A clientConfig."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": base64.b64encode(certificate()[0]).decode()}

    def webhook(self, name: str, reply: Reply = allow, **fields: Any) -> Object:
        """A webhook for ConfigMaps that is answered so. Its name is NAME.hooks.example."""
        self.replies[f"/{name}"] = reply
        return {
            "name": f"{name}.hooks.example",
            "clientConfig": self.client(f"/{name}"),
            "rules": [rule()],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **fields,
        }

    def asked(self, name: str) -> list[Object]:
        """The requests that a webhook got."""
        return [request for path, request in self.seen if path == f"/{name}"]

    def _answer(self, path: str, review: Object) -> Raw:
        request: Object = review["request"]
        self.seen.append((path, request))
        response = self.replies.get(path, allow)(review)
        if isinstance(response, Raw):
            return response
        return Raw(200, json.dumps({**review, "request": None, "response": {"uid": request["uid"], **response}}).encode())


def rule(resources: str = "configmaps", *, group: str = "", versions: str = "v1", operations: str = "*") -> Object:
    return {
        "apiGroups": [group],
        "apiVersions": versions.split(","),
        "resources": resources.split(","),
        "operations": operations.split(","),
    }


def configuration(kind: str, name: str, *webhooks: Object) -> Object:
    return {"apiVersion": f"{GROUP}/v1", "kind": KINDS[kind], "metadata": {"name": name}, "webhooks": list(webhooks)}
