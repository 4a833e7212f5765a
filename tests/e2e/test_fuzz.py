"""Requests that no client would send, thousands of them: refused in the words of the API, and never with a 500 of ours.

The dice are the same in every run. `TENANTRY_FUZZ_REQUESTS` and `TENANTRY_FUZZ_SEED` throw more of them, or others.
"""

from __future__ import annotations

import gzip
import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e import provider
from tests.e2e.fuzzing import QUOTAS, THINGS, Fuzzer, made
from tests.support.api import (
    API_BINDINGS,
    CONFIG_MAPS,
    CRDS,
    PATCHES,
    WORKSPACES,
    Answer,
    Api,
    Object,
    config_map,
)
from tests.support.forms import Platform
from tests.support.waiting import wait_for

REQUESTS = int(os.environ.get("TENANTRY_FUZZ_REQUESTS", "800"))
SEED = int(os.environ.get("TENANTRY_FUZZ_SEED", "1"))
OURS = "the log of the server has the reason"
"""In the text of a 500 that nobody meant. Those that kube-apiserver has too, though it is the client who is wrong, say why."""


def checked(answer: Answer, request: object) -> Answer:
    assert b"Traceback" not in answer.body, request
    assert b'File "/' not in answer.body, request
    assert OURS not in answer.text and answer.status <= 500, f"{request}: {answer.status} {answer.text[:600]}"
    return answer


@pytest.fixture
def quiet_log(server: Platform) -> Iterator[None]:
    """No request may have failed by the end: the logs would say so."""
    before = {path: path.stat().st_size for path in server.logs}
    yield
    for path, size in before.items():
        with path.open("rb") as log:
            log.seek(size)
            text = log.read().decode()
        assert "request failed" not in text, text[text.index("request failed") - 200 :][:3000]
        assert "stream failed" not in text


def definition() -> Object:
    """A custom resource of many kinds of fields."""
    text, number = {"type": "string"}, {"type": "integer"}
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    pair = {"type": "object", "required": ["k"], "properties": {"k": text, "v": {"x-kubernetes-int-or-string": True}}}
    spec = {
        "type": "object",
        "x-kubernetes-validations": [{"rule": "!has(self.replicas) || self.replicas < 100"}],
        "properties": {
            "replicas": number | {"default": 1},
            "when": text | {"format": "date-time"},
            "map": {"type": "object", "additionalProperties": text},
            "pairs": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": pair},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": number},
            "any": anything,
            "embedded": anything | {"x-kubernetes-embedded-resource": True},
            "fraction": {"type": "number", "nullable": True, "maximum": 5},
        },
    }
    status = {"type": "object", "properties": {"replicas": number, "selector": text}}
    paths = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}, "scale": paths},
        "additionalPrinterColumns": [{"name": "Age", "type": "date", "jsonPath": ".spec.when"}],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
    }
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    return made("apiextensions.k8s.io/v1", "CustomResourceDefinition", "things.fuzz.example", spec={
        "group": "fuzz.example", "scope": "Namespaced", "names": names, "versions": [version]
    })  # fmt: skip


@pytest.fixture(scope="module")
def workspace(root: Api, form: str) -> Api:
    return root.workspace(f"fuzz-{form}")


@pytest.fixture
def arena(workspace: Api) -> Api:
    """A workspace with things, for all of the tests here. Dice also delete whole collections, definitions among them."""
    has_things(workspace)
    return workspace


def has_things(place: Api) -> None:
    def served() -> bool:
        found = place.request("GET", f"{CRDS}/things.fuzz.example")
        if found.status == 404:
            place.create(CRDS, definition())
            return False
        return "deletionTimestamp" not in found.object["metadata"] and place.status_of("GET", THINGS) == 200

    wait_for(served, "the type is served")


@pytest.mark.usefixtures("quiet_log")
def test_no_request_is_too_odd(arena: Api) -> None:
    fuzzer = Fuzzer(SEED)
    codes = set()
    for _ in range(REQUESTS):
        method, path, body, media_type, accept = request = fuzzer.request()
        answer = arena.request(method, path, body, content_type=media_type, headers={"Accept": accept})
        codes.add(checked(answer, request).status)
        if method == "DELETE" and path.partition("?")[0] == CRDS and answer.status == 200:
            has_things(arena)
    assert {200, 201, 400, 404, 405, 406, 415, 422} <= codes, "it is no fuzzing where all is refused at the door"


