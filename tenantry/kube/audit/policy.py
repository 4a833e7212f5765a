"""Audit policies (audit.k8s.io/v1 Policy): how much of which request is recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from tenantry.kube.codec import yaml_codec
from tenantry.kube.decode import unknown_fields
from tenantry.kube.field_errors import invalid, not_supported, required
from tenantry.kube.go_decode import Mismatch, normaliser
from tenantry.kube.message_tables import kind, message
from tenantry.kube.names import dns1123_subdomain_errors
from tenantry.kube.objects import Object
from tenantry.kube.request_attributes import RequestAttributes, RequestUser
from tenantry.kube.status import FieldError, StatusError

API_VERSION = "audit.k8s.io/v1"
NONE, METADATA, REQUEST, REQUEST_RESPONSE = "None", "Metadata", "Request", "RequestResponse"
LEVELS = (NONE, METADATA, REQUEST, REQUEST_RESPONSE)
"""Each records what the one before does, and more."""
RECEIVED, STARTED, COMPLETE, PANIC = "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"
STAGES = (RECEIVED, STARTED, COMPLETE, PANIC)
_REF = "io.k8s.apiserver.pkg.apis.audit.v1."
_GROUP_RESOURCES = message(
    _REF + "GroupResources",
    """
    1 group         string
    2 resources     []string
    3 resourceNames []string
    """,
)
_RULE = message(
    _REF + "PolicyRule",
    """
    1 level             string always
    2 users             []string
    3 userGroups        []string
    4 verbs             []string
    5 resources         []GroupResources
    6 namespaces        []string
    7 nonResourceURLs   []string
    8 omitStages        []string
    9 omitManagedFields *bool
    """,
    _GROUP_RESOURCES,
)
_POLICY = kind(
    _REF + "Policy",
    """
    2 rules             []PolicyRule always
    3 omitStages        []string
    4 omitManagedFields bool
    """,
    _RULE,
)


class PolicyError(Exception):
    """A policy cannot be used. The text says why, in kube-apiserver's words."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a policy wants of a request: its level, without the stages `omits`, and with or without managedFields."""

    level: str
    omits: frozenset[str] = frozenset()
    omits_managed_fields: bool = False

    @property
    def objects_sent(self) -> bool:
        """Whether the object of the request is recorded."""
        return self.level in (REQUEST, REQUEST_RESPONSE)


