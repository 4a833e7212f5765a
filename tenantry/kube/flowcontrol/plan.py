"""Which priority level a request belongs to: the FlowSchemas of a logical cluster, compiled (KEP-1040)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tenantry.base.cache import Cache
from tenantry.kube.flowcontrol.levels import Level, divided
from tenantry.kube.flowcontrol.standard_objects import (
    CATCH_ALL,
    EXEMPT,
    MANDATORY_LEVELS,
    MANDATORY_SCHEMAS,
    STANDARD_LEVELS,
    STANDARD_SCHEMAS,
)
from tenantry.kube.objects import Object
from tenantry.kube.request_attributes import RequestAttributes, RequestUser

_SERVICE_ACCOUNT = "system:serviceaccount:"
USERS_BYTES_MAX = 256 << 10
"""How much memory a plan uses to remember which schemas may match a user."""
_CANDIDATE_BYTES = 128
_EVERYTHING = "*"


@dataclass(slots=True, eq=False)
class Flow:
    """A FlowSchema, and the level of its requests. `by`: the method of its distinguisher, empty for none. `header_lines`: the two
    headers of an answer that name both by uid. `dispatched` counts the requests that were carried out."""

    name: str
    level: Level
    by: str = ""
    header_lines: str = ""
    dispatched: int = 0

    def hash_of(self, user: RequestUser, asked: RequestAttributes) -> int:
        """The hash of the flow that a request belongs to, 64 bits: one flow for each user or namespace, by the method."""
        distinguisher = user.name if self.by == "ByUser" else asked.namespace if self.by == "ByNamespace" else ""
        digest = hashlib.sha256(b"%b\0%b" % (self.name.encode(), distinguisher.encode("utf-8", "surrogateescape"))).digest()
        return int.from_bytes(digest[:8], "little")


@dataclass(slots=True, eq=False)
class _Rule:
    """The rules about resources or paths that hold for some subjects."""

    subjects: Sequence[Object]
    resources: Sequence[Object]
    paths: Sequence[Object]


@dataclass(slots=True, eq=False)
class _Schema:
    precedence: int
    flow: Flow
    rules: list[_Rule]


Candidate = tuple[Flow, tuple[Object, ...] | None]
"""A schema whose subjects match a user, with its rules about resources (or paths), None if these match every request."""
Candidates = tuple[tuple[Candidate, ...], tuple[Candidate, ...]]


@dataclass(slots=True, eq=False)
class Plan:
    """The FlowSchemas and levels of a logical cluster. `seats`: how many requests may be in progress in all."""

    seats: int
    levels: Mapping[str, Level]
    flows: Sequence[Flow]
    _schemas: list[_Schema]
    _url_lengths: Sequence[int]
    _users: Cache[tuple[str, tuple[str, ...]], Candidates] = field(
        default_factory=lambda: Cache("flow_users", bytes_max=USERS_BYTES_MAX, size=_size)
    )

    def flow(self, user: RequestUser, asked: RequestAttributes) -> Flow:
        """The flow of a request: the first schema that matches it, by precedence and name."""
        key = user.name, user.groups
        found = self._users.get(key)
        if found is None:
            found = self._candidates(user)
            self._users.put(key, found)
        if asked.resource:
            for flow, rules in found[0]:
                if rules is None or any(_matches_resource(rule, asked) for rule in rules):
                    return flow
        else:
            urls: frozenset[str] | None = None
            for flow, rules in found[1]:
                if rules is None:
                    return flow
                if urls is None:
                    urls = self._urls_that_match(asked.path)
                if any(_matches_path(rule, asked.verb, urls) for rule in rules):
                    return flow
        # Every user is in a group that `catch-all` names; this is for those that have none.
        return self._schemas[-1].flow

    def _candidates(self, user: RequestUser) -> Candidates:
        groups = frozenset(user.groups)
        resources: list[Candidate] = []
        paths: list[Candidate] = []
        for schema in self._schemas:
            of_user = [rule for rule in schema.rules if any(_is_meant(each, user.name, groups) for each in rule.subjects)]
            of_resources = tuple(each for rule in of_user for each in rule.resources)
            if of_resources:
                resources.append((schema.flow, None if any(map(_is_every_resource, of_resources)) else of_resources))
            of_paths = tuple(each for rule in of_user for each in rule.paths)
            if of_paths:
                paths.append((schema.flow, None if any(map(_is_every_path, of_paths)) else of_paths))
        return _until_everything(resources), _until_everything(paths)

    def _urls_that_match(self, path: str) -> frozenset[str]:
        """The URLs in rules that match a path, as far as they have the length of one. All URLs together are bounded, so few have
        different lengths, and one rule with tens of thousands is compared at once."""
        found = {_EVERYTHING, path}
        for length in self._url_lengths:
            if length > len(path) + 1:
                break
            if path[length : length + 1] == "/" or path[length - 1 : length] == "/":
                found.add(path[:length])
            if length > 1 and path[length - 2] == "/":
                found.add(f"{path[: length - 1]}*")
        return frozenset(found)


def _size(found: Candidates) -> int:
    """The plan has the rules in any case."""
    return sum(_CANDIDATE_BYTES + 8 * len(rules or ()) for part in found for _, rules in part)


def _until_everything(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    """Without those that can't be reached."""
    for index, (_, rules) in enumerate(candidates):
        if rules is None:
            return tuple(candidates[: index + 1])
    return tuple(candidates)


