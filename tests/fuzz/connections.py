"""Targets: what comes over a connection to a server or from one, and the credentials in it."""

from __future__ import annotations

import asyncio
import base64
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import yaml
from cryptography import x509

from tenantry.apiserver import request_info
from tenantry.apiserver.authentication import json_web_keys, json_web_tokens
from tenantry.apiserver.authentication.authenticator import InvalidToken
from tenantry.apiserver.authentication.claims import user_of
from tenantry.apiserver.authentication.jwt_verification import NotVerified, expiry, verify
from tenantry.apiserver.kubeconfig_file import KubeconfigError, read_endpoint
from tenantry.apiserver.negotiation import body_media_type, is_pretty, negotiate
from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.apiserver.timeout_parameter import check_timeout
from tenantry.http.answer_head import AnswerHead
from tenantry.http.certificates import CertificateAuthority
from tenantry.http.chunks import BadChunk, ChunkPayload, ChunkScanner, unchunked
from tenantry.http.compression import accepts_gzip
from tenantry.http.connection import ServerConnection
from tenantry.http.messages import Reply, Response
from tenantry.http.server import HttpServer
from tenantry.http.websocket import handshake
from tenantry.kube import certificates, pem
from tenantry.kube.server_configuration import authentication, authentication_validation
from tenantry.kube.server_configuration.expressions import RUN_LIMIT, TooCostly
from tests.fuzz.targets import Target
from tests.support.requests_for_certificates import request as certificate_request
from tests.support.waiting import quiet

_FAILED = b"the log of the server has the reason"
_STATUSES = re.compile(rb"HTTP/1\.1 ([2-9]\d\d)")
_MALFORMED = (b"400", b"431")
_SOME = 13
"""The number of a peer's bytes that make up a typical piece."""


class _Transport(asyncio.Transport):
    """Takes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.written += data

    def writelines(self, list_of_data: Any) -> None:
        self.written += b"".join(list_of_data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


async def _answer(request: Request) -> Reply:
    """Reads of a request all that the API server does before it knows the caller."""
    if request.websocket and isinstance(refused := handshake(request), Response):
        return refused
    check_timeout(request)
    info = request_info.parse(request.method, request.path, request)
    negotiate(request.headers.get("accept", ""), watch=info.verb == "watch", custom=len(request.path) % 2 == 0, protobuf=True)
    accepts_gzip(request.headers.get("accept-encoding", ""))
    is_pretty(request)
    body = await request.read_body(1 << 16)
    if body:
        body_media_type(request)
    return Response(200, body, "text/plain")


@cache
def _server() -> tuple[asyncio.AbstractEventLoop, HttpServer[Request]]:
    return asyncio.new_event_loop(), http_server(_answer)


def connections() -> Iterator[bytes]:
    get = b"GET /api/v1/namespaces/default/configmaps?watch=1&fieldSelector=metadata.name%3Da&timeout=5s HTTP/1.1\r\nHost: x\r\n"
    yield (
        get
        + b"Accept: application/json;as=Table;v=v1;g=meta.k8s.io;q=0.5, */*\r\nAccept-Encoding: gzip;q=1\r\n\r\n"
        + get
        + b"\r\n"
    )
    yield (
        b"POST /apis/a.b/v1/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        + get
        + b"\r\n"
    )
    yield b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n"
    yield b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\nHEAD https://x/healthz?pretty HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    key = base64.b64encode(bytes(16))
    shaken = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key
    token = base64.urlsafe_b64encode(b"token").rstrip(b"=")
    hidden = (
        b"\r\nSec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io." + token + b", base64.binary.k8s.io\r\nOrigin: a://b"
    )
    yield get + shaken + hidden + b"\r\n\r\n\x81\x80abcd"


def serve(data: bytes) -> None:
    """Whatever comes is answered, and in whatever pieces sound requests come, the first answers are the same: a refusal closes
    the connection where the body has not come yet."""
    loop, server = _server()
    found = [loop.run_until_complete(_served(server, pieces)) for pieces in ([data], _pieces(data, _SOME))]
    # The parser drops the requests that came with a malformed one, and takes what comes with an upgrade for the other protocol.
    if b"upgrade" not in data.lower() and not any(code in codes for codes in found for code in _MALFORMED):
        assert all(one == other for one, other in zip(*found, strict=False)), found


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


async def _served(server: HttpServer[Request], pieces: list[bytes]) -> list[bytes]:
    transport = _Transport()
    connection: ServerConnection = server._connection()
    connection.connection_made(transport)
    for piece in pieces:
        connection.data_received(piece)
        await quiet()
        if transport.closed:
            break
    connection.connection_lost(None)
    await quiet()
    assert connection.task is None
    written = bytes(transport.written)
    assert _FAILED not in written, written
    return _STATUSES.findall(written)


def answers() -> Iterator[bytes]:
    chunks = b"3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nT: v\r\n\r\nHTTP"
    yield b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    yield b"HTTP/1.0 404 No\r\nConnection: close, X-A\r\nX-A: b\r\nContent-Length: 12\r\n\r\n0123456789ab"


def read_answer(data: bytes) -> None:
    """The head and the chunks of another server's answer; in whatever pieces a body comes, its payload is the same."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    read = AnswerHead()
    if read.parse_status(lines[0]):
        read.parse_fields(lines, bodiless=len(head) % 7 == 0)
    found = []
    for size in (len(body) or 1, 1, _SOME):
        scanner, payload, passed, out = ChunkScanner(chunks_max=50), ChunkPayload(), b"", b""
        with suppress(BadChunk):
            for at in range(0, len(body), size):
                piece = scanner.feed(body[at : at + size])
                passed += piece
                out += payload.feed(piece)
                if scanner.done:
                    assert out == unchunked(passed)
                    break
        found.append((scanner.done, out if scanner.done else b""))
    assert found[0] == found[1] == found[2], found