@dataclass(frozen=True, slots=True)
class _Rule:
    recorded: Recorded
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    resources: Sequence[tuple[str, Sequence[str], frozenset[str]]]
    """(group, resources, names) of each."""
    namespaces: frozenset[str]
    paths: Sequence[str]


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a policy. The first that matches counts; without one a request is not recorded."""

    rules: Sequence[_Rule]
    otherwise: Recorded
    unknown: Sequence[str] = ()
    """Paths of fields that the document has and policies do not. They are ignored."""

    def recorded(self, user: RequestUser, asked: RequestAttributes) -> Recorded:
        """What is to be recorded of a request."""
        for rule in self.rules:
            if _matches(rule, user, asked):
                return rule.recorded
        return self.otherwise


def load(document: bytes) -> Policy:
    """The policy in a YAML or JSON document. Raises PolicyError."""
    try:
        value, _ = yaml_codec.decode(document)
    except StatusError as error:
        raise PolicyError(f"failed decoding: {error.message}") from error
    if not isinstance(value, dict) or not value.get("kind"):
        raise PolicyError("failed decoding: Object 'Kind' is missing")
    group, _, version = str(value.get("apiVersion") or "").rpartition("/")
    if value["kind"] != "Policy" or value.get("apiVersion") != API_VERSION:
        named = f"{group}/{version}, Kind={value['kind']}"
        raise PolicyError(f"unknown group version field {named} in policy")
    try:
        normaliser(_POLICY)(value)
    except Mismatch as error:
        raise PolicyError(f"failed decoding: {error.text()}") from None
    unknown = unknown_fields(value, _POLICY.schema)
    errors = policy_errors(value)
    if errors:
        raise PolicyError(_joined(error.message for error in errors))
    rules = value.get("rules") or []
    if not rules:
        raise PolicyError("loaded illegal policy with 0 rules")
    return _compiled(value, rules, unknown)


def _joined(texts: Iterable[str]) -> str:
    """As Go joins errors: one as it is, several in brackets, each once."""
    unique = list(dict.fromkeys(texts))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"


def policy_errors(policy: Object) -> list[FieldError]:
    """The errors of a decoded policy."""
    errors = _stage_errors(policy.get("omitStages") or (), "omitStages")
    for index, rule in enumerate(policy.get("rules") or ()):
        errors += _rule_errors(rule, f"rules[{index}]")
    return errors


def _rule_errors(rule: Object, path: str) -> list[FieldError]:
    level = rule.get("level") or ""
    errors = [] if level in LEVELS else [not_supported(f"{path}.level", level, LEVELS) if level else required(f"{path}.level")]
    urls = rule.get("nonResourceURLs") or []
    for index, url in enumerate(urls):
        here = f"{path}.nonResourceURLs[{index}]"
        if url != "*" and not url.startswith("/"):
            errors.append(invalid(here, url, "non-resource URL rules must begin with a '/' character"))
        if url != "*" and "*" in url[:-1]:
            errors.append(invalid(here, url, "non-resource URL wildcards '*' must be the final character of the rule"))
    for each in rule.get("resources") or ():
        group, names = each.get("group") or "", each.get("resourceNames") or []
        problems = dns1123_subdomain_errors(group) if group not in ("", "*") else []
        if problems:
            errors.append(invalid(f"{path}.resources.group", group, ",".join(problems)))
        if names and not each.get("resources"):
            errors.append(invalid(f"{path}.resources.resourceNames", names, "using resourceNames requires at least one resource"))
    errors += _stage_errors(rule.get("omitStages") or (), f"{path}.omitStages")
    if urls and (rule.get("resources") or rule.get("namespaces")):
        errors.append(
            invalid(f"{path}.nonResourceURLs", urls, "rules cannot apply to both regular resources and non-resource URLs")
        )
    return errors


def _stage_errors(stages: Collection[str], path: str) -> list[FieldError]:
    return [
        invalid(f"{path}[{index}]", stage, f"allowed stages are {','.join(STAGES)}")
        for index, stage in enumerate(stages)
        if stage not in STAGES
    ]


def _compiled(policy: Object, rules: Iterable[Object], unknown: Sequence[str]) -> Policy:
    omits = frozenset(policy.get("omitStages") or ())
    managed = bool(policy.get("omitManagedFields"))
    return Policy([_rule(each, omits, managed) for each in rules], Recorded(NONE, omits, managed), unknown)


def _rule(rule: Object, omits: frozenset[str], managed: bool) -> _Rule:
    own = rule.get("omitManagedFields")
    return _Rule(
        Recorded(rule["level"], omits | frozenset(rule.get("omitStages") or ()), managed if own is None else own),
        users=frozenset(rule.get("users") or ()),
        groups=frozenset(rule.get("userGroups") or ()),
        verbs=frozenset(rule.get("verbs") or ()),
        resources=[
            (each.get("group") or "", each.get("resources") or (), frozenset(each.get("resourceNames") or ()))
            for each in rule.get("resources") or ()
        ],
        namespaces=frozenset(rule.get("namespaces") or ()),
        paths=rule.get("nonResourceURLs") or (),
    )


def _matches(rule: _Rule, user: RequestUser, asked: RequestAttributes) -> bool:
    if rule.users and user.name not in rule.users:
        return False
    if rule.groups and rule.groups.isdisjoint(user.groups):
        return False
    if rule.verbs and asked.verb not in rule.verbs:
        return False
    if rule.namespaces or rule.resources:
        return _matches_resource(rule, asked)
    if rule.paths:
        return not asked.resource and any(_is_path(asked.path, each) for each in rule.paths)
    return True


def _is_path(path: str, pattern: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


def _matches_resource(rule: _Rule, asked: RequestAttributes) -> bool:
    # What is not in a namespace has the empty one.
    if not asked.resource or (rule.namespaces and asked.namespace not in rule.namespaces):
        return False
    if not rule.resources:
        return True
    for group, resources, names in rule.resources:
        if group in ("*", asked.group) and (not resources or _names(resources, names, asked)):
            return True
    return False


def _names(resources: Sequence[str], names: frozenset[str], asked: RequestAttributes) -> bool:
    if names and asked.name not in names:
        return False
    subresource = asked.subresource
    whole = f"{asked.resource}/{subresource}" if subresource else asked.resource
    for each in resources:
        if each in (whole, "*"):
            return True
        if subresource and each == f"*/{subresource}":
            return True
        if each == f"{asked.resource}/*":
            return True
    return False
