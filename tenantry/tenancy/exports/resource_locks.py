"""Locks of resources: an annotation of the LogicalCluster that says which binding serves which resource (kcp)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import orjson

from tenantry.kube.objects import GroupResource, Object, annotations_of

logger = logging.getLogger(__name__)

LOCKS_ANNOTATION = "internal.apis.kcp.io/resource-bindings"

Locks = dict[str, dict[str, object]]
"""`<resource>.<group>` → {"n": name of the APIBinding}, or {"c": true} for a CustomResourceDefinition."""


def lock_name(group: str, resource: str) -> str:
    return str(GroupResource(group, resource))


def parse(text: str) -> Locks:
    """The locks in an annotation. Invalid entries are ignored; the next change of the annotation removes them."""
    try:
        locks = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        locks = None
    found = {name: holder for name, holder in locks.items() if _is_lock(holder)} if isinstance(locks, dict) else {}
    if not isinstance(locks, dict) or len(found) < len(locks):
        logger.warning("the annotation of locks has invalid entries, which are ignored", extra={"length_characters": len(text)})
    return found


def _is_lock(holder: object) -> bool:
    return isinstance(holder, dict) and isinstance(holder.get("n", ""), str)


def dump(locks: Mapping[str, object]) -> str:
    return orjson.dumps(locks, option=orjson.OPT_SORT_KEYS).decode()


def locked_by_others(locks: Locks, binding_name: str) -> dict[str, str]:
    """`<resource>.<group>` → owner of the lock, as text, for locks of other bindings and of CustomResourceDefinitions."""
    return {
        resource: f'APIBinding "{holder["n"]}"' if holder.get("n") else "a CustomResourceDefinition"
        for resource, holder in locks.items()
        if holder.get("n") != binding_name
    }


def locks_annotation(bindings: Iterable[Object]) -> str:
    """The annotation of a new LogicalCluster with these bindings, which are Bound."""
    locks: Locks = {}
    for binding in bindings:
        for entry in (binding.get("status") or {}).get("boundResources") or ():
            locks[lock_name(entry.get("group") or "", entry["resource"])] = {"n": binding["metadata"]["name"]}
    return dump(locks)


def with_locks(annotation: str, binding_name: str, bound: Iterable[Mapping[str, str]]) -> str:
    """The annotation with the locks of a binding added. `bound`: its status.boundResources. The same text if nothing changes."""
    locks = parse(annotation)
    wanted = {lock_name(entry.get("group") or "", entry["resource"]) for entry in bound}
    missing = [resource for resource in wanted if locks.get(resource, {}).get("n") != binding_name]
    if not missing:
        return annotation
    for resource in missing:
        locks[resource] = {"n": binding_name}
    return dump(locks)


def without_binding(annotation: str, binding_name: str) -> str:
    """The annotation without the locks of a binding. The same text if it has none."""
    locks = parse(annotation)
    kept = {resource: holder for resource, holder in locks.items() if holder.get("n") != binding_name}
    return dump(kept) if len(kept) != len(locks) else annotation


def locks_of(logical_cluster: Object) -> str:
    return annotations_of(logical_cluster).get(LOCKS_ANNOTATION, "")
