"""Which grants one set of RBAC rules has that another set lacks (k8s.io/component-helpers/auth/rbac/validation). It does not
expand rules into single grants.

A rule is a box: the product of its verbs, groups, resources and names, or of its verbs and URLs. Upstream asks for every single
grant in it whether one rule of the owner has it. So several rules of the owner may cover a rule together. Here, each rule of the
owner is cut to the box in question. Then the box is split, one dimension after the other, into parts whose values are in the same
rules of the owner. A part that one rule covers completely is not split further. The cost is the size of the rules and the number
of splits; above a budget, the comparison is refused.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, product
from typing import Any

Rule = Mapping[str, Any]
"""A PolicyRule (rbac.authorization.k8s.io/v1)."""

GRANTS_MAX = 1000
"""The most single grants that an error lists; more may be missing."""
BUDGET = 200_000
"""Steps of a comparison, in addition to the size of the rules. They take some tens of milliseconds."""
_SHOWN_MAX, _SHOWN_CHARACTERS, _VALUE_CHARACTERS = 100, 16 * 1024, 256
"""What an error shows at most: rules, characters in total, characters of one value. Valid names are shorter than the last
limit."""

_Box = tuple[frozenset[Any] | None, ...]
"""The values of an owner's rule in each dimension. None where it has all values in question."""


class TooComplex(Exception):
    """Two sets of rules that cannot be compared within the budget."""


def uncovered(owner_rules: Iterable[Rule], wanted_rules: Iterable[Rule], *, budget: int = BUDGET) -> list[Rule]:
    """The part of `wanted_rules` that `owner_rules` do not grant: compacted, in the order of their texts; empty where all is
    covered. Where more than `GRANTS_MAX` single grants are missing, about that many of them.

    `*` is covered only by `*`. `budget` is the number of steps in addition to the size of the rules. Raises TooComplex.
    """
    search = _Search(owner_rules, budget)
    asked = set()
    for rule in wanted_rules:
        for wanted in (_Resources(rule), _Urls(rule)):
            if wanted.is_empty or wanted.identity in asked:
                continue
            asked.add(wanted.identity)
            search.compare(wanted)
            if search.is_full:
                return search.found()
    return search.found()


def rule_text(rule: Rule) -> str:
    """A rule as the error of a privilege escalation shows it: `{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}`."""
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
            parts.append(f"{label}:[" + " ".join(f'"{_cut(value)}"' for value in values) + "]")
    return "{" + ", ".join(parts) + "}"


def _cut(value: str) -> str:
    return value if len(value) <= _VALUE_CHARACTERS else f"{value[:_VALUE_CHARACTERS]}..."


def rules_text(rules: Sequence[Rule]) -> str:
    """Rules as an error lists them: one for each line, as many as an answer may have."""
    lines: list[str] = []
    left = _SHOWN_CHARACTERS
    for rule in rules[:_SHOWN_MAX]:
        text = rule_text(rule)
        left -= len(text)
        if left < 0:
            break
        lines.append(text)
    if len(lines) < len(rules) or sum(len(rule["verbs"]) for rule in rules) >= GRANTS_MAX:
        lines.append("and more")
    return "\n".join(lines)


class _Wanted:
    """A rule in question: the values of each dimension, verbs last."""

    kind: str
    dimensions: tuple[tuple[Any, ...], ...]

    @property
    def is_empty(self) -> bool:
        return not all(self.dimensions)

    @property
    def identity(self) -> tuple[Any, ...]:
        return (self.kind, *self.dimensions)

    def rule(self, key: tuple[Any, ...], verbs: list[str]) -> Rule:
        raise NotImplementedError


def _values(rule: Rule, field: str) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(rule.get(field) or ()))


