"""ResourceQuota arithmetic: what an object uses of a quota, and whether a limit is exceeded. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

from tenantry.kube.objects import GroupResource, Object, name_of
from tenantry.kube.quantity import exactly, negated, parse, total
from tenantry.kube.types.resource_quota import OBJECT_COUNTS
from tenantry.kube.workloads.usage import in_scope, is_evaluated, unspecified, usage_of

_COUNT = "count/"
Amounts = dict[str, str]
"""Key of a quota → quantity, which may be negative."""


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


def requirements_of(quota: Object) -> list[Object]:
    """The scopes of a quota, as requirements."""
    spec = quota.get("spec") or {}
    plain = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    return plain + list((spec.get("scopeSelector") or {}).get("matchExpressions") or ())


def has_scopes(quota: Object) -> bool:
    """Whether a quota counts only what its scopes match."""
    return bool(requirements_of(quota))


def used_by(quota: Object, keys: Collection[str], resource: GroupResource, obj: Object) -> Amounts:
    """What an object of an evaluated resource uses of some keys of a quota. Empty where a scope does not match it."""
    if not all(in_scope(requirement, resource, obj) for requirement in requirements_of(quota)):
        return {}
    usage = usage_of(resource, obj, keys) or {}
    return {key: amount for key, amount in usage.items() if key in keys}


def wanted_of(quota: Object, resource: GroupResource, obj: Object, old: Object | None, *, built_in: bool) -> Amounts:
    """What a write asks of a quota: for each key, how much more it uses (less where it is negative). `old` is None on create.
    `built_in`: it is no type of a tenant that has only its name."""
    hard = hard_of(quota)
    if built_in and is_evaluated(resource):
        after = used_by(quota, hard, resource, obj)
        before = used_by(quota, hard, resource, old) if old is not None else {}
        changed = {key: plus(after.get(key, "0"), negated(before.get(key, "0"))) for key in after.keys() | before.keys()}
        return {key: amount for key, amount in changed.items() if old is None or parse(amount)}
    if old is not None or has_scopes(quota):
        return {}
    return dict.fromkeys(counted_keys(hard, resource), "1")


def lacking(quota: Object, resource: GroupResource, obj: Object) -> str:
    """What an object has to say because a quota counts it, and does not say; empty if nothing."""
    if resource != GroupResource("", "pods"):
        return ""
    if not all(in_scope(requirement, resource, obj) for requirement in requirements_of(quota)):
        return ""
    text = unspecified(hard_of(quota), obj)
    return f"failed quota: {name_of(quota)}: {text}" if text else ""


def plus(left: str, right: str) -> str:
    return total((left, right))


def hard_of(quota: Object) -> Mapping[str, str]:
    """The limits that apply: those that the controller has copied into the status."""
    return (quota.get("status") or {}).get("hard") or {}


def used_of(quota: Object) -> Mapping[str, str]:
    return (quota.get("status") or {}).get("used") or {}


def enforceable(quota: Object, keys: Iterable[str]) -> bool:
    """Whether the controller has counted all of `keys` already. Before that, upstream refuses the write."""
    used = used_of(quota)
    return all(key in used for key in keys)


def charge(quota: Object, amounts: Mapping[str, str]) -> dict[str, str]:
    """The quota's `used` after adding `amounts`, which may be negative. The result is never below 0."""
    used = dict(used_of(quota))
    for key, amount in amounts.items():
        sum_ = plus(used.get(key, "0"), amount)
        used[key] = sum_ if parse(sum_) > 0 else "0"
    return used


def exceeded(quota: Object, amounts: Mapping[str, str]) -> str:
    """The error text where adding `amounts` exceeds a limit, else empty.

    `exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=3, limited: count/configmaps=3`
    """
    hard, used = hard_of(quota), used_of(quota)
    over = [
        key
        for key in sorted(amounts)
        if key in hard
        and parse(amounts[key]) > 0
        and exactly(Decimal.__add__, parse(used.get(key, "0")), parse(amounts[key])) > parse(hard[key])
    ]
    if not over:
        return ""
    requested = ",".join(f"{key}={amounts[key]}" for key in over)
    spent = ",".join(f"{key}={used.get(key, '0')}" for key in over)
    limited = ",".join(f"{key}={hard[key]}" for key in over)
    return f"exceeded quota: {name_of(quota)}, requested: {requested}, used: {spent}, limited: {limited}"


def unknown_usage(quota: Object, keys: Iterable[str]) -> str:
    """The error text while the controller has not counted a quota yet."""
    missing = ",".join(key for key in sorted(keys) if key not in used_of(quota))
    return f"status unknown for quota: {name_of(quota)}, resources: {missing}"
