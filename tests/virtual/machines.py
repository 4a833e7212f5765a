"""A view with a type of its own: machines, whose agents report that they live."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from tenantry.virtual.interface import (
    AUTHENTICATED_GROUP,
    Attributes,
    Object,
    Place,
    ResourceDefinition,
    View,
    ViewType,
    ViewUrls,
    annotations_of,
    mark_false,
    mark_true,
    name_of,
    timestamp,
)

GROUP = "machines.example.com"
STALE_SECONDS = 30
CONDITION = {
    "type": "object",
    "properties": {
        name: {"type": "string"} for name in ("type", "status", "reason", "message", "severity", "lastTransitionTime")
    },
}
SPEC: Object = {
    "group": GROUP,
    "names": {"plural": "machines", "singular": "machine", "kind": "Machine", "listKind": "MachineList", "shortNames": ["mc"]},
    "scope": "Cluster",
    "versions": [
        {
            "name": "v1",
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
            "schema": {
                "openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "properties": {
                                "size": {"type": "integer"},
                                "fail": {"type": "string"},
                                "export": {"type": "string"},
                            },
                            "x-kubernetes-validations": [{"rule": "!has(self.size) || self.size > 0", "message": "too small"}],
                        },
                        "status": {
                            "type": "object",
                            "properties": {
                                "heartbeat": {"type": "string"},
                                "virtualWorkspaces": {
                                    "type": "array",
                                    "items": {"type": "object", "properties": {"url": {"type": "string"}}},
                                },
                                "conditions": {"type": "array", "items": CONDITION},
                            },
                        },
                    },
                }
            },
        }
    ],
}


def status(obj: Object, urls: ViewUrls, now: datetime) -> tuple[Object, float | None]:
    found = dict(obj.get("status") or {})
    fail = (obj.get("spec") or {}).get("fail")
    if fail == "raise":
        raise RuntimeError("secret")
    if fail == "shape":
        return {"heartbeat": 7}, None
    if fail == "hang":
        while True:
            pass
    found["virtualWorkspaces"] = [{"url": url} for _, url in urls(annotations_of(obj)["kcp.io/cluster"], name_of(obj))]
    heartbeat = found.get("heartbeat")
    if heartbeat is None:
        return found, None
    left = (datetime.fromisoformat(heartbeat) + timedelta(seconds=STALE_SECONDS) - now).total_seconds()
    if left > 0:
        mark_true(found, "Ready", timestamp(now))
        return found, left
    mark_false(found, "Ready", "HeartbeatStale", "no heartbeat", timestamp(now))
    return found, None


class Machines(View):
    """ConfigMaps for machines."""

    name = "machines"
    arguments = ("cluster", "machine")
    interface = "1.0"
    types = (ViewType(spec=SPEC, copied=True, status=status),)

    def allows(self, place: Place, question: Attributes) -> bool:
        cluster, name = place.arguments
        known = self.copy(f"{GROUP}/machines", cluster, name) is not None
        return known and self.may(question.user, "sync", cluster, group=GROUP, resource="machines", name=name)

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return [self.definition("", "configmaps")]


def export_of(obj: Object) -> tuple[str, str] | None:
    """The export that `spec.export` names: `<cluster id>/<name>`."""
    cluster, _, name = str((obj.get("spec") or {}).get("export", "")).partition("/")
    return (cluster, name) if name else None


class Fleets(View):
    """The objects of an exported type, in all workspaces that have bound it, for machines that name the export."""

    name = "fleets"
    arguments = ("identity",)
    interface = "1.0"
    types = (ViewType(spec=SPEC, status=status, export_of=export_of),)

    def allows(self, place: Place, question: Attributes) -> bool:
        return AUTHENTICATED_GROUP in question.user.groups

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        found = self.exported(place.arguments[0], "cars.example.com", "cars")
        return () if found is None else (found,)

    def watch_apis(self, place: Place, changed: Callable[[], None]) -> Callable[[], None]:
        return self.watch_copies("apis.kcp.io/apiresourceschemas", lambda *_: changed())