_NOW = 1_700_000_000.0
_ISSUER = """
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: "https://issuer.example", audiences: [a, b], audienceMatchPolicy: MatchAny}
  claimMappings:
    username: {expression: "claims.email_verified == true ? claims.email : claims.sub"}
    groups: {claim: groups, prefix: "g:"}
    uid: {claim: sub}
    extra: [{key: example.com/t, valueExpression: "claims.?tenant.orValue('')"}]
  claimValidationRules: [{claim: hd, requiredValue: x}, {expression: "claims.exp - claims.nbf <= 86400"}]
  userValidationRules: [{expression: "!user.username.startsWith('system:')", message: never}]
"""


@cache
def _issuer() -> tuple[Any, Any]:
    configuration = authentication.read(_ISSUER.encode()).jwt[0]
    compiled, errors = authentication_validation.compile_authenticator(configuration)
    assert not errors, errors
    return configuration, compiled


class _AnyKey:
    """As the keys of an issuer who signed everything."""

    async def verify(self, token: json_web_tokens.SignedToken) -> None:
        pass


def tokens() -> Iterator[bytes]:
    claims = {"iss": "https://issuer.example", "aud": ["a"], "sub": "s", "exp": int(_NOW) + 60, "nbf": int(_NOW) - 60, "hd": "x"}
    more = {"groups": ["d"], "email": "a@b.example", "email_verified": True, "tenant": ["t"], "jti": "j"}
    sources = {"_claim_names": {"groups": "g"}, "_claim_sources": {"g": {"endpoint": "https://x", "access_token": "y"}}}
    own = {
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "a", "uid": "u"}, "pod": {"name": "p", "uid": "v"}}
    }
    rsa = {"kty": "RSA", "n": "sXchxxJ", "e": "AQAB", "kid": "k", "use": "sig"}
    curve = {"kty": "EC", "crv": "P-256", "x": base64.urlsafe_b64encode(bytes(32)).decode(), "y": "AA"}
    yield orjson.dumps([{"alg": "RS256", "kid": "k"}, claims | more, {"keys": [rsa, curve]}])
    yield orjson.dumps([{"alg": "ES256"}, claims | sources, {"keys": []}])
    yield orjson.dumps([{"alg": "RS256", "typ": "JWT"}, claims | own | {"iss": "https://kubernetes.default.svc"}, {}])


