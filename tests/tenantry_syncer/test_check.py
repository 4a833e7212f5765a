"""The views of a syncer pass what `tenantry views check` tries."""

from __future__ import annotations

from dataclasses import replace

from tenantry.cli.view_check.run import check
from tenantry.kube.objects import Object
from tenantry.virtual.interface import Given
from tenantry_syncer.fixture import FIXTURE
from tenantry_syncer.names import STATE_LABEL_PREFIX, UPSYNC
from tenantry_syncer.sync_target import SYNC_TARGET
from tenantry_syncer.syncer import Syncer
from tenantry_syncer.upsyncer import Upsyncer
from tests.tenantry_syncer.targets import RBAC


def raised(name: str) -> Object:
    metadata = {"name": name, "namespace": "default", "labels": {STATE_LABEL_PREFIX + "edge": UPSYNC}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}


def granted(kind: str, **more: object) -> Given:
    version = RBAC.removeprefix("apis/")
    return Given("one", {"apiVersion": version, "kind": kind, "metadata": {"name": "upsync"}, **more})


class AloneUpsyncer(Upsyncer):
    """The view brings its type itself here: it is tried without the other one."""

    types = (SYNC_TARGET,)
    fixture = replace(
        FIXTURE,
        given=(
            *FIXTURE.given,
            granted("ClusterRole", rules=[{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]),
            granted(
                "ClusterRoleBinding",
                roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "upsync"},
                subjects=[{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "syncer"}],
            ),
            Given("one", raised("from-below")),
            Given("one", raised("another")),
        ),
        writes=(raised("new"),),
    )


async def test_every_check_passes() -> None:
    outcomes = {outcome.check: (outcome.result, outcome.why) for outcome in await check(Syncer)}
    assert outcomes.pop("writes")[0] == "skipped", "a syncer creates no objects"
    assert {name: found for name, found in outcomes.items() if found[0] != "ok"} == {}


async def test_every_check_passes_for_objects_from_below() -> None:
    outcomes = {outcome.check: (outcome.result, outcome.why) for outcome in await check(AloneUpsyncer)}
    assert {name: found for name, found in outcomes.items() if found[0] != "ok"} == {}