ODD_WRITES: list[tuple[str, str, Any, str]] = [
    ("PATCH", f"{CONFIG_MAPS}/a?fieldManager=x", made({}, "ConfigMap"), PATCHES["apply"]),  # type: ignore[arg-type]
    ("PATCH", f"{CONFIG_MAPS}/a?fieldManager=x", {"apiVersion": "v1", "kind": [], "metadata": {}}, PATCHES["apply"]),
    ("PATCH", f"{CONFIG_MAPS}/a?fieldManager=x", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": "x"}, PATCHES["apply"]),
    ("PATCH", f"{CONFIG_MAPS}/a", {"apiVersion": []}, PATCHES["merge"]),
    ("PATCH", f"{CONFIG_MAPS}/a", [{"op": "copy", "from": "/metadata", "path": "/kind"}], PATCHES["json"]),
    ("PATCH", f"{CONFIG_MAPS}/a", [{"op": "replace", "path": "", "value": [1]}], PATCHES["json"]),
    ("PATCH", f"{THINGS}/a", [{"op": "replace", "path": "", "value": None}], PATCHES["json"]),
    ("PATCH", f"{THINGS}/a/scale", [{"op": "replace", "path": "", "value": [1]}], PATCHES["json"]),
    ("PATCH", f"{THINGS}/a/scale", {"spec": {"replicas": 1 << 64}}, PATCHES["merge"]),
    ("PATCH", f"{THINGS}/a/scale", {"metadata": {"name": [], "resourceVersion": {}, "uid": 5}}, PATCHES["merge"]),
    ("PUT", f"{THINGS}/a/scale", {"metadata": {"name": "a", "resourceVersion": 5}, "spec": {"replicas": 1 << 40}}, ""),
    ("PUT", f"{THINGS}/a/scale", {"metadata": {"name": "a", "resourceVersion": {}}, "spec": [1]}, ""),
    ("PATCH", f"{THINGS}/a", {"apiVersion": {"x": 1}}, PATCHES["merge"]),
    ("PATCH", f"{THINGS}/a", {"kind": True}, PATCHES["merge"]),
    ("POST", QUOTAS, made("v1", "ResourceQuota", spec={"hard": {"configmaps": "9" * 40}}), ""),
    ("POST", QUOTAS, made("v1", "ResourceQuota", spec={"hard": {"cpu": 1e60}}), ""),
    ("POST", API_BINDINGS, provider.binding("root", "a") | {"spec": {"reference": "x"}}, ""),
    ("POST", API_BINDINGS, provider.binding("root", "a") | {"spec": {"reference": {"export": {"path": [], "name": {}}}}}, ""),
    ("POST", WORKSPACES, made("tenancy.kcp.io/v1alpha1", "Workspace", "x", spec="x"), ""),
    ("POST", WORKSPACES, made("tenancy.kcp.io/v1alpha1", "Workspace", "x", spec={"type": {"path": "root"}}), ""),
    ("POST", WORKSPACES, made("tenancy.kcp.io/v1alpha1", "Workspace", "x", spec={"type": {"name": {}, "path": []}}), ""),
    ("POST", THINGS, made("fuzz.example/v1", "Thing", "x", spec={"any": {"n": 1 << 64}}), ""),
    ("POST", THINGS, made("fuzz.example/v1", "Thing", "x", spec={"replicas": 1 << 70}), ""),
    ("POST", CRDS, made("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec=False), ""),
    ("POST", CRDS, made("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec=None), ""),
    ("POST", CRDS, made("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec={"names": None}), ""),
    ("POST", CRDS, made("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec={"versions": [{"schema": {
        "openAPIV3Schema": {"maxLength": 1 << 64}
    }}]}), ""),
]  # fmt: skip
"""Each of these was a 500 once, or nearly."""


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize(("method", "path", "body", "media_type"), ODD_WRITES)
def test_odd_writes(arena: Api, method: str, path: str, body: Any, media_type: str) -> None:
    for where, obj in ((CONFIG_MAPS, config_map("a")), (THINGS, made("fuzz.example/v1", "Thing"))):
        arena.request("DELETE", f"{where}/a")
        arena.create(where, obj)
    checked(arena.request(method, path, body, content_type=media_type or "application/json"), body)


BOMBS: dict[str, bytes] = {
    "depth in flow style": b"[" * 500_000,
    "depth in block style": b"- " * 200_000,
    "aliases": "\n".join(
        ["a0: &a0 [x]", *(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 15))]
    ).encode(),
    "merges": "\n".join(
        ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 15))]
    ).encode(),
    "values": b"[" + b"1," * 1_000_000 + b"1]",
    "base 60": b"a: " + b"59:" * 200_000 + b"1",
    "digits": b"a: " + b"9" * 1_000_000,
    "gzip": gzip.compress(b"x" * 50_000_000),
}  # fmt: skip


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("media_type", ["application/yaml", "application/json", PATCHES["apply"]])
def test_bombs_do_not_go_off(arena: Api, kind: str, media_type: str) -> None:
    method, path = ("PATCH", f"{CONFIG_MAPS}/x?fieldManager=x") if media_type == PATCHES["apply"] else ("POST", CONFIG_MAPS)
    answer = checked(arena.request(method, path, BOMBS[kind], content_type=media_type), kind)
    assert 400 <= answer.status < 500
    assert arena.status_of("GET", CONFIG_MAPS) == 200


