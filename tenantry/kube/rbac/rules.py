"""RBAC rules: what they allow, compiled, and what one set of rules lacks of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

Rule = Mapping[str, Any]
"""A PolicyRule (rbac.authorization.k8s.io/v1)."""

_Names = frozenset[str] | None
"""The names that a rule is limited to; None means every name, and requests without one."""

_MISSING: _Names = frozenset()


class CompiledRules:
    """The rules of a role, indexed by (verb, group) and resource, so that a decision is a few look-ups."""

    __slots__ = ("_paths", "_prefixes", "_resources", "named", "rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules: tuple[Rule, ...] = tuple(rules)
        self._resources: dict[tuple[str, str], dict[str, _Names]] = {}
        self._paths: dict[tuple[str, str], None] = {}
        self._prefixes: dict[str, tuple[str, ...]] = {}
        limited = [rule.get("resources") or () for rule in self.rules if rule.get("resourceNames")]
        self.named = frozenset(resource.partition("/")[0] for resources in limited for resource in resources)
        """The resources (`*`: all) whose objects' names matter to a decision."""
        for rule in self.rules:
            self._add(rule)

    def _add(self, rule: Rule) -> None:
        verbs = rule.get("verbs") or ()
        for url in rule.get("nonResourceURLs") or ():
            for verb in verbs:
                if url.endswith("*"):
                    self._prefixes[verb] = (*self._prefixes.get(verb, ()), url.rstrip("*"))
                else:
                    self._paths[verb, url] = None
        names: _Names = frozenset(rule.get("resourceNames") or ()) or None
        for verb, group in product(verbs, rule.get("apiGroups") or ()):
            table = self._resources.setdefault((verb, group), {})
            for resource in rule.get("resources") or ():
                known = table.get(resource, _MISSING)
                table[resource] = None if names is None or known is None else known | names

    def allows(self, *, verb: str, group: str, resource: str, subresource: str = "", name: str = "") -> bool:
        """Whether a request on a resource is allowed; `name` is empty for create, list and the like."""
        find = self._resources.get
        wanted = (f"{resource}/{subresource}", f"*/{subresource}", "*") if subresource else (resource, "*")
        for key in ((verb, group), (verb, "*"), ("*", group), ("*", "*")):
            table = find(key)
            if table is not None:
                for candidate in wanted:
                    names = table.get(candidate, _MISSING)
                    if names is None or name in names:
                        return True
        return False

    def allows_path(self, verb: str, path: str) -> bool:
        """Whether a request on a path that is no resource is allowed; `verb` is the lower-case HTTP method."""
        for word in (verb, "*"):
            if (word, path) in self._paths:
                return True
            prefixes = self._prefixes.get(word)
            if prefixes is not None and path.startswith(prefixes):
                return True
        return False


def uncovered(owner_rules: Iterable[Rule], wanted_rules: Iterable[Rule]) -> list[Rule]:
    """What `wanted_rules` grant beyond `owner_rules`: compacted, in the order of their texts; empty where all is covered.

    A `*` is covered by a `*` only (k8s.io/component-helpers/auth/rbac/validation).
    """
    owners = tuple(owner_rules)
    verbs_of: dict[tuple[Any, ...], list[str]] = {}
    for rule in wanted_rules:
        for verb, key in _atoms(rule):
            if not any(_covers(owner, verb, key) for owner in owners):
                verbs = verbs_of.setdefault(key, [])
                if verb not in verbs:
                    verbs.append(verb)
    return sorted((_rule(key, verbs) for key, verbs in verbs_of.items()), key=rule_text)


def _atoms(rule: Rule) -> Iterable[tuple[str, tuple[Any, ...]]]:
    """A rule as single grants: (verb, what it is about)."""
    verbs: Sequence[str] = rule.get("verbs") or ()
    for group, resource in product(rule.get("apiGroups") or (), rule.get("resources") or ()):
        for name in rule.get("resourceNames") or (None,):
            for verb in verbs:
                yield verb, ("resource", group, resource, name)
    for url in rule.get("nonResourceURLs") or ():
        for verb in verbs:
            yield verb, ("url", url)


def _covers(owner: Rule, verb: str, key: tuple[Any, ...]) -> bool:
    verbs = owner.get("verbs") or ()
    if "*" not in verbs and verb not in verbs:
        return False
    if key[0] == "url":
        return any(_url_covers(url, key[1]) for url in owner.get("nonResourceURLs") or ())
    _, group, resource, name = key
    groups = owner.get("apiGroups") or ()
    if "*" not in groups and group not in groups:
        return False
    resources = owner.get("resources") or ()
    if "*" not in resources and resource not in resources:
        _, slash, subresource = resource.partition("/")
        if not slash or f"*/{subresource}" not in resources:
            return False
    names = owner.get("resourceNames") or ()
    return not names or name in names


def _url_covers(owned: str, wanted: str) -> bool:
    if owned in ("*", wanted):
        return True
    return owned.endswith("*") and wanted.startswith(owned.rstrip("*"))


def _rule(key: tuple[Any, ...], verbs: list[str]) -> Rule:
    if key[0] == "url":
        return {"nonResourceURLs": [key[1]], "verbs": verbs}
    rule: dict[str, Any] = {"apiGroups": [key[1]], "resources": [key[2]], "verbs": verbs}
    if key[3] is not None:
        rule["resourceNames"] = [key[3]]
    return rule


def rule_text(rule: Rule) -> str:
    """A rule as the refusal of an escalation shows it: `{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}`."""
    shown = (
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("ResourceNames", "resourceNames"),
        ("Verbs", "verbs"),
    )
    parts = []
    for label, field in shown:
        values = rule.get(field)
        if values:
            parts.append(f"{label}:[" + " ".join(f'"{value}"' for value in values) + "]")
    return "{" + ", ".join(parts) + "}"
