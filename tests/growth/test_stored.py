"""Changes of what is stored, as that grows and as the change does, and requests for tokens: whole requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.growth.served import Make, Sent, Served, failing, served

Body = Callable[[int], Any]
APPLY, JSON, MERGE, STRATEGIC = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    keys: Path = tmp_path_factory.mktemp("keys")
    with served(keys) as platform:
        yield platform


def numbered(n: int, value: str = "v") -> dict[str, str]:
    return {f"k{i}": f"{value}{i}" for i in range(n)}


def account(n: int) -> Any:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "secrets": [{"name": f"s{i}"} for i in range(n)]}


STORED: dict[str, tuple[str, Body]] = {
    "data": ("configmaps", lambda n: {"apiVersion": "v1", "kind": "ConfigMap", "data": numbered(n)}),
    "labels": ("configmaps", lambda n: {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": numbered(n)}}),
    "annotations": ("configmaps", lambda n: {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"annotations": numbered(n)}}),
    "a list by name": ("serviceaccounts", account),
}
SMALL: dict[str, Any] = {
    APPLY: {"metadata": {"labels": {"a": "b"}}},
    JSON: [{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}],
    MERGE: {"metadata": {"labels": {"a": "b"}}},
    STRATEGIC: {"metadata": {"labels": {"a": "b"}}},
}
GROWN: dict[str, dict[str, Body]] = {
    JSON: {
        "additions": lambda n: [{"op": "add", "path": f"/data/new{i}", "value": "v"} for i in range(n)],
        "removals": lambda n: [{"op": "remove", "path": f"/data/k{i}"} for i in range(n)],
        "moves": lambda n: [{"op": "move", "from": f"/data/k{i}", "path": f"/data/m{i}"} for i in range(n)],
        "tests": lambda n: [{"op": "test", "path": f"/data/k{i}", "value": f"v{i}"} for i in range(n)],
    },
    MERGE: {
        "changes": lambda n: {"data": numbered(n, "w")},
        "removals": lambda n: {"data": dict.fromkeys(numbered(n))},
        "labels": lambda n: {"metadata": {"labels": numbered(n)}},
    },
    STRATEGIC: {
        "changes": lambda n: {"data": numbered(n, "w")},
        "directives": lambda n: {"data": {"$patch": "replace", **numbered(n)}},
    },
    APPLY: {
        "changes": lambda n: {"data": numbered(n, "w")},
        "additions": lambda n: {"data": {f"new{i}": "v" for i in range(n)}},
    },
}


def small(media_type: str, _: int) -> Any:
    return SMALL[media_type]


def place(platform: Served, plural: str) -> str:
    return f"/clusters/{platform.cluster}/api/v1/namespaces/default/{plural}"


def changing(platform: Served, stored: str, media_type: str, patch: Callable[[int], Any]) -> Make:
    """A change of an object that is as large as n says, and is made anew for each."""
    plural, body_of = STORED[stored]

    def make(n: int) -> Sent:
        body = body_of(n)
        name = f"o{platform.number()}"
        body.setdefault("metadata", {})["name"] = name
        platform.must("POST", place(platform, plural), body)
        platform.idle()
        change = patch(n)
        query = "fieldManager=me"
        if media_type == APPLY:
            kind = {"apiVersion": "v1", "kind": body["kind"]}
            change = {**kind, **change, "metadata": {**change.get("metadata", {}), "name": name}}
            query += "&force=true"
        return Sent(
            method="PATCH",
            path=f"{place(platform, plural)}/{name}",
            query=query,
            headers=[("Content-Type", media_type)],
            body=change,
            touched=len(orjson.dumps(body)),
        )

    return make


@pytest.mark.parametrize("stored", STORED)
def test_a_small_change_costs_what_is_stored(platform: Served, stored: str) -> None:
    def cases() -> Iterator[tuple[str, Make]]:
        for media_type in SMALL:
            yield media_type, changing(platform, stored, media_type, partial(small, media_type))

    assert failing(platform, cases()) == []


@pytest.mark.parametrize("media_type", GROWN)
def test_a_grown_change_costs_what_it_is(platform: Served, media_type: str) -> None:
    cases = ((name, changing(platform, "data", media_type, patch)) for name, patch in GROWN[media_type].items())
    assert failing(platform, cases) == []


def test_a_replacement_costs_what_it_is(platform: Served) -> None:
    def cases() -> Iterator[tuple[str, Make]]:
        for stored, (plural, body_of) in STORED.items():

            def make(n: int, plural: str = plural, body_of: Body = body_of) -> Sent:
                body = body_of(n)
                name = f"o{platform.number()}"
                body.setdefault("metadata", {})["name"] = name
                platform.must("POST", place(platform, plural), body)
                platform.idle()
                body["metadata"]["labels"] = {"a": "b"}
                return Sent(method="PUT", path=f"{place(platform, plural)}/{name}", body=body, touched=len(orjson.dumps(body)))

            yield stored, make

    assert failing(platform, cases()) == []


def test_a_request_for_a_token_costs_what_it_is(platform: Served) -> None:
    grown: dict[str, Body] = {
        "audiences": lambda n: {"spec": {"audiences": [f"https://a{i}.example" for i in range(n)]}},
        "a long audience": lambda n: {"spec": {"audiences": ["x" * 40 * n]}},
        "a bound object's name": lambda n: {
            "spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "x" * n, "uid": "u" * n}}
        },
        "unknown fields": lambda n: {"spec": {f"f{i}": 1 for i in range(n)}},
        "the name": lambda n: {"metadata": {"name": "x" * n}, "spec": {}},
    }
    path = f"{place(platform, 'serviceaccounts')}/default/token"
    kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}

    def cases() -> Iterator[tuple[str, Make]]:
        for name, body_of in grown.items():

            def make(n: int, body_of: Body = body_of) -> Sent:
                return Sent(method="POST", path=path, body={**kind, **body_of(n)})

            yield name, make

    assert failing(platform, cases()) == []
