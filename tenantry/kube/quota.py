"""ResourceQuota arithmetic: against which of a quota's keys an object counts, and whether a limit is exceeded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tenantry.kube.objects import GroupResource, Object, name_of
from tenantry.kube.quantity import from_amount, parse
from tenantry.kube.types.resource_quota import OBJECT_COUNTS

_COUNT = "count/"


def counted_keys(hard_keys: Iterable[str], resource: GroupResource, *, namespaced: bool = True) -> tuple[str, ...]:
    """The keys of a quota (`configmaps`, `count/widgets.example.com`) against which one object of a resource counts 1.

    Cluster-scoped objects never count.
    """
    if not namespaced:
        return ()
    wanted = {_COUNT + str(resource)}
    if not resource.group and resource.resource in OBJECT_COUNTS:
        wanted.add(resource.resource)
    return tuple(sorted(wanted.intersection(hard_keys)))


def resource_of(key: str) -> GroupResource | None:
    """The resource whose objects a key counts. None where it counts something else (cpu, storage)."""
    if key.startswith(_COUNT):
        resource, _, group = key[len(_COUNT) :].partition(".")
        return GroupResource(group, resource)
    return GroupResource("", key) if key in OBJECT_COUNTS and "." not in key else None


def has_scopes(quota: Object) -> bool:
    """Whether a quota counts only what its scopes match. These are scopes of pods and volumes, so that no object here matches
    one."""
    spec = quota.get("spec") or {}
    return bool(spec.get("scopes") or (spec.get("scopeSelector") or {}).get("matchExpressions"))


def hard_of(quota: Object) -> Mapping[str, str]:
    """The limits that apply: those that the controller has copied into the status."""
    return (quota.get("status") or {}).get("hard") or {}


def used_of(quota: Object) -> Mapping[str, str]:
    return (quota.get("status") or {}).get("used") or {}


def enforceable(quota: Object, keys: Iterable[str]) -> bool:
    """Whether the controller has counted all of `keys` already. Before that, upstream refuses the write."""
    used = used_of(quota)
    return all(key in used for key in keys)


def charge(quota: Object, keys: Iterable[str], amount: int = 1) -> dict[str, str]:
    """The quota's `used` after adding `amount` objects for each of `keys`. `amount` may be negative; the result is never below
    0."""
    used = dict(used_of(quota))
    for key in keys:
        total = parse(used.get(key, "0")) + amount
        used[key] = from_amount(max(total, parse("0")))
    return used


def exceeded(quota: Object, keys: Iterable[str], amount: int = 1) -> str:
    """The error text where adding `amount` objects exceeds a limit, else empty.

    `exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=3, limited: count/configmaps=3`
    """
    hard, used = hard_of(quota), used_of(quota)
    over = [key for key in sorted(keys) if key in hard and parse(used.get(key, "0")) + amount > parse(hard[key])]
    if not over:
        return ""
    requested = ",".join(f"{key}={amount}" for key in over)
    spent = ",".join(f"{key}={used.get(key, '0')}" for key in over)
    limited = ",".join(f"{key}={hard[key]}" for key in over)
    return f"exceeded quota: {name_of(quota)}, requested: {requested}, used: {spent}, limited: {limited}"


def unknown_usage(quota: Object, keys: Iterable[str]) -> str:
    """The error text while the controller has not counted a quota yet."""
    missing = ",".join(key for key in sorted(keys) if key not in used_of(quota))
    return f"status unknown for quota: {name_of(quota)}, resources: {missing}"
