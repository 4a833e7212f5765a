"""What personal workspaces read of a stored Workspace."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tenantry.storage.keys import Key
from tenantry.storage.record import Head, Record
from tenantry_personal_workspaces.child_clusters import Child, ChildClusters, read

OWNER = "experimental.tenancy.kcp.io/owner"


def workspace(owner: Any = None, **spec: Any) -> bytes:
    annotations = {"other": "x"} if owner is None else {OWNER: owner}
    return orjson.dumps({"metadata": {"name": "a", "annotations": annotations}, "spec": spec, "status": {"phase": "Ready"}})


@pytest.mark.parametrize(
    ("value", "child"),
    [
        (workspace(), Child("", "")),
        (workspace(cluster="rone"), Child("rone", "")),
        (workspace('{"username":"ann","groups":["staff"],"extra":{"cluster":["x"]}}', cluster="rone"), Child("rone", "ann")),
        (workspace("{}", cluster="rone"), Child("rone", "")),
        (workspace("not JSON", cluster="rone"), Child("rone", "")),
        (workspace('["ann"]', cluster="rone"), Child("rone", "")),
        (workspace('{"username":null}', cluster="rone"), Child("rone", "")),
        (workspace(location={"selector": {"matchLabels": {"cluster": "rtwo"}}}), Child("", "")),
        (b'{"metadata":{"name":"a"}}', Child("", "")),
        (b'{"metadata":{"name":"a","annotations":null},"spec":null}', Child("", "")),
        (b'{"metadata":{"name":"a"},"spec":{"cluster":7}}', Child("", "")),
    ],
)
def test_what_is_read(value: bytes, child: Child) -> None:
    assert read(value) == child


def test_each_version_is_read_once() -> None:
    children = ChildClusters()

    def record(version: int, cluster: str) -> Record:
        return Record(Key("rorg", "tenancy.kcp.io/workspaces", "", "a"), workspace(cluster=cluster), version, Head())

    assert children.of(record(1, "rone")) == children.of(record(1, "never read")) == Child("rone", "")
    assert children.of(record(2, "rtwo")) == Child("rtwo", "")
