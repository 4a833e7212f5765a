"""Each parameter of a query, each part of a path and each header that is read, as it grows: whole requests."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest

from tenantry.apiserver.request import Request
from tenantry.apiserver.timeout_parameter import check_timeout
from tests.growth.meter import assert_time_is_linear
from tests.growth.served import Make, Sent, Served, failing, served

_LIST = ("continue", "labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch", "limit", "timeoutSeconds")
_WRITE = ("fieldManager", "fieldValidation", "dryRun", "force")
_DELETE = (
    "propagationPolicy",
    "gracePeriodSeconds",
    "orphanDependents",
    "dryRun",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
)
_EVERY = ("timeout", "pretty", "includeObject", "unknown")
PARAMETERS: dict[str, tuple[str, ...]] = {
    "list": (*_LIST, "watch", *_EVERY),
    "watch": (*_LIST, "allowWatchBookmarks", "sendInitialEvents"),
    "create": (*_WRITE, *_EVERY),
    "update": _WRITE,
    "patch": _WRITE,
    "apply": _WRITE,
    "delete": (*_DELETE, *_EVERY),
    "deletecollection": (*_LIST, *_DELETE),
}
Text = Callable[[int], str]


def base64_of(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def token(start: str) -> str:
    value = orjson.dumps({"v": "meta.k8s.io/v1", "rv": -1, "start": start + "\0"})
    return base64_of(value)


TEXTS: dict[str, Text] = {
    "letters": lambda n: "x" * n,
    "digits": lambda n: "9" * n,
    "more digits than a number may have": lambda n: "9" * (30 * n),
    "hours": lambda n: "1h" * n,
    "a comparison": lambda n: "a > " + "9" * (30 * n),
    "blanks": lambda n: " " * n,
    "escapes": lambda n: "\\" * n,
    "brackets": lambda n: "(" * n,
    "control characters": lambda n: "\1" * n,
    "letters beyond ASCII": lambda n: "é" * n,
    "equalities": lambda n: ",".join(f"key{i}=value{i}" for i in range(n)),
    "inequalities": lambda n: ",".join(f"key{i}!=value{i}" for i in range(n)),
    "names": lambda n: ",".join(f"metadata.name!=b{i}" for i in range(n)),
    "sets": lambda n: "a in (" + ",".join(f"value{i}" for i in range(n)) + ")",
    "many sets": lambda n: ",".join(f"a{i} notin (b,c)" for i in range(n)),
    "no sets": lambda n: "a in " * n,
    "a token": lambda n: token("default/" + "x" * n),
    "a token of many parts": lambda n: token("a/" * n),
    "a token of nested lists": lambda n: base64_of(b"[" * n),
    "a token of many keys": lambda n: base64_of(b'{"v":"meta.k8s.io/v1",' + b",".join(b'"a%d":1' % i for i in range(n)) + b"}"),
}
CMS = "/api/v1/namespaces/default/configmaps"
CM = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    keys: Path = tmp_path_factory.mktemp("keys")
    with served(keys) as platform:
        for i in range(4):
            platform.must("POST", f"/clusters/{platform.cluster}{CMS}", {**CM, "metadata": {"name": f"c{i}"}})
        yield platform


def request(platform: Served, verb: str, parameters: str) -> Sent:
    path = f"/clusters/{platform.cluster}{CMS}"
    # A text is asked about once.
    own = f"own{platform.number()}=x&{parameters}"
    match verb:
        case "list":
            return Sent(path=path, query=own)
        case "watch":
            return Sent(path=path, query=f"{own}&watch=1")
        case "create":
            return Sent(method="POST", path=path, query=f"{own}&dryRun=All", body=CM)
        case "update":
            return Sent(method="PUT", path=f"{path}/c0", query=f"{own}&dryRun=All", body={**CM, "metadata": {"name": "c0"}})
        case "patch":
            headers = [("Content-Type", "application/merge-patch+json")]
            return Sent(method="PATCH", path=f"{path}/c0", query=f"{own}&dryRun=All", body={"data": {}}, headers=headers)
        case "apply":
            headers = [("Content-Type", "application/apply-patch+yaml")]
            body = {**CM, "metadata": {"name": "c0"}}
            return Sent(method="PATCH", path=f"{path}/c0", query=f"{own}&dryRun=All", body=body, headers=headers)
        case "delete":
            return Sent(method="DELETE", path=f"{path}/c0", query=f"{own}&dryRun=All")
    return Sent(method="DELETE", path=path, query=f"{own}&dryRun=All")


@pytest.mark.parametrize("verb", PARAMETERS)
def test_a_parameter_costs_what_it_is(platform: Served, verb: str) -> None:
    def cases() -> Iterator[tuple[str, Make]]:
        for parameter in PARAMETERS[verb]:
            for kind, text in TEXTS.items():

                def make(n: int, parameter: str = parameter, text: Text = text) -> Sent:
                    return request(platform, verb, f"{parameter}={quote(text(n))}")

                yield f"{parameter} of {kind}", make

    # What is longer than 1 KiB is not remembered; half of it would be, from the verb before.
    assert failing(platform, cases(), small=128) == []


def test_a_duration_is_read_once() -> None:
    def make(n: int) -> Callable[[], object]:
        duration = Request("GET", "/", "timeout=" + "1h" * (64 * n))
        return lambda: check_timeout(duration)

    assert_time_is_linear(make, small=1024)


@pytest.mark.parametrize("verb", PARAMETERS)
def test_many_parameters_cost_what_they_are(platform: Served, verb: str) -> None:
    def cases() -> Iterator[tuple[str, Make]]:
        for parameter in PARAMETERS[verb]:
            for value in ("", "1", "All", "a%3Db"):

                def make(n: int, parameter: str = parameter, value: str = value) -> Sent:
                    return request(platform, verb, f"{parameter}={value}&" * n)

                yield f"{parameter}={value} again and again", make
        yield "different ones", lambda n: request(platform, verb, "&".join(f"p{i}=v" for i in range(n)))
        yield "empty ones", lambda n: request(platform, verb, "&" * n)
        yield "semicolons", lambda n: request(platform, verb, ";=" * n)
        yield "percent signs", lambda n: request(platform, verb, "%" * n)

    assert failing(platform, cases()) == []


PLACES = (
    "/clusters/{}",
    "/clusters/root:{}",
    "/clusters/WS/{}",
    "/clusters/WS/api/{}",
    "/clusters/WS/apis/{}",
    "/clusters/WS/apis/{}/v1/things",
    "/clusters/WS/apis/apps/{}/things",
    "/clusters/WS/api/v1/{}",
    "/clusters/WS/api/v1/watch/{}",
    "/clusters/WS/api/v1/configmaps:{}",
    "/clusters/WS/api/v1/namespaces/{}",
    "/clusters/WS/api/v1/namespaces/{}/configmaps",
    "/clusters/WS/api/v1/namespaces/default/configmaps/{}",
    "/clusters/WS/api/v1/namespaces/default/configmaps/c0/{}",
    "/clusters/WS/openapi/{}",
    "/clusters/WS/openapi/v3/{}",
    "/clusters/WS/healthz/{}",
    "/clusters/*/api/v1/{}",
    "/clusters/{}/livez",
    "/ranges/{}",
    "/ranges/root/{}",
    "/ranges/root/clusters/{}",
    "/ranges/root/services/{}",
    "/ranges/root/services/apiexport/{}",
    "/ranges/root/services/apiexport/root/{}/clusters/*/api",
    "/services/{}",
    "/services/apiexport/{}",
    "/services/initializingworkspaces/{}",
    "/{}",
)
SEGMENTS: dict[str, Text] = {
    "letters": lambda n: "x" * n,
    "slashes": lambda n: "/" * n,
    "segments": lambda n: "a/" * n,
    "places above": lambda n: "../" * n,
    "percent signs": lambda n: "%2F" * n,
    "colons": lambda n: "a:" * n,
    "no names": lambda n: ":" * n,
    "quotes": lambda n: '"' * n,
    "letters beyond ASCII": lambda n: "é" * n,
}


@pytest.mark.parametrize("who", ["master", ""])
def test_a_path_costs_what_it_is(platform: Served, who: str) -> None:
    def cases() -> Iterator[tuple[str, Make]]:
        for place in PLACES:
            for kind, text in SEGMENTS.items():

                def make(n: int, place: str = place, text: Text = text) -> Sent:
                    path = place.replace("WS", platform.cluster).format(f"y{platform.number()}{text(n)}")
                    return Sent(path=path, who=who)

                yield f"{kind} in {place}", make

    assert failing(platform, cases()) == []


HEADERS: dict[str, Callable[[int, str], list[tuple[str, str]]]] = {
    "Accept of media types": lambda n, own: [("Accept", ",".join(f"{own}/{i}" for i in range(n)))],
    "Accept of weights": lambda n, own: [("Accept", ",".join(f"{own}/{i};q=0.{i}" for i in range(n)))],
    "Accept of parameters": lambda n, own: [("Accept", f"application/json;{own}" + ";as=Table" * n)],
    "Accept of parameters again and again": lambda n, own: [("Accept", f"application/json;as={own}," * n)],
    "Accept of commas": lambda n, own: [("Accept", own + "," * n)],
    "Accept of semicolons": lambda n, own: [("Accept", own + ";" * n)],
    "Accept of YAML": lambda n, own: [("Accept", "application/yaml;q=0.1," * n + own)],
    "many Accept": lambda n, own: [("Accept", f"{own}/{i}") for i in range(n)],
    "Accept-Encoding": lambda n, own: [("Accept-Encoding", ",".join(f"gzip{i};q=1" for i in range(n)))],
    "Content-Type": lambda n, own: [("Content-Type", f"application/json;{own}" + ";a=b" * n)],
    "Content-Type of letters": lambda n, own: [("Content-Type", own + "x" * n)],
    "User-Agent": lambda n, own: [("User-Agent", own + "\1x" * n)],
    "If-None-Match": lambda n, own: [("If-None-Match", ",".join(f'"{own}{i}"' for i in range(n)))],
    "tokens": lambda n, own: [("Authorization", f"Bearer {own}" + "x" * n)],
    "tokens of parts": lambda n, own: [("Authorization", f"Bearer {own}" + ".x" * n)],
    "tokens of JSON": lambda n, own: [("Authorization", "Bearer " + ".".join([base64_of(b'{"a":"' + b"x" * n + b'"}')] * 3))],
    "tokens of lists": lambda n, own: [("Authorization", "Bearer " + ".".join([base64_of(b"[" * n + b"]" * n)] * 3))],
    "blanks before a token": lambda n, own: [("Authorization", "Bearer" + " " * n + own)],
    "cookies": lambda n, own: [("Cookie", f"{own}=x;" * n)],
    "unknown ones": lambda n, own: [(f"X-{own}-{i}", "x") for i in range(n)],
    "subprotocols": lambda n, own: [("Sec-WebSocket-Protocol", ",".join(f"{own}{i}" for i in range(n)))],
    "the proxy's": lambda n, own: [("X-Remote-User", own), *((f"X-Remote-Extra-{i}", "x") for i in range(n))],
    "the proxy's groups": lambda n, own: [("X-Remote-User", own), *(("X-Remote-Group", f"g{i}") for i in range(n))],
    "a user": lambda n, own: [("Impersonate-User", own + "x" * n)],
    "a service account": lambda n, own: [("Impersonate-User", f"system:serviceaccount:{own}" + ":x" * n)],
    "groups": lambda n, own: [("Impersonate-User", own), *(("Impersonate-Group", f"g{i}") for i in range(n))],
    "groups alike": lambda n, own: [("Impersonate-User", own), *(("Impersonate-Group", "g") for _ in range(n))],
    "groups of nobody": lambda n, own: [("Impersonate-Group", f"{own}{i}") for i in range(n)],
    "extras": lambda n, own: [("Impersonate-User", own), *((f"Impersonate-Extra-{i}", "x") for i in range(n))],
    "extras of one key": lambda n, own: [("Impersonate-User", own), *(("Impersonate-Extra-A", f"x{i}") for i in range(n))],
    "extras of percent signs": lambda n, own: [("Impersonate-User", own), ("Impersonate-Extra-" + "%41" * n, "x")],
    "scopes": lambda n, own: [
        ("Impersonate-User", own),
        *(("Impersonate-Extra-Authentication.kcp.io%2Fscopes", f"cluster:{i}") for i in range(n)),
    ],
    "warrants": lambda n, own: [
        ("Impersonate-User", own),
        *(("Impersonate-Extra-Authorization.kcp.io%2Fwarrant", f'{{"user":"u{i}","groups":["g"]}}') for i in range(n)),
    ],
}
ASKED = ("GET list", "GET /api", "GET /openapi/v2", "POST", "PATCH")


@pytest.mark.parametrize("who", ["ada", ""])
@pytest.mark.parametrize("asked", ASKED)
def test_a_header_costs_what_it_is(platform: Served, asked: str, who: str) -> None:
    method, _, what = asked.partition(" ")
    place = f"/clusters/{platform.cluster}{what if what.startswith('/') else CMS}{'/c0' if method == 'PATCH' else ''}"
    body = None if method == "GET" else CM
    query = "" if method == "GET" else "dryRun=All"

    def cases() -> Iterator[tuple[str, Make]]:
        for kind, headers in HEADERS.items():

            def make(n: int, kind: str = kind, headers: Callable[[int, str], list[tuple[str, str]]] = headers) -> Sent:
                given = headers(n, f"own{platform.number()}")
                caller = "" if "token" in kind else who
                # The document of the built-in types is about so long.
                touched = 250_000 if "openapi" in what else 0
                return Sent(method=method, path=place, query=query, headers=given, body=body, who=caller, touched=touched)

            yield kind, make

    assert failing(platform, cases(), small=32) == []