def read_token(data: bytes) -> None:
    """Tokens of issuers with any claims, and any sets of keys: a user, or why not."""
    try:
        parts = orjson.loads(data)
    except orjson.JSONDecodeError:
        json_web_tokens.parse(data.decode(errors="replace"))
        return
    with suppress(ValueError):
        json_web_keys.parse(data)
    if not isinstance(parts, list) or len(parts) != 3:
        return
    with suppress(ValueError):
        json_web_keys.parse(orjson.dumps(parts[2]))
    encoded = [base64.urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in parts]
    token = json_web_tokens.parse(".".join(encoded))
    if token is None:
        return
    configuration, compiled = _issuer()
    checked = verify(
        token,
        _AnyKey(),  # type: ignore[arg-type]
        issuer=configuration.issuer.url,
        audiences=configuration.issuer.audiences,
        algorithms=json_web_keys.ALGORITHMS,
        clock=lambda: _NOW,
    )
    try:
        with suppress(StopIteration):
            checked.send(None)
        expiry(token)
        user = user_of(configuration, compiled, token.claims, limit=RUN_LIMIT)
    except (NotVerified, InvalidToken, TooCostly) as error:
        str(error).encode(errors="surrogatepass")
        return
    finally:
        checked.close()
    orjson.dumps([user.name, user.groups, user.uid, user.extra])


def encoded() -> Iterator[bytes]:
    text = certificate_request("u", ("g",), names=("a.example",))
    block = pem.first_block(text)
    assert block is not None
    authority = CertificateAuthority.create().certificate
    yield text + authority
    yield block.data
    yield authority
    yield b"text\n-----BEGIN A-----\nk: v\n\nYQ==\n-----END A-----\n"


def read_encoded(data: bytes) -> None:
    """Certificates and requests for them, in PEM and bare."""
    for block in pem.blocks(data):
        for again in pem.blocks(pem.encode(block.type, block.data)):
            assert again.data == block.data
    certificates.certificate_error(data)
    with suppress(certificates.BadRequest):
        _read_request(certificates.parse_request(data))
    with suppress(certificates.BadRequest):
        _read_request(certificates.read_request(data))
    certificates.read_certificate(data)


def _read_request(request: x509.CertificateSigningRequest) -> None:
    certificates.check_signature(request)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="tenantry-fuzz-"))


def kubeconfigs() -> Iterator[bytes]:
    pair = CertificateAuthority.create().issue_client("us")
    user = {"token": "t", "username": "u", "password": "p", "tokenFile": "/nonexistent"}
    keyed = {"client-certificate-data": base64.b64encode(pair.certificate), "client-key-data": base64.b64encode(pair.key)}
    users: list[dict[str, Any]] = [user, {name: text.decode() for name, text in keyed.items()}, {"exec": {}}]
    for credentials in users:
        document = {
            "clusters": [{"name": "c", "cluster": {"server": "https://x/y", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "u", "user": credentials}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        yield yaml.safe_dump(document).encode()
        yield orjson.dumps(document)


def read_kubeconfig(data: bytes) -> None:
    path = _folder() / "kubeconfig"
    path.write_bytes(data)
    try:
        read_endpoint(path)
    except KubeconfigError as error:
        str(error).encode(errors="surrogatepass")


_HEADERS = (
    "Content-Length: ",
    "Transfer-Encoding: chunked",
    "Sec-WebSocket-Protocol: ",
    "Upgrade: ",
    "Accept: ",
    "/api/v1/watch/",
)
TARGETS = (
    Target(name="connections", run=serve, seeds=connections, words=_HEADERS),
    Target(name="answers", run=read_answer, seeds=answers, words=("Content-Length: ", "Transfer-Encoding: chunked", "\r\n")),
    Target(name="web-tokens", run=read_token, seeds=tokens, json_at=0, words=("iss", "aud", "exp", "crit", "email_verified")),
    Target(name="certificates", run=read_encoded, seeds=encoded, words=("-----BEGIN ", "-----END ", "CERTIFICATE REQUEST")),
    Target(name="kubeconfigs", run=read_kubeconfig, seeds=kubeconfigs, words=("cluster: ", "-data: ", "server: ")),
)
