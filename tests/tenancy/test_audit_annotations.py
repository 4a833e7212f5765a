"""What the audit log says about logical clusters."""

from __future__ import annotations

from pathlib import Path

from tenantry.tenancy.audit_annotations import audit_annotations
from tests.support.one_process import running


async def test_an_administrator_cannot_give_another_path(tmp_path: Path) -> None:
    """Neither by a label of the same name, nor without the annotation."""
    async with running(tmp_path) as stack:
        cluster = await stack.workspace("root", "w")
        url = f"/clusters/{cluster}/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"
        _, found = await stack.call("GET", url)
        labels = {**found["metadata"].pop("labels"), "kcp.io/path": "root"}
        found["metadata"] = {"labels": labels, **found["metadata"]}
        found["metadata"]["annotations"].pop("kcp.io/path")
        status, answer = await stack.call("PUT", url, body=found)
        assert status == 200, answer
        directory = stack.tenancy_of(cluster).directory
        expected = {"kcp.io/cluster": cluster, "tenancy.kcp.io/workspace": cluster, "kcp.io/path": "root:w"}
        assert audit_annotations(directory, cluster) == expected
        assert "kcp.io/path" not in audit_annotations(directory, "unknown")
