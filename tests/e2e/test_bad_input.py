"""What clients send that they should not, and clients that vanish: each has its Status, and nobody else feels it."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.people import Person, bind
from tests.support.api import CONFIG_MAPS, NAMESPACES, WORKSPACES, Answer, Api, Object, config_map
from tests.support.waiting import wait_for

MERGE = "application/merge-patch+json"


def refused(answer: Answer, status: int, reason: str) -> Object:
    found = answer.expect(status)
    assert (found["kind"], found["status"], found["code"], found["reason"]) == ("Status", "Failure", status, reason)
    assert found["message"] and "Traceback" not in answer.text
    return found


def test_unknown_workspace(root: Api, person: Callable[[], Person]) -> None:
    found = refused(root.cluster("root:nothing:here").request("GET", NAMESPACES), 404, "NotFound")
    assert found["details"]["kind"] == "workspaces" and "root:nothing:here" in found["message"]
    somebody = root.caller(person().token)
    for place in ("root:nothing", "rnosuchclusterid"):
        assert somebody.cluster(place).status_of("GET", NAMESPACES) in (403, 404)
        assert root.cluster(place).status_of("POST", CONFIG_MAPS, config_map("lost")) in (403, 404)
    assert root.cluster("").status_of("GET", NAMESPACES) in (400, 403, 404)


@pytest.mark.parametrize(
    "path", ["Root", "root:", ":root", "root::a", "root:-a", "root:a-", "root:A", "root:a_b", "root:" + "a" * 64]
)
def test_bad_path(root: Api, path: str) -> None:
    refused(root.cluster(path).request("GET", NAMESPACES), 400, "BadRequest")


def test_unknown_api_and_resource(place: Api) -> None:
    for path in ("/apis/nothing.example/v1/things", "/api/v1/things", "/api/v1/namespaces/default/things", "/nothing"):
        assert place.status_of("GET", path) == 404
    refused(place.request("GET", f"{CONFIG_MAPS}/nothing"), 404, "NotFound")
    assert place.status_of("GET", "/clusters/root/api/v1/namespaces") == 404, "a cluster in a cluster is no path"


def test_method_that_a_resource_has_not(place: Api) -> None:
    refused(place.request("POST", f"{CONFIG_MAPS}/name", config_map("name")), 405, "MethodNotAllowed")
    refused(place.request("PUT", CONFIG_MAPS, config_map("name")), 405, "MethodNotAllowed")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b"[]", b'"text"', b"\xff\xfe", b'{"kind":"ConfigMap","apiVersion":"v1",}']
)
def test_garbage(place: Api, body: bytes) -> None:
    refused(place.request("POST", CONFIG_MAPS, body), 400, "BadRequest")


def test_wrong_kind_version_and_namespace(place: Api) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}
    refused(place.request("POST", CONFIG_MAPS, secret), 400, "BadRequest")
    refused(place.request("POST", CONFIG_MAPS, config_map("x") | {"apiVersion": "v2"}), 400, "BadRequest")
    refused(place.request("POST", CONFIG_MAPS, config_map("x", namespace="other")), 400, "BadRequest")
    refused(place.request("POST", CONFIG_MAPS, config_map("x") | {"data": {"a": 1}}), 400, "BadRequest")
    refused(place.request("POST", CONFIG_MAPS, config_map("Not A Name")), 422, "Invalid")
    place.create(CONFIG_MAPS, config_map("here"))
    refused(place.request("PUT", f"{CONFIG_MAPS}/here", config_map("there")), 400, "BadRequest")


def test_unknown_content_types(place: Api) -> None:
    refused(place.request("POST", CONFIG_MAPS, config_map("x"), content_type="text/plain"), 415, "UnsupportedMediaType")
    place.create(CONFIG_MAPS, config_map("x"))
    answer = place.request("PATCH", f"{CONFIG_MAPS}/x", {}, content_type="application/json")
    refused(answer, 415, "UnsupportedMediaType")
    answer = place.request("GET", f"{CONFIG_MAPS}/x", headers={"Accept": "image/png"})
    refused(answer, 406, "NotAcceptable")


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_too_deep(place: Api, opening: str) -> None:
    body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"deep"},"data":' + opening * 50_000
    assert place.status_of("POST", CONFIG_MAPS, body.encode()) in (400, 413)
    assert place.status_of("PATCH", f"{CONFIG_MAPS}/kube-root-ca.crt", (opening * 50_000).encode(), content_type=MERGE) == 400
    assert place.status_of("GET", f"{CONFIG_MAPS}/deep") == 404


def test_too_big(place: Api) -> None:
    three = 3 * 1024 * 1024
    refused(place.request("POST", CONFIG_MAPS, config_map("big", {"value": "x" * three})), 413, "RequestEntityTooLarge")
    # Below the limit of requests an object has one of its own.
    found = place.request("POST", CONFIG_MAPS, config_map("big", {"value": "x" * (three // 2)}))
    assert found.status in (413, 422)
    assert place.status_of("GET", f"{CONFIG_MAPS}/big") == 404
    place.create(CONFIG_MAPS, config_map("big", {"value": "x" * 1_000_000}))


def test_unknown_token(root: Api) -> None:
    stranger = root.caller("made-up")
    found = refused(stranger.request("GET", NAMESPACES), 401, "Unauthorized")
    assert found["message"] == "Unauthorized"
    assert stranger.status_of("GET", "/livez") == 401
    header, payload, _ = ["a", "b", "c"]
    assert root.caller(f"{header}.{payload}.").status_of("GET", NAMESPACES) == 401


def test_no_token_is_anonymous(root: Api) -> None:
    found = refused(root.caller("").request("GET", NAMESPACES), 403, "Forbidden")
    assert 'User "system:anonymous"' in found["message"]


def test_identity_headers_of_a_proxy_are_nothing(root: Api, person: Callable[[], Person]) -> None:
    forged = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
    assert root.caller(person().token).status_of("GET", f"{NAMESPACES}/default/secrets", headers=forged) == 403
    assert root.caller("").status_of("GET", f"{NAMESPACES}/default/secrets", headers=forged) == 403


def test_nobody_impersonates_upwards(root: Api, person: Callable[[], Person]) -> None:
    somebody = root.caller(person().token)
    for group in ("system:masters", "system:kcp:admin"):
        headers = {"Impersonate-User": "admin", "Impersonate-Group": group}
        assert somebody.status_of("GET", NAMESPACES, headers=headers) == 403


def test_stale_version(place: Api) -> None:
    made = place.create(CONFIG_MAPS, config_map("one"))
    place.patch(f"{CONFIG_MAPS}/one", {"data": {"a": "b"}})
    refused(place.request("PUT", f"{CONFIG_MAPS}/one", made | {"data": {"a": "c"}}), 409, "Conflict")
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"a": "d"}}
    refused(place.request("PATCH", f"{CONFIG_MAPS}/one", stale, content_type=MERGE), 409, "Conflict")
    preconditions = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "another"}}
    refused(place.request("DELETE", f"{CONFIG_MAPS}/one", preconditions), 409, "Conflict")
    assert place.get(f"{CONFIG_MAPS}/one")["data"] == {"a": "b"}


def test_bad_versions_and_selectors(place: Api) -> None:
    refused(place.request("GET", CONFIG_MAPS, resourceVersion="soon"), 400, "BadRequest")
    refused(place.request("GET", CONFIG_MAPS, labelSelector="a in"), 400, "BadRequest")
    refused(place.request("GET", CONFIG_MAPS, fieldSelector="data.a=b"), 400, "BadRequest")
    refused(place.request("GET", CONFIG_MAPS, limit="many"), 400, "BadRequest")
    refused(place.request("GET", f"{CONFIG_MAPS}?continue=nonsense"), 400, "BadRequest")
    far = str(int(place.get(CONFIG_MAPS)["metadata"]["resourceVersion"]) + (1 << 60))
    assert place.status_of("GET", CONFIG_MAPS, resourceVersion=far) in (400, 410, 504)


def test_old_watch_version_is_gone(place: Api) -> None:
    with place.watch(CONFIG_MAPS, resourceVersion="1") as watch:
        (event,) = list(watch)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


LARGE: list[Callable[[int], Object | bytes]] = [
    lambda number: config_map("n" * 2_600_000 + str(number)),
    lambda number: b'{"data":[' + b",".join([b'{"a":"b"}'] * 280_000) + b"]}",
    lambda number: {**config_map("a"), **{f"x{i}": number for i in range(150_000)}},
    lambda number: config_map("a", labels={f"k{i}-{number}": "/" for i in range(100_000)}),
    lambda number: b'{"data":{' + b",".join(b'"k%d":{}' % i for i in range(200_000)) + b"}}",
]


@pytest.mark.one_process("the memory of one process is measured")
def test_large_bodies_that_are_refused_leave_no_memory_behind(place: Api, admin: Api, person: Callable[[], Person]) -> None:
    """Neither in a cache, nor in a cycle that nobody collects, nor in the heaps of Python and of the C library, once the tenant
    that sent them is gone: an open connection keeps the block of memory that it was last used in."""
    someone = person()
    bind(place, someone.subject, "cluster-admin", name="someone")
    tenant = place.caller(someone.token)
    assert wait_for(lambda: tenant.status_of("GET", CONFIG_MAPS) == 200)

    def resident_mib() -> float:
        for line in admin.request("GET", "/metrics").text.splitlines():
            if line.startswith("process_resident_memory_bytes "):
                return float(line.partition(" ")[2]) / (1 << 20)
        raise AssertionError("the metrics do not tell how much memory is used")

    def refused(number: int) -> None:
        body = LARGE[number % len(LARGE)](number)
        answer = tenant.request("POST", f"{CONFIG_MAPS}?dryRun=All&fieldValidation=Strict", body)
        assert answer.status in (400, 413, 422, 429), answer.text[:500]

    for number in range(2):
        refused(number)
    before = resident_mib()
    with ThreadPoolExecutor(8) as together:
        list(together.map(refused, range(40)))
    tenant.hang_up()
    asked = time.monotonic()

    def is_returned() -> bool:
        """Asks every three seconds: the metrics are a large answer too, and many of these are a burst of their own."""
        nonlocal asked
        if time.monotonic() < asked + 3:
            return False
        asked = time.monotonic()
        return resident_mib() - before <= 32

    assert wait_for(is_returned)


def _connect(api: Api) -> ssl.SSLSocket:
    parts = urlsplit(api.url)
    assert parts.hostname and parts.port
    plain = socket.create_connection((parts.hostname, parts.port), timeout=60)
    return ssl.create_default_context(cafile=api.ca).wrap_socket(plain, server_hostname=parts.hostname)


def _head(api: Api, method: str, path: str, *more: str) -> bytes:
    lines = [f"{method} {urlsplit(api.url).path}{path} HTTP/1.1", "Host: test", f"Authorization: Bearer {api.token}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_slow_watcher_is_dropped_alone(place: Api) -> None:
    """A watcher that reads nothing loses its connection; one beside it sees every event; writers are not held up."""
    size, count = 100_000, 250
    slow = _connect(place)
    slow.sendall(_head(place, "GET", f"{CONFIG_MAPS}?watch=true"))
    assert slow.recv(15).startswith(b"HTTP/1.1 200")
    place.create(CONFIG_MAPS, config_map("noisy"))
    version = place.get(CONFIG_MAPS)["metadata"]["resourceVersion"]
    seen: list[str] = []

    def follow() -> None:
        with place.watch(CONFIG_MAPS, resourceVersion=version) as watch:
            for event in watch:
                seen.append(event["object"]["data"]["number"])
                if len(seen) == count:
                    return

    fast = threading.Thread(target=follow)
    fast.start()
    for number in range(count):
        place.patch(f"{CONFIG_MAPS}/noisy", {"data": {"number": str(number), "value": "x" * size}})
    fast.join(60)
    assert seen == [str(n) for n in range(count)]
    received = 0
    try:
        while piece := slow.recv(1 << 16):
            received += len(piece)
    except (ConnectionError, ssl.SSLError):
        pass
    slow.close()
    assert received < size * count, "it was cut off before the end"


def test_client_gone_amid_a_write(place: Api) -> None:
    """What was sent whole is there whole or not at all; what was sent in part is not there."""
    for number in range(30):
        body = json.dumps(config_map(f"gone-{number}", {"value": "x" * 50_000})).encode()
        sent = len(body) if number % 2 else len(body) // 2
        connection = _connect(place)
        head = _head(place, "POST", CONFIG_MAPS, "Content-Type: application/json", f"Content-Length: {len(body)}")
        connection.sendall(head + body[:sent])
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
    place.create(CONFIG_MAPS, config_map("after"))

    def whole() -> bool:
        found = {c["metadata"]["name"]: c for c in place.items(CONFIG_MAPS) if c["metadata"]["name"].startswith("gone-")}
        assert all(c["data"]["value"] == "x" * 50_000 for c in found.values())
        assert all(int(name.removeprefix("gone-")) % 2 for name in found)
        return True

    assert wait_for(whole)


def test_half_a_request_hurts_nobody(root: Api) -> None:
    connections = [_connect(root) for _ in range(20)]
    for connection in connections:
        connection.sendall(b"GET /clusters/root/api/v1/namespaces HTTP/1.1\r\nHost: x\r\nX-Half")
    assert root.names(NAMESPACES)
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    "head",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /clusters/root/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_bad_http(root: Api, head: bytes) -> None:
    connection = _connect(root)
    connection.sendall(head)
    answer = connection.recv(1 << 16)
    connection.close()
    assert not answer or answer.split()[1][:1] == b"4"
    assert root.names(NAMESPACES)


def test_workspace_names(place: Api) -> None:
    for name in ("UPPER", "with.dot", "-a", "a-", "a" * 64, "with:colon"):
        body: dict[str, Any] = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}}
        refused(place.request("POST", WORKSPACES, body), 422, "Invalid")