ODD_HEADS: dict[str, tuple[bytes, ...]] = {
    "no version": (b"GET {path}", b"Host: x"),
    "lower case": (b"get {path} HTTP/1.1", b"Host: x"),
    "another version": (b"GET {path} HTTP/3.0", b"Host: x"),
    "HTTP/2's preface": (b"PRI * HTTP/2.0", b"", b"SM", b""),
    "two hosts": (b"GET {path} HTTP/1.1", b"Host: x", b"Host: y"),
    "a NUL": (b"GET {path} HTTP/1.1", b"Host: x", b"X: a\x00b"),
    "a folded header": (b"GET {path} HTTP/1.1", b"Host: x", b"X: a", b" b"),
    "a space before the colon": (b"GET {path} HTTP/1.1", b"Host: x", b"Content-Length : 5"),
    "two lengths": (b"POST {path} HTTP/1.1", b"Host: x", b"Content-Length: 2", b"Content-Length: 3"),
    "a signed length": (b"POST {path} HTTP/1.1", b"Host: x", b"Content-Length: +2"),
    "length and chunks": (b"POST {path} HTTP/1.1", b"Host: x", b"Content-Length: 4", b"Transfer-Encoding: chunked"),
    "a coding nobody knows": (b"POST {path} HTTP/1.1", b"Host: x", b"Transfer-Encoding: xchunked"),
    "bytes in the path": (b"GET {path}/\xff\xfe HTTP/1.1", b"Host: x"),
    "bytes in a header": (b"GET {path} HTTP/1.1", b"Host: x", b"Accept: \xff\xfe"),
    "bytes in a user": (b"GET {path} HTTP/1.1", b"Host: x", b"Authorization: Bearer {token}", b"Impersonate-User: \xff"),
    "bytes in a group": (
        b"GET {path} HTTP/1.1",
        b"Host: x",
        b"Authorization: Bearer {token}",
        b"Impersonate-User: x",
        b"Impersonate-Group: \xff",
    ),
    "bytes in a token": (b"GET {path} HTTP/1.1", b"Host: x", b"Authorization: Bearer \xff\xfe"),
    "half a character in the path": (b"GET {path}/%ed%a0%80 HTTP/1.1", b"Host: x", b"Authorization: Bearer {token}"),
    "half a character in the query": (b"GET {path}?labelSelector=%ff HTTP/1.1", b"Host: x", b"Authorization: Bearer {token}"),
    "a broken target": (b"GET http://[::1/ HTTP/1.1", b"Host: x"),
    "no target": (b"GET  HTTP/1.1", b"Host: x"),
    "a star": (b"OPTIONS * HTTP/1.1", b"Host: x", b"Authorization: Bearer {token}"),
    "very many headers": (b"GET {path} HTTP/1.1", b"Host: x", *(b"X-%d: y" % n for n in range(1000))),
}


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("kind", ODD_HEADS)
def test_odd_heads(root: Api, kind: str) -> None:
    def filled(line: bytes) -> bytes:
        return line.replace(b"{path}", f"/clusters/root{CONFIG_MAPS}".encode()).replace(b"{token}", root.token.encode())

    first, *rest = map(filled, ODD_HEADS[kind])
    received = exchanged(root, b"\r\n".join([first, b"Connection: close", *rest]) + b"\r\n\r\n")
    assert received.split()[1][:1] in (b"2", b"4"), received[:300]
    assert b"Traceback" not in received


def test_requests_in_a_row(root: Api) -> None:
    """Pipelined: each is answered, in its order, also behind a watch."""
    head = f"Host: x\r\nAuthorization: Bearer {root.token}\r\n"
    path = f"/clusters/root{CONFIG_MAPS}"
    watch = f"GET {path}?watch=true&timeoutSeconds=1 HTTP/1.1\r\n{head}\r\n"
    several = "".join(f"GET {path}/none-{n} HTTP/1.1\r\n{head}\r\n" for n in range(5))
    last = f"GET {path}/none-last HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
    received = exchanged(root, (several + watch + last).encode())
    assert re.findall(rb'\\"(none-[a-z0-9]+)\\" not found', received) == [b"none-%d" % n for n in range(5)] + [b"none-last"]


def exchanged(api: Api, sent: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    parts = urlsplit(api.url)
    assert parts.hostname and parts.port
    plain = socket.create_connection((parts.hostname, parts.port), timeout=60)
    with ssl.create_default_context(cafile=api.ca).wrap_socket(plain, server_hostname=parts.hostname) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
    return received
