"""Aggregated cluster roles: their rules are the union of the rules of the roles that their selectors select."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from tenantry.kube.objects import Object, labels_of, name_of
from tenantry.kube.selectors.labels import LabelSelector, from_object


def is_aggregated(role: Object) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def selectors_of(role: Object) -> list[LabelSelector]:
    """The selectors of an aggregated role; empty for other roles."""
    return [from_object(selector) for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()]


def aggregated_rules(role: Object, roles: Iterable[Object]) -> list[Any]:
    """The rules of an aggregated role, from `roles` (which may contain the role itself): in the order of selectors and names,
    each rule once."""
    candidates = sorted((r for r in roles if name_of(r) != name_of(role)), key=name_of)
    found: dict[bytes, Any] = {}
    for matching in selectors_of(role):
        for other in candidates:
            if matching.matches(labels_of(other)):
                for rule in other.get("rules") or ():
                    found.setdefault(orjson.dumps(rule, option=orjson.OPT_SORT_KEYS), rule)
    return list(found.values())