class _Resources(_Wanted):
    kind = "resource"

    def __init__(self, rule: Rule) -> None:
        names = _values(rule, "resourceNames") or (None,)
        self.dimensions = (_values(rule, "apiGroups"), _values(rule, "resources"), names, _values(rule, "verbs"))
        self._sets = tuple(map(frozenset, self.dimensions))
        self._by_subresource: dict[str, list[str]] = {}
        for resource in self.dimensions[1]:
            _, slash, subresource = resource.partition("/")
            if slash:
                self._by_subresource.setdefault(f"*/{subresource}", []).append(resource)

    def cut(self, owner: _OwnerRule, spend: Callable[[int], None]) -> _Box | None:
        groups, resources, names, verbs = self._sets
        wide: tuple[str, ...] = ()
        if owner.subresources and "*" not in owner.resources:
            spend(len(owner.subresources))
            found = [self._by_subresource[each] for each in owner.subresources if each in self._by_subresource]
            wide = tuple(chain.from_iterable(found))
        parts = ((groups, owner.groups, ()), (resources, owner.resources, wide), (verbs, owner.verbs, ()))
        box: list[frozenset[Any] | None] = []
        for asked, held, more in parts:
            spend(min(len(asked), len(held)) + len(more))
            common = asked if "*" in held else asked.intersection(held).union(more)
            if not common:
                return None
            box.append(None if len(common) == len(asked) else common)
        group, resource, verb = box
        if not owner.names:
            return group, resource, None, verb
        spend(min(len(names), len(owner.names)))
        named = names & owner.names
        return (group, resource, None if len(named) == len(names) else named, verb) if named else None

    def rule(self, key: tuple[Any, ...], verbs: list[str]) -> Rule:
        group, resource, name = key
        rule: dict[str, Any] = {"apiGroups": [group], "resources": [resource], "verbs": verbs}
        if name is not None:
            rule["resourceNames"] = [name]
        return rule


class _Urls(_Wanted):
    kind = "url"

    def __init__(self, rule: Rule) -> None:
        self.dimensions = (_values(rule, "nonResourceURLs"), _values(rule, "verbs"))
        self._sets = tuple(map(frozenset, self.dimensions))
        self._sorted = sorted(self.dimensions[0])

    def cut(self, owner: _OwnerRule, spend: Callable[[int], None]) -> _Box | None:
        urls, verbs = self._sets
        spend(min(len(verbs), len(owner.verbs)) + len(owner.prefixes) + min(len(urls), len(owner.urls)))
        verb = None if "*" in owner.verbs else verbs & owner.verbs
        if verb is not None and not verb:
            return None
        common: set[str] = set(urls & owner.urls)
        for prefix in owner.prefixes:
            size = len(prefix)
            first = bisect_left(self._sorted, prefix)
            last = bisect_right(self._sorted, prefix, lo=first, key=lambda url: url[:size])
            if last - first == len(urls):
                common = set(urls)
                break
            spend(last - first)
            common.update(self._sorted[first:last])
        if not common:
            return None
        return (
            None if len(common) == len(urls) else frozenset(common),
            None if verb is None or len(verb) == len(verbs) else verb,
        )

    def rule(self, key: tuple[Any, ...], verbs: list[str]) -> Rule:
        return {"nonResourceURLs": [key[0]], "verbs": verbs}


class _OwnerRule:
    """A rule of the owner as sets."""

    __slots__ = ("groups", "names", "prefixes", "resources", "subresources", "urls", "verbs")

    def __init__(self, rule: Rule) -> None:
        self.verbs = frozenset(rule.get("verbs") or ())
        self.groups = frozenset(rule.get("apiGroups") or ())
        self.resources = frozenset(rule.get("resources") or ())
        self.subresources = tuple(resource for resource in self.resources if resource.startswith("*/"))
        self.names = frozenset(rule.get("resourceNames") or ())
        self.urls = frozenset(rule.get("nonResourceURLs") or ())
        self.prefixes = _minimal({url.rstrip("*") for url in self.urls if url.endswith("*")})

    @property
    def size(self) -> int:
        return len(self.verbs) + len(self.groups) + len(self.resources) + len(self.names) + len(self.urls)

    @property
    def width(self) -> int:
        """The number of dimensions that have `*`. Rules with more of them are tried first."""
        return ("*" in self.verbs) + ("*" in self.groups) + ("*" in self.resources) + ("" in self.prefixes)


def _minimal(prefixes: set[str]) -> tuple[str, ...]:
    """The prefixes that do not begin with another one."""
    kept: list[str] = []
    for prefix in sorted(prefixes):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)


