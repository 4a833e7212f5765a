"""Values of wrong types in objects of built-in types: kube-apiserver 1.37.2's codes and texts for bodies, patches and applies.

A body is decoded as JSON, and what a strategic merge patch or an apply makes is converted from an unstructured object. The latter
has other texts, cuts integers, and is 500 for an apply.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.clusters import CLUSTER, ServedCluster
from tests.support.people import MASTER

LEASES = f"/clusters/{CLUSTER}/apis/coordination.k8s.io/v1/namespaces/default/leases"
SECRETS = f"/clusters/{CLUSTER}/api/v1/namespaces/default/secrets"
STRATEGIC, MERGE, APPLY = "application/strategic-merge-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"
NUMBER = "json: cannot unmarshal number into Go value of type string"
MICRO = 'parsing time "x" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "x" as "2006"'
TIME = 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'
IN_LEASE = "json: cannot unmarshal number{} into Go struct field LeaseSpec.spec.{} of type {}"


@pytest.fixture
async def shard() -> AsyncIterator[ServedCluster]:
    async with ServedCluster() as made:
        lease = {"metadata": {"name": "d"}, "spec": {"leaseDurationSeconds": 5}}
        assert (await made.call("POST", LEASES, MASTER, lease))[0] == 201
        await made.post("secrets", {"metadata": {"name": "s"}, "data": {"a": "YQ=="}})
        yield made


def lease(name: str, spec: Any, **metadata: Any) -> Any:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, **metadata}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "metadata", "text"),
    [
        ({"renewTime": 5}, {}, IN_LEASE.format("", "renewTime", "string")),
        ({"renewTime": "x"}, {}, MICRO),
        ({"leaseDurationSeconds": 1.5}, {}, IN_LEASE.format(" 1.5", "leaseDurationSeconds", "int32")),
        ({"leaseDurationSeconds": 1 << 31}, {}, IN_LEASE.format(" 2147483648", "leaseDurationSeconds", "int32")),
        (
            {},
            {"creationTimestamp": 5},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        ({}, {"creationTimestamp": "x"}, TIME),
    ],
)
async def test_bodies(shard: ServedCluster, spec: Any, metadata: Any, text: str) -> None:
    status, answer = await shard.call("POST", LEASES, MASTER, lease("new", spec, **metadata))
    assert (status, answer["message"]) == (400, f'Lease in version "v1" cannot be handled as a Lease: {text}')
    status, answer = await shard.call("PATCH", f"{LEASES}/d", MASTER, {"metadata": metadata, "spec": spec}, content_type=MERGE)
    assert status == 422 and answer["message"].endswith(f'": {text}')


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 320])
async def test_numbers_beyond_float64(shard: ServedCluster, number: str) -> None:
    def sent(value: str) -> bytes:
        return b'{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"new"},%b}' % value.encode()

    what = 'Lease in version "v1" cannot be handled as a Lease'
    status, answer = await shard.call("POST", LEASES, MASTER, sent(f'"spec":{{"leaseDurationSeconds":{number}}}'))
    assert (status, answer["message"]) == (400, f"{what}: {IN_LEASE.format(f' {number}', 'leaseDurationSeconds', 'int32')}")
    status, answer = await shard.call("POST", LEASES, MASTER, sent(f'"spec":{{"holderIdentity":{number}}}'))
    assert (status, answer["message"]) == (400, f"{what}: {IN_LEASE.format('', 'holderIdentity', 'string')}")
    # Nobody reads a field that does not exist.
    status, answer = await shard.call("POST", LEASES, MASTER, sent(f'"other":{number}'), "dryRun=All")
    assert status == 201
    body = b'{"spec":{"leaseDurationSeconds":%b}}' % number.encode()
    text = f"json: cannot unmarshal number {number} into Go value of type float64"
    for media_type, prefix in ((MERGE, "error decoding patch: "), (STRATEGIC, "")):
        status, answer = await shard.call("PATCH", f"{LEASES}/d", MASTER, body, content_type=media_type)
        assert (status, answer["message"]) == (400, prefix + text)


@pytest.mark.parametrize(
    ("spec", "metadata", "text"),
    [
        ({"renewTime": 5}, {}, NUMBER),
        ({"renewTime": True}, {}, "json: cannot unmarshal bool into Go value of type string"),
        ({"renewTime": "x"}, {}, MICRO),
        ({"leaseDurationSeconds": 1.5}, {}, "cannot convert float64 to int32"),
        ({}, {"creationTimestamp": 5}, NUMBER),
        ({}, {"creationTimestamp": "x"}, TIME),
    ],
)
async def test_conversions(shard: ServedCluster, spec: Any, metadata: Any, text: str) -> None:
    patch = {"metadata": metadata, "spec": spec}
    status, answer = await shard.call("PATCH", f"{LEASES}/d", MASTER, patch, content_type=STRATEGIC)
    assert status == 422 and answer["message"].endswith(f'": {text}')
    config = lease("d", spec, **metadata)
    status, answer = await shard.call("PATCH", f"{LEASES}/d", MASTER, config, "fieldManager=m&force=true", content_type=APPLY)
    kind = "coordination.k8s.io/v1, Kind=Lease"
    what = f"failed to convert new object (/d; {kind}) to proper version: unable to convert unstructured object to {kind}"
    assert (status, answer["message"]) == (500, f"{what}: {text}")


@pytest.mark.parametrize(("seconds", "cut"), [(1 << 31, -(1 << 31)), (1 << 40, 0), (1e30, 0)])
async def test_conversions_cut_integers(shard: ServedCluster, seconds: float, cut: int) -> None:
    text = f'Lease.coordination.k8s.io "d" is invalid: spec.leaseDurationSeconds: Invalid value: {cut}: must be greater than 0'
    spec = {"leaseDurationSeconds": seconds}
    for media_type, query, body in ((STRATEGIC, "", {"spec": spec}), (APPLY, "fieldManager=m&force=true", lease("d", spec))):
        status, answer = await shard.call("PATCH", f"{LEASES}/d", MASTER, body, query, content_type=media_type)
        assert (status, answer["message"]) == (422, text)


@pytest.mark.parametrize(("data", "at"), [("!!", 0), ("YQ=", 3), ("YQ", 0), ("YQ==YQ==", 4), ("YW=x", 2)])
async def test_bytes(shard: ServedCluster, data: str, at: int) -> None:
    config = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": data}}
    text = f"illegal base64 data at input byte {at}"
    status, answer = await shard.call("POST", SECRETS, MASTER, config)
    assert (status, answer["message"]) == (400, f'Secret in version "v1" cannot be handled as a Secret: {text}')
    status, answer = await shard.call("PATCH", f"{SECRETS}/s", MASTER, config, "fieldManager=m&force=true", content_type=APPLY)
    what = "failed to convert new object (/s; /v1, Kind=Secret) to proper version: unable to convert unstructured object to"
    assert (status, answer["message"]) == (500, f"{what} /v1, Kind=Secret: error decoding from json: {text}")


async def test_a_list_of_numbers_is_bytes(shard: ServedCluster) -> None:
    status, answer = await shard.call("PATCH", f"{SECRETS}/s", MASTER, {"data": {"a": [97, 98]}}, content_type=STRATEGIC)
    assert (status, answer["data"]) == (200, {"a": "YWI="})
    status, answer = await shard.call("POST", SECRETS, MASTER, {"metadata": {"name": "new"}, "data": {"a": [97, 98]}})
    assert (status, answer["data"]) == (201, {"a": "YWI="})


@pytest.mark.parametrize("number", ["1.0", "1e0", "10e-1", "0.10"])
async def test_a_body_shows_a_number_as_it_was_written(shard: ServedCluster, number: str) -> None:
    body = b'{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"new"},"spec":{"leaseDurationSeconds":%b}}'
    status, answer = await shard.call("POST", LEASES, MASTER, body % number.encode())
    text = IN_LEASE.format(f" {number}", "leaseDurationSeconds", "int32")
    assert (status, answer["message"]) == (400, f'Lease in version "v1" cannot be handled as a Lease: {text}')


@pytest.mark.parametrize(("number", "read"), [("0.0", 0), ("-0.0", 0), ("1.0", 1), ("1E2", 100), ("1.0e+1", 10)])
async def test_a_number_of_an_apply_is_one_of_yaml(shard: ServedCluster, number: str, read: int) -> None:
    """`data` takes no numbers, and says which it got."""
    url = SECRETS.replace("secrets", "configmaps") + "/new"
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"},"data":{"a":%b}}' % number.encode()
    status, answer = await shard.call("PATCH", url, MASTER, body, "fieldManager=me", content_type=APPLY)
    text = f".data.a: expected string, got &value.valueUnstructured{{Value:{read}}}"
    assert (status, answer["message"].rpartition("Kind=ConfigMap): ")[2]) == (500, text)


INVALID = "yaml: found invalid Unicode character escape code"
UNKNOWN = "yaml: found unknown escape character"
AS_JSON = "error decoding patch: error converting YAML to JSON: "


@pytest.mark.parametrize(
    ("escape", "problem"),
    [
        (r"\ud800", INVALID),
        (r"\ud83d\ude00", INVALID),
        (r"\udc00x", INVALID),
        (r"\U00110000", INVALID),
        (r"\/", UNKNOWN),
        (r"\\\/", UNKNOWN),
        (r"\q", UNKNOWN),
        (r"\\/", ""),
        (r"\\ud800", ""),
        (r"\u00e9", ""),
    ],
)
async def test_escapes_of_an_apply_are_those_of_yaml(shard: ServedCluster, escape: str, problem: str) -> None:
    url, query = SECRETS.replace("secrets", "configmaps") + "/new", "fieldManager=me&dryRun=All"
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"},"data":{"a":"%b"}}' % escape.encode()
    status, answer = await shard.call("PATCH", url, MASTER, body, query, content_type=APPLY)
    assert (status, answer.get("message", "")) == ((400, AS_JSON + problem) if problem else (201, ""))
    block = b'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\ndata:\n  a: "z%b"\n' % escape.encode()
    status, answer = await shard.call("PATCH", url, MASTER, block, query, content_type=APPLY)
    said = f"error encoding patch: {problem.replace('yaml: ', 'yaml: line 5: ')}"
    assert (status, answer.get("message", "")) == ((400, said) if problem else (201, ""))


@pytest.mark.parametrize(
    ("escape", "read"), [(r"\ud800", "\ufffd"), (r"\udc00\ud800x", "\ufffd\ufffdx"), (r"\ud83d\ude00", "😀")]
)
async def test_a_body_of_json_may_have_half_of_a_pair(shard: ServedCluster, escape: str, read: str) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"},"data":{"a":"%b"}}' % escape.encode()
    status, answer = await shard.call("POST", SECRETS.replace("secrets", "configmaps"), MASTER, body, "dryRun=All")
    assert (status, answer["data"]) == (201, {"a": read})
