"""Paths and what they mean, as in kube-apiserver's requestinfo tests."""

import pytest

from tenantry.apiserver.request import Request
from tenantry.apiserver.request_info import RequestInfo, parse
from tenantry.kube.status import StatusError

CASES = [
    ("GET", "/api/v1/namespaces", ("list", "", "v1", "namespaces", "", "", "")),
    ("GET", "/api/v1/namespaces/other", ("get", "", "v1", "namespaces", "", "other", "other")),
    ("PUT", "/api/v1/namespaces/other/finalize", ("update", "", "v1", "namespaces", "finalize", "other", "other")),
    ("PUT", "/api/v1/namespaces/other/status", ("update", "", "v1", "namespaces", "status", "other", "other")),
    ("GET", "/api/v1/namespaces/other/pods", ("list", "", "v1", "pods", "", "other", "")),
    ("GET", "/api/v1/namespaces/other/pods/foo", ("get", "", "v1", "pods", "", "other", "foo")),
    ("HEAD", "/api/v1/namespaces/other/pods/foo", ("get", "", "v1", "pods", "", "other", "foo")),
    ("GET", "/api/v1/pods", ("list", "", "v1", "pods", "", "", "")),
    ("POST", "/api/v1/pods", ("create", "", "v1", "pods", "", "", "")),
    ("DELETE", "/api/v1/namespaces/other/pods", ("deletecollection", "", "v1", "pods", "", "other", "")),
    ("DELETE", "/api/v1/namespaces/other/pods/foo", ("delete", "", "v1", "pods", "", "other", "foo")),
    ("PATCH", "/api/v1/namespaces/other/pods/foo/status", ("patch", "", "v1", "pods", "status", "other", "foo")),
    ("FROB", "/api/v1/namespaces/other/pods/foo", ("", "", "v1", "pods", "", "other", "foo")),
    ("GET", "/api/v1/watch/pods", ("watch", "", "v1", "pods", "", "", "")),
    ("GET", "/api/v1/watch/namespaces/other/pods", ("watch", "", "v1", "pods", "", "other", "")),
    ("GET", "/api/v1/namespaces/other/pods/", ("list", "", "v1", "pods", "", "other", "")),
    ("GET", "/api/v1/namespaces//pods", ("list", "", "v1", "pods", "", "", "")),
    ("GET", "/apis/g.io/v1/things/a", ("get", "g.io", "v1", "things", "", "", "a")),
    ("GET", "/apis/g.io/v1/namespaces/n/things/a/scale", ("get", "g.io", "v1", "things", "scale", "n", "a")),
]


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/api/v1/namespaces/other", False),
        ("/api/v1/namespaces/other/status", False),
        ("/api/v1/watch/namespaces/other", False),
        ("/api/v1/namespaces/other/pods", True),
        ("/api/v1/namespaces/mine/namespaces/other", True),
        ("/api/v1/watch/namespaces/mine/namespaces/other", True),
        ("/apis/g.io/v1/things/a", False),
    ],
)
def test_paths_in_a_namespace(path: str, inside: bool) -> None:
    assert parse("GET", path, Request("GET", path)).in_namespace is inside


def summary(info: RequestInfo) -> tuple[str, ...]:
    return (info.verb, info.group, info.version, info.resource, info.subresource, info.namespace, info.name)


@pytest.mark.parametrize(("method", "path", "expected"), CASES)
def test_resource_paths(method: str, path: str, expected: tuple[str, ...]) -> None:
    info = parse(method, path, Request(method, path))

    assert info.is_resource
    assert summary(info) == expected


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/apis", "/apis/g.io", "/apis/g.io/v1", "/version", "/openapi/v3/api/v1"]
)
def test_other_paths(path: str) -> None:
    info = parse("POST", path, Request("POST", path))

    assert not info.is_resource
    assert (info.verb, info.path) == ("post", path)


@pytest.mark.parametrize(
    ("query", "verb"),
    [
        ("watch=true", "watch"),
        ("watch=1", "watch"),
        ("watch=maybe", "watch"),
        ("watch", "watch"),
        ("watch=False", "list"),
        ("watch=0", "list"),
    ],
)
def test_watch_is_a_query(query: str, verb: str) -> None:
    assert parse("GET", "/api/v1/pods", Request("GET", "/api/v1/pods", query)).verb == verb


def test_one_name_by_field_selector_counts_as_the_name() -> None:
    info = parse("GET", "/api/v1/pods", Request("GET", "/api/v1/pods", "watch=1&fieldSelector=metadata.name%3Dfoo"))

    assert (info.verb, info.name, info.parts) == ("watch", "foo", ("pods",))


@pytest.mark.parametrize("selector", ["metadata.name!%3Dfoo", "metadata.name%3Da%2Fb", "metadata.name", "spec.x%3Dy"])
def test_other_field_selectors_do_not(selector: str) -> None:
    assert parse("GET", "/api/v1/pods", Request("GET", "/api/v1/pods", f"fieldSelector={selector}")).name == ""


def test_identity_is_taken_off_the_resource() -> None:
    info = parse("GET", "/apis/g.io/v1/things:abc", Request("GET", ""))

    assert (info.resource, info.identity) == ("things", "abc")


@pytest.mark.parametrize("path", ["/apis/g.io/v1/things:", "/api/v1/watch"])
def test_what_cannot_be_understood_is_an_internal_error_as_upstream(path: str) -> None:
    with pytest.raises(StatusError) as caught:
        parse("GET", path, Request("GET", path))
    assert caught.value.code == 500
