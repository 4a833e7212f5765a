"""An export of cowboys, and a binding to it, by request."""

from __future__ import annotations

from tenantry.kube.objects import Object
from tests.support.one_process import Stack

APIS = "apis/apis.kcp.io"
SCHEMA: Object = {
    "apiVersion": "apis.kcp.io/v1alpha1",
    "kind": "APIResourceSchema",
    "metadata": {"name": "v1.cowboys.wild.west"},
    "spec": {
        "group": "wild.west",
        "names": {"plural": "cowboys", "singular": "cowboy", "kind": "Cowboy", "listKind": "CowboyList"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "type": "object",
                    "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                },
            }
        ],
    },
}
EXPORT: Object = {
    "apiVersion": "apis.kcp.io/v1alpha2",
    "kind": "APIExport",
    "metadata": {"name": "cowboys"},
    "spec": {
        "resources": [{"name": "cowboys", "group": "wild.west", "schema": "v1.cowboys.wild.west", "storage": {"crd": {}}}],
    },
}


def binding(provider: str) -> Object:
    return {
        "apiVersion": "apis.kcp.io/v1alpha2",
        "kind": "APIBinding",
        "metadata": {"name": "cowboys"},
        "spec": {"reference": {"export": {"path": provider, "name": "cowboys"}}},
    }


async def post(stack: Stack, path: str, body: Object) -> None:
    status, answer = await stack.call("POST", path, body=body)
    assert status == 201, answer


async def bound(stack: Stack, consumer: str) -> None:
    async def check() -> bool:
        _, found = await stack.call("GET", f"/clusters/{consumer}/{APIS}/v1alpha2/apibindings/cowboys")
        return bool((found.get("status") or {}).get("phase") == "Bound")

    await stack.eventually(check)
