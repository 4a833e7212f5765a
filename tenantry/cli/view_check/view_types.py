"""Checks of the types that a view brings."""

from __future__ import annotations

from datetime import UTC, datetime

from tenantry.cli.view_check.tried_place import Failed, Skipped, Tried, filled, message_of
from tenantry.kube.objects import Object
from tenantry.tenancy.controllers.view_statuses import COMPUTED
from tenantry.tenancy.exports.conditions import find
from tenantry.tenancy.types.view_type import RangeUrl, ViewType, ViewUrls


async def types(tried: Tried) -> None:
    """Workspaces serve the types, and the status of each object of the fixture can be computed, twice with the same outcome."""
    if not tried.view.types:
        raise Skipped("the view brings no types")
    for each in tried.view.types:
        for version in (version["name"] for version in each.spec["versions"] if version.get("served")):
            path = f"/clusters/{tried.cluster}/apis/{each.group}/{version}/{each.plural}"
            answer = await tried.server.call("GET", path)
            if answer.status != 200:
                raise Failed(f"a workspace does not serve {each.plural}: {answer.status} {message_of(answer)}")
        if each.status is not None:
            await _statuses(tried, each)


async def _statuses(tried: Tried, view_type: ViewType) -> None:
    await tried.server.idle()
    kind = view_type.spec["names"]["kind"]
    for given in tried.fixture.given:
        wanted: Object = filled(given.obj, tried.clusters)
        version = wanted["apiVersion"]
        if (version.partition("/")[0], wanted["kind"]) != (view_type.group, kind):
            continue
        place = f"/namespaces/{wanted['metadata'].get('namespace', 'default')}" if _has_namespaces(view_type) else ""
        path = f"/apis/{version}{place}/{view_type.plural}/{wanted['metadata']['name']}"
        obj: Object = (await tried.server.call("GET", f"/clusters/{tried.clusters[given.workspace]}{path}")).body
        failed = find(obj.get("status") or {}, COMPUTED)
        if failed is not None:
            raise Failed(f"the status of {wanted['metadata']['name']} cannot be computed: {failed.get('reason')}")
        _is_pure(tried, view_type, obj)


def _is_pure(tried: Tried, view_type: ViewType, obj: Object) -> None:
    assert view_type.status is not None
    now = datetime.now(UTC)
    urls = ViewUrls(tried.view.name, [RangeUrl("root", "https://localhost/ranges/root")])
    first, again = view_type.status(filled(obj, {}), urls, now)
    # What was returned is written, so that the next call gets it.
    second, _ = view_type.status(filled({**obj, "status": first}, {}), urls, now)
    if first != second:
        raise Failed(f"the status of {obj['metadata']['name']} differs each time that it is computed, without a change")
    if again is not None and again < 1:
        raise Failed(f"the status of {obj['metadata']['name']} is to be computed again after {again} s; below 1 s counts as 1 s")


def _has_namespaces(view_type: ViewType) -> bool:
    return bool(view_type.spec.get("scope") == "Namespaced")