class _Search:
    def __init__(self, owner_rules: Iterable[Rule], budget: int) -> None:
        self._owners = sorted(map(_OwnerRule, owner_rules), key=lambda owner: owner.width, reverse=True)
        self._left = budget + sum(owner.size for owner in self._owners)
        self._verbs_of: dict[tuple[Any, ...], dict[str, None]] = {}
        self._rules: dict[tuple[Any, ...], Callable[[tuple[Any, ...], list[str]], Rule]] = {}
        self._grants = 0
        self._indexes = {"resource": _Index(self._owners, _resource_parts), "url": _Index(self._owners, _url_parts)}

    @property
    def is_full(self) -> bool:
        return self._grants >= GRANTS_MAX

    def found(self) -> list[Rule]:
        rules = (self._rules[place](place[1:], list(verbs)) for place, verbs in self._verbs_of.items())
        return sorted(rules, key=rule_text)

    def compare(self, wanted: _Resources | _Urls) -> None:
        """Adds the grants of one rule that no rule of the owner has."""
        # The length of the rule itself is not limited: reading it takes linear time.
        self._left += sum(map(len, wanted.dimensions))
        boxes: list[_Box] = []
        for owner in self._indexes[wanted.kind].candidates(wanted.dimensions):
            self._spend(1)
            box = wanted.cut(owner, self._spend)
            if box is None:
                continue
            if not any(part is not None for part in box):
                return
            boxes.append(box)
        missing: dict[tuple[Any, ...], set[str]] = {}
        for part in self._missing(wanted.dimensions, boxes):
            for key in product(*part[:-1]):
                known = missing.setdefault(key, set())
                for verb in part[-1]:
                    known.add(verb)
                    self._grants += 1
                    if self.is_full:
                        break
                if self.is_full:
                    break
            if self.is_full:
                break
        for key, verbs in missing.items():
            place = (wanted.kind, *key)
            self._rules[place] = wanted.rule
            known_verbs = self._verbs_of.setdefault(place, {})
            known_verbs.update(dict.fromkeys(verb for verb in wanted.dimensions[-1] if verb in verbs))

    def _missing(self, dimensions: tuple[tuple[Any, ...], ...], boxes: Sequence[_Box]) -> Iterator[tuple[Sequence[Any], ...]]:
        """The parts of the box `dimensions` that no rule of the owner covers, each with the values of every dimension."""
        if not boxes:
            yield dimensions
            return
        if not dimensions or any(all(part is None for part in box) for box in boxes):
            return
        everywhere = [box[1:] for box in boxes if box[0] is None]
        holders: dict[Any, list[int]] = {}
        for number, box in enumerate(boxes):
            if box[0] is not None:
                self._spend(len(box[0]))
                for value in box[0]:
                    holders.setdefault(value, []).append(number)
        alike: dict[tuple[int, ...], list[Any]] = {}
        for value in dimensions[0]:
            alike.setdefault(tuple(holders.get(value, ())), []).append(value)
        self._spend(len(dimensions[0]))
        for numbers, values in alike.items():
            self._spend(len(numbers) + len(everywhere))
            for rest in self._missing(dimensions[1:], [*everywhere, *(boxes[number][1:] for number in numbers)]):
                yield (values, *rest)

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooComplex


Parts = Callable[[_OwnerRule], tuple[Iterable[Any] | None, ...]]


def _resource_parts(owner: _OwnerRule) -> tuple[Iterable[Any] | None, ...]:
    return (
        None if "*" in owner.groups else owner.groups,
        None if "*" in owner.resources or owner.subresources else owner.resources,
        owner.names or None,
        None if "*" in owner.verbs else owner.verbs,
    )


def _url_parts(owner: _OwnerRule) -> tuple[Iterable[Any] | None, ...]:
    return (None if owner.prefixes else owner.urls, None if "*" in owner.verbs else owner.verbs)


class _Index:
    """Value → the owner's rules that have it, for each dimension. Its size is that of all rules together."""

    def __init__(self, owners: Sequence[_OwnerRule], parts_of: Parts) -> None:
        self._owners = owners
        self._wide: list[list[int]] = []
        self._by_value: list[dict[Any, list[int]]] = []
        for number, owner in enumerate(owners):
            parts = parts_of(owner)
            if not self._wide:
                self._wide = [[] for _ in parts]
                self._by_value = [{} for _ in parts]
            for wide, by_value, values in zip(self._wide, self._by_value, parts, strict=True):
                if values is None:
                    wide.append(number)
                else:
                    for value in values:
                        by_value.setdefault(value, []).append(number)

    def candidates(self, dimensions: Sequence[Sequence[Any]]) -> Iterator[_OwnerRule]:
        """The owner's rules that match in the most selective dimension; those with `*` first."""
        best: tuple[int, int] | None = None
        for place, (wide, by_value, asked) in enumerate(zip(self._wide, self._by_value, dimensions, strict=False)):
            count = len(wide) + sum(len(by_value.get(value, ())) for value in asked)
            if best is None or count < best[0]:
                best = (count, place)
        if best is None:
            return
        place = best[1]
        for number in self._wide[place]:
            yield self._owners[number]
        seen: set[int] = set()
        for value in dimensions[place]:
            for number in self._by_value[place].get(value, ()):
                if number not in seen:
                    seen.add(number)
                    yield self._owners[number]
