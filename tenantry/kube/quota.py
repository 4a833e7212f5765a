"""ResourceQuota arithmetic: what an object uses of a quota, and whether a limit is exceeded. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

from tenantry.kube.objects import GroupResource, Object, name_of
from tenantry.kube.quantity import exactly, negated, parse, total
from tenantry.kube.types.resource_quota import OBJECT_COUNTS
from tenantry.kube.workloads.usage import TO_SPECIFY, in_scope, is_evaluated, unspecified, usage_of

_COUNT = "count/"
Amounts = dict[str, str]
"""Key of a quota → quantity, which may be negative."""


def counted_keys(hard_keys: Iterable[str], resource: GroupResource) -> tuple[str, ...]:
    """The keys of a quota (`configmaps`, `count/widgets.example.com`) against which one object of a resource counts 1."""
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


class ObjectUsage:
    """What one object of a resource uses, counted once for all quotas. `keys`: those of all of them; None: all that there are. An
    object of a type that is only counted uses nothing."""

    def __init__(self, resource: GroupResource, obj: Object, keys: Collection[str] | None = None) -> None:
        self.resource = resource
        self._object = obj
        self._keys = keys
        self._used: Amounts | None = None
        self._plain_scopes: dict[str, bool] = {}
        self._unspecified: dict[frozenset[str], str] = {}

    def covers(self, keys: Iterable[str]) -> bool:
        """Whether it counts for these keys."""
        return self._keys is None or all(key in self._keys for key in keys)

    def in_scopes(self, quota: Object) -> bool:
        """Whether the scopes of a quota match the object."""
        return all(map(self._in_scope, requirements_of(quota)))

    def of(self, quota: Object, keys: Collection[str]) -> Amounts:
        """What it uses of some keys of a quota. Empty where a scope does not match it."""
        if not self.in_scopes(quota):
            return {}
        used = self._all()
        return {key: used[key] for key in _both(used, keys)}

    def unspecified(self, keys: Iterable[str]) -> str:
        """What the containers of a Pod have to say, and do not, because a quota has these keys (`usage.unspecified`)."""
        wanted = TO_SPECIFY.intersection(keys)
        if wanted not in self._unspecified:
            self._unspecified[wanted] = unspecified(wanted, self._object)
        return self._unspecified[wanted]

    def _all(self) -> Amounts:
        if self._used is None:
            self._used = usage_of(self.resource, self._object, self._keys) or {}
        return self._used

    def _in_scope(self, requirement: Object) -> bool:
        if requirement.get("values"):
            return in_scope(requirement, self.resource, self._object)
        # Some of these go through all containers of a Pod.
        plain = f"{requirement.get('operator')} {requirement.get('scopeName')}"
        if plain not in self._plain_scopes:
            self._plain_scopes[plain] = in_scope(requirement, self.resource, self._object)
        return self._plain_scopes[plain]


def _both(left: Collection[str], right: Collection[str]) -> Iterable[str]:
    """What is in both. The shorter one is gone through."""
    shorter, longer = (left, right) if len(left) <= len(right) else (right, left)
    return [each for each in shorter if each in longer]


def wanted_of(quota: Object, usage: ObjectUsage, old: ObjectUsage | None, *, built_in: bool) -> Amounts:
    """What a write asks of a quota: for each key, how much more it uses (less where it is negative). `old` is None on create.
    `built_in`: it is no type of a tenant that has only its name."""
    hard = hard_of(quota)
    if built_in and is_evaluated(usage.resource):
        after = usage.of(quota, hard)
        if old is None:
            return after
        before = old.of(quota, hard)
        changed = {key: plus(after.get(key, "0"), negated(before.get(key, "0"))) for key in after.keys() | before.keys()}
        return {key: amount for key, amount in changed.items() if parse(amount)}
    if old is not None or has_scopes(quota):
        return {}
    return dict.fromkeys(counted_keys(hard, usage.resource), "1")


def lacking(quota: Object, usage: ObjectUsage) -> str:
    """What an object has to say because a quota counts it, and does not say; empty if nothing."""
    if usage.resource != GroupResource("", "pods") or not usage.in_scopes(quota):
        return ""
    text = usage.unspecified(hard_of(quota))
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
