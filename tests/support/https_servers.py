"""Servers outside of the platform that it calls: a token issuer, and webhooks that review. They answer as tests tell them."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tenantry.http.certificates import CertificateAuthority, pair_server_context

Answer = tuple[int, Any]
"""The code, and what is answered: bytes as they are, all else as JSON."""
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class HttpsServer:
    """Runs in a thread, for the time of a `with` block. `answer`: (path, body) → the answer. `requests`: (path, body, headers) of
    all requests so far. `ca`: the CA of its certificate in PEM."""

    def __init__(self, answer: Callable[[str, Any], Answer] | None = None) -> None:
        self._authority = CertificateAuthority.create()
        self.ca = self._authority.certificate.decode()
        self.requests: list[tuple[str, Any, dict[str, str]]] = []
        self.answer = answer or (lambda path, body: (404, {}))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                outer.requests.append((self.path, body, {k.lower(): v for k, v in self.headers.items()}))
                code, content = outer.answer(self.path, body)
                sent = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(code)
                if code in (301, 302, 307):
                    self.send_header("Location", str(content))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        tls: ssl.SSLContext = pair_server_context(self._authority.issue_serving(["127.0.0.1"]))
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, path: Path, **user: str) -> Path:
        """Writes a kubeconfig for a webhook at this server."""
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "webhook",
                    "clusters": [
                        {
                            "name": "webhook",
                            "cluster": {"server": f"{self.url}/review", "certificate-authority": str(self._ca(path))},
                        }
                    ],
                    "users": [{"name": "webhook", "user": user}],
                    "contexts": [{"name": "webhook", "context": {"cluster": "webhook", "user": "webhook"}}],
                }
            )
        )
        return path

    def _ca(self, beside: Path) -> Path:
        path = beside.with_suffix(".crt")
        path.write_text(self.ca)
        return path


class TokenIssuerServer(HttpsServer):
    """An OpenID issuer. `keys`: key id → its keys, which it publishes. `broken`: answers 500."""

    def __init__(self) -> None:
        super().__init__(self._published)
        self.keys: dict[str, SigningKey] = {"first": rsa.generate_private_key(65537, 2048)}
        self.broken = False
        self.more: dict[str, Answer] = {}
        """Path → another answer."""

    def token(self, *, key_id: str = "first", key: SigningKey | None = None, algorithm: str = "", **claims: Any) -> str:
        """A token for an hour, of the audience `tenantry`. A claim that is None is left out."""
        signer = key or self.keys[key_id]
        now = int(time.time())
        whole = {"iss": self.url, "aud": "tenantry", "sub": "s-1", "iat": now, "exp": now + 3600, **claims}
        present = {name: value for name, value in whole.items() if value is not None}
        name = algorithm or ("RS256" if isinstance(signer, rsa.RSAPrivateKey) else "ES256")
        return jwt.encode(present, signer, algorithm=name, headers={"kid": key_id} if key_id else None)

    def reads_of_keys(self) -> int:
        return sum(path == "/keys" for path, *_ in self.requests)

    def _published(self, path: str, body: Any) -> Answer:
        if self.broken:
            return 500, {"error": "broken"}
        if path in self.more:
            return self.more[path]
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            return 200, {"keys": [_jwk(name, key) for name, key in self.keys.items()]}
        return 404, {}


def _jwk(key_id: str, key: SigningKey) -> dict[str, Any]:
    kind: Any = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": key_id}