def compile_plan(schemas: Iterable[tuple[str, str, Object]], levels: Iterable[tuple[str, str, Object]], seats: int) -> Plan:
    """The plan of validated specs, each with name and uid. A schema whose level does not exist matches nothing, and mandatory
    ones that are missing are there nevertheless."""
    of_levels = {name: (name, uid, spec) for name, uid, spec in levels}
    for name, spec in MANDATORY_LEVELS.items():
        of_levels.setdefault(name, (name, "", spec))
    made = divided(of_levels.values(), seats)
    of_schemas = {name: (name, uid, spec) for name, uid, spec in schemas}
    for name, spec in MANDATORY_SCHEMAS.items():
        of_schemas.setdefault(name, (name, "", spec))
    compiled: list[_Schema] = []
    for name, uid, spec in of_schemas.values():
        level = made.get((spec.get("priorityLevelConfiguration") or {}).get("name") or "")
        if level is not None:
            compiled.append(_schema(name, uid, spec, level))
    compiled.sort(key=lambda schema: (schema.precedence, schema.flow.name))
    # The last one is used for whom none matches.
    compiled.sort(key=lambda schema: schema.flow.name == CATCH_ALL)
    lengths = {
        len(url)
        for schema in compiled
        for rule in schema.rules
        for each in rule.paths
        for url in each.get("nonResourceURLs") or ()
    }
    return Plan(seats, made, [schema.flow for schema in compiled], compiled, sorted(lengths))


def standard_uid(kind: str, name: str) -> str:
    """The uid of a standard object, the same in every logical cluster: it is one object until a cluster changes it."""
    digest = hashlib.sha256(f"flowcontrol.apiserver.k8s.io/{kind}/{name}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"


def standard_plan(seats: int) -> Plan:
    """The plan of a logical cluster that has no objects of its own."""
    return compile_plan(
        ((name, standard_uid("FlowSchema", name), spec) for name, spec in STANDARD_SCHEMAS.items()),
        ((name, standard_uid("PriorityLevelConfiguration", name), spec) for name, spec in STANDARD_LEVELS.items()),
        seats,
    )


def _schema(name: str, uid: str, spec: Object, level: Level) -> _Schema:
    lines = f"X-Kubernetes-Pf-Flowschema-Uid: {uid}\r\nX-Kubernetes-Pf-Prioritylevel-Uid: {level.uid}\r\n"
    rules = [
        _Rule(rule.get("subjects") or (), rule.get("resourceRules") or (), rule.get("nonResourceRules") or ())
        for rule in spec.get("rules") or ()
    ]
    precedence = 1 if name == EXEMPT else spec.get("matchingPrecedence") or 0
    return _Schema(precedence, Flow(name, level, (spec.get("distinguisherMethod") or {}).get("type") or "", lines), rules)


def _is_meant(subject: Object, user: str, groups: frozenset[str]) -> bool:
    match subject.get("kind"):
        case "User":
            name = (subject.get("user") or {}).get("name")
            return name in (_EVERYTHING, user)
        case "Group":
            name = (subject.get("group") or {}).get("name")
            return name == _EVERYTHING or name in groups
        case "ServiceAccount":
            account = subject.get("serviceAccount") or {}
            of_namespace = f"{_SERVICE_ACCOUNT}{account.get('namespace')}:"
            if account.get("name") == _EVERYTHING:
                return user.startswith(of_namespace)
            return user == f"{of_namespace}{account.get('name')}"
    return False


def _has(values: Sequence[str] | None, value: str) -> bool:
    return bool(values) and (_EVERYTHING in values or value in values)  # type: ignore[operator]


def _is_every_resource(rule: Object) -> bool:
    whole = all(_EVERYTHING in (rule.get(part) or ()) for part in ("verbs", "apiGroups", "resources", "namespaces"))
    return whole and bool(rule.get("clusterScope"))


def _is_every_path(rule: Object) -> bool:
    return _EVERYTHING in (rule.get("verbs") or ()) and _EVERYTHING in (rule.get("nonResourceURLs") or ())


def _matches_resource(rule: Object, asked: RequestAttributes) -> bool:
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    if not (
        _has(rule.get("verbs"), asked.verb) and _has(rule.get("resources"), resource) and _has(rule.get("apiGroups"), asked.group)
    ):
        return False
    return _has(rule.get("namespaces"), asked.namespace) if asked.namespace else bool(rule.get("clusterScope"))


def _matches_path(rule: Object, verb: str, urls: frozenset[str]) -> bool:
    return _has(rule.get("verbs"), verb) and not urls.isdisjoint(rule.get("nonResourceURLs") or ())
