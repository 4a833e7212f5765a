"""Target: what Pods, Services and claims use of quotas, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cache

import orjson

from tenantry.apiserver.decoding import normalise
from tenantry.kube import quantity, quota
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.go_decode import Mismatch
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.kube.types import resource_quota
from tenantry.kube.workloads.usage import is_evaluated
from tests.fuzz.targets import Target
from tests.support.sound_objects import sound_objects

_HARD = {"pods": "5", "requests.cpu": "1", "limits.memory": "1Gi", "services": "2", "requests.storage": "3Gi", "count/pods": "9"}


@cache
def _types() -> list[tuple[ResourceDefinition, Object]]:
    return [(each, obj) for each, obj in sound_objects() if is_evaluated(each.group_resource)]


def objects() -> Iterator[bytes]:
    scopes = [["NotTerminating", "NotBestEffort"], ["CrossNamespacePodAffinity"], []]
    priority = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["a"]}]}
    for number, (_, obj) in enumerate(_types()):
        spec = {"hard": _HARD, "scopes": scopes[number % 3], **({"scopeSelector": priority} if number % 2 else {})}
        limited = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1", "example.com/gpu": "1"}}
        yield bytes((number,)) + orjson.dumps([spec, obj])
        if obj["kind"] == "Pod":
            pod = obj | {
                "spec": {**obj["spec"], "overhead": {"cpu": "1m"}, "initContainers": [{"name": "i", "resources": limited}]}
            }
            yield bytes((number,)) + orjson.dumps([spec, pod])


def charge(data: bytes) -> None:
    """What an object uses is what it is charged, and an update that changes nothing is charged nothing."""
    try:
        spec, obj = orjson.loads(data[1:])
    except (orjson.JSONDecodeError, TypeError, ValueError):
        return
    if not data[:1] or not isinstance(spec, dict) or not isinstance(obj, dict):
        return
    definition, _ = _types()[data[0] % len(_types())]
    limits: Object = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "default"},
        "spec": spec,
    }
    for kind, each in ((definition, obj), (resource_quota.DEFINITION, limits)):
        each |= {"apiVersion": "v1", "kind": kind.kind, "metadata": {"name": "x", "namespace": "default"}}
        try:
            normalise(kind, kind.versions["v1"], each)
            kind.strategy.prepare_for_create(each)
            if kind.strategy.validate(each, None, ""):
                return
        except (Mismatch, StatusError):
            return
    limits["status"] = {"hard": limits["spec"].get("hard") or {}, "used": {}}
    resource = definition.group_resource
    usage = quota.ObjectUsage(resource, obj)
    wanted = quota.wanted_of(limits, usage, None, built_in=True)
    same = quota.wanted_of(limits, usage, quota.ObjectUsage(resource, deepcopy(obj)), built_in=True)
    assert same == {}, same
    quota.lacking(limits, usage).encode(errors="surrogatepass")
    quota.exceeded(limits, wanted).encode(errors="surrogatepass")
    charged = quota.charge(limits, wanted)
    assert all(quantity.parse(charged[key]) >= 0 for key in charged)


TARGETS = (Target(name="quotas", run=charge, seeds=objects, json_at=1, words=("requests.", "limits.", "hugepages-", "scopes")),)
