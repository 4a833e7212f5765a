"""RBAC rules compiled for decisions. `tenantry.kube.rbac.cover` compares sets of rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tenantry.kube.rbac.cover import Rule

_Names = frozenset[str] | None
"""The names that a rule is limited to. None means every name, and requests without a name."""


_RULE_BYTES, _NAME_BYTES = 1500, 150
"""Bytes for a rule's tables, and for a name: its string and its places in the rule and in the index. Measured."""


class _Part(NamedTuple):
    """The rest of a rule, once its resource or URL has matched."""

    verbs: frozenset[str]
    groups: frozenset[str]
    names: _Names


class CompiledRules:
    """The rules of a role, indexed by resource and by URL. The index is as large as the rules, and a decision looks only at the
    rules for its resource."""

    __slots__ = ("_by_path", "_by_prefix", "_by_resource", "bytes", "named", "rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules: tuple[Rule, ...] = tuple(rules)
        self.bytes = _RULE_BYTES
        """Approximate memory in bytes."""
        self._by_resource: dict[str, list[_Part]] = {}
        self._by_path: dict[str, list[_Part]] = {}
        self._by_prefix: dict[str, list[_Part]] = {}
        limited = [rule.get("resources") or () for rule in self.rules if rule.get("resourceNames")]
        self.named = frozenset(resource.partition("/")[0] for resources in limited for resource in resources)
        """The resources (`*`: all) for which a decision depends on the object's name."""
        for rule in self.rules:
            self._add(rule)

    def _add(self, rule: Rule) -> None:
        self.bytes += _RULE_BYTES + sum(_NAME_BYTES + len(name) for names in rule.values() for name in names or ())
        part = _Part(
            frozenset(rule.get("verbs") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("resourceNames") or ()) or None,
        )
        for url in dict.fromkeys(rule.get("nonResourceURLs") or ()):
            if url.endswith("*"):
                self._by_prefix.setdefault(url.rstrip("*"), []).append(part)
            else:
                self._by_path.setdefault(url, []).append(part)
        for resource in dict.fromkeys(rule.get("resources") or ()):
            self._by_resource.setdefault(resource, []).append(part)

    def allows(self, *, verb: str, group: str, resource: str, subresource: str = "", name: str = "") -> bool:
        """Whether a request on a resource is allowed; `name` is empty for create, list and the like."""
        find = self._by_resource.get
        wanted = (f"{resource}/{subresource}", f"*/{subresource}", "*") if subresource else (resource, "*")
        for candidate in wanted:
            for verbs, groups, names in find(candidate, ()):
                if (verb in verbs or "*" in verbs) and (group in groups or "*" in groups) and (names is None or name in names):
                    return True
        return False

    def allows_path(self, verb: str, path: str) -> bool:
        """Whether a request for a path that is not a resource is allowed. `verb` is the lower-case HTTP method."""
        if any(verb in verbs or "*" in verbs for verbs, _, _ in self._by_path.get(path, ())):
            return True
        for prefix, parts in self._by_prefix.items():
            if path.startswith(prefix) and any(verb in verbs or "*" in verbs for verbs, _, _ in parts):
                return True
        return False
