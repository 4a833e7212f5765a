"""FlowSchemas: which requests of a logical cluster use which priority level (KEP-1040)."""

from __future__ import annotations

from tenantry.kube.columns import AGE, NAME, column
from tenantry.kube.definition import ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import duplicate, forbidden, invalid, not_supported, required, while_few
from tenantry.kube.flowcontrol.standard_objects import EXEMPT, MANDATORY_SCHEMAS
from tenantry.kube.go_values import internal_value
from tenantry.kube.message_tables import Message, kind, message
from tenantry.kube.names import dns1123_label_errors, dns1123_subdomain_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.types.reset import keep

GROUP = "flowcontrol.apiserver.k8s.io"
REF = "io.k8s.api.flowcontrol.v1."
_LEVEL_REFERENCE = message(REF + "PriorityLevelConfigurationReference", "1 name string always required")
_METHOD = message(REF + "FlowDistinguisherMethod", "1 type string(v1.FlowDistinguisherMethodType) always required")
_USER = message(REF + "UserSubject", "1 name string always required")
_GROUP_SUBJECT = message(REF + "GroupSubject", "1 name string always required")
_ACCOUNT = message(
    REF + "ServiceAccountSubject",
    """
    1 namespace string always required
    2 name      string always required
    """,
)
_SUBJECT = message(
    REF + "Subject",
    """
    1 kind           string(v1.SubjectKind) always required
    2 user           *UserSubject
    3 group          *GroupSubject
    4 serviceAccount *ServiceAccountSubject
    """,
    _USER,
    _GROUP_SUBJECT,
    _ACCOUNT,
)
_RESOURCE_RULE = message(
    REF + "ResourcePolicyRule",
    """
    1 verbs        []string always required set
    2 apiGroups    []string always required set
    3 resources    []string always required set
    4 clusterScope bool
    5 namespaces   []string always set
    """,
)
_URL_RULE = message(
    REF + "NonResourcePolicyRule",
    """
    1 verbs           []string always required set
    6 nonResourceURLs []string always required set
    """,
)
_RULES = message(
    REF + "PolicyRulesWithSubjects",
    """
    1 subjects         []Subject always required
    2 resourceRules    []ResourcePolicyRule
    3 nonResourceRules []NonResourcePolicyRule
    """,
    _SUBJECT,
    _RESOURCE_RULE,
    _URL_RULE,
)
SPEC = message(
    REF + "FlowSchemaSpec",
    """
    1 priorityLevelConfiguration PriorityLevelConfigurationReference required
    2 matchingPrecedence         int32 always
    3 distinguisherMethod        *FlowDistinguisherMethod
    4 rules                      []PolicyRulesWithSubjects
    """,
    _LEVEL_REFERENCE,
    _METHOD,
    _RULES,
)


def condition(name: str) -> Message:
    """The message of a condition in a status of this group."""
    made = message(
        REF + name,
        """
        1 type               string
        2 status             string(v1.ConditionStatus)
        3 lastTransitionTime Time   always
        4 reason             string
        5 message            string
        """,
    )
    made.schema.properties["lastTransitionTime"].nullable = True
    return made


_CONDITION = condition("FlowSchemaCondition")
_STATUS = message(REF + "FlowSchemaStatus", "1 conditions []FlowSchemaCondition merge=type map=type", _CONDITION)
MESSAGE = kind(
    REF + "FlowSchema",
    """
    2 spec   FlowSchemaSpec
    3 status FlowSchemaStatus
    """,
    SPEC,
    _STATUS,
)

DANGLING = "Dangling"
"""The condition that says whether the level of a FlowSchema is missing."""
_LARGEST_PRECEDENCE = 10000
_DEFAULT_PRECEDENCE = 1000
_METHODS = ("ByNamespace", "ByUser")
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


def _row_order(obj: Object) -> tuple[int, str]:
    spec = _spec(obj)
    precedence = spec.get("matchingPrecedence") if isinstance(spec, dict) else None
    return precedence if isinstance(precedence, int) else 0, obj["metadata"]["name"]


class FlowSchemaStrategy(Strategy):
    prefix_on_update = "before"

    tracks_generation = True

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = _DEFAULT_PRECEDENCE

    def prepare_for_create(self, obj: Object) -> None:
        obj["status"] = {}

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        keep(obj, old, "spec" if subresource == "status" else "status")

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        if subresource == "status":
            return condition_errors(obj)
        name, spec = obj["metadata"].get("name", ""), obj.get("spec") or {}
        errors = _spec_errors(name, spec)
        fixed = MANDATORY_SCHEMAS.get(name)
        if fixed is not None and spec != fixed:
            errors.append(invalid("spec", internal_value(SPEC, spec), f"spec of '{name}' must equal the fixed value"))
        return errors + condition_errors(obj)


def condition_errors(obj: Object) -> list[FieldError]:
    """The errors of the conditions in a status."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in while_few(errors, enumerate((obj.get("status") or {}).get("conditions") or ())):
        path, kind_of = f"status.conditions[{index}].type", condition.get("type") or ""
        if kind_of in seen:
            errors.append(duplicate(path, kind_of))
        seen.add(kind_of)
        if not kind_of:
            errors.append(required(path))
    return errors


def _spec_errors(name: str, spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    precedence = spec.get("matchingPrecedence") or 0
    path = "spec.matchingPrecedence"
    if precedence <= 0:
        errors.append(invalid(path, precedence, "must be a positive value"))
    if precedence > _LARGEST_PRECEDENCE:
        errors.append(invalid(path, precedence, f"must not be greater than {_LARGEST_PRECEDENCE}"))
    if precedence == 1 and name != EXEMPT:
        errors.append(invalid(path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _METHODS:
        errors.append(not_supported("spec.distinguisherMethod.type", internal_value(_METHOD, method), _METHODS))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    path = "spec.priorityLevelConfiguration.name"
    if level:
        errors += [invalid(path, level, text) for text in dns1123_subdomain_errors(level)]
    else:
        errors.append(required(path, "must reference a priority level"))
    for index, rule in while_few(errors, enumerate(spec.get("rules") or ())):
        errors += _rule_errors(rule, f"spec.rules[{index}]")
    return errors


def _rule_errors(rule: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    subjects = rule.get("subjects") or ()
    for index, subject in while_few(errors, enumerate(subjects)):
        errors += _subject_errors(subject, f"{path}.subjects[{index}]")
    if not subjects:
        errors.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    resources, urls = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not resources and not urls:
        errors.append(required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
    for index, each in while_few(errors, enumerate(resources)):
        errors += _resource_rule_errors(each, f"{path}.resourceRules[{index}]")
    for index, each in while_few(errors, enumerate(urls)):
        errors += _url_rule_errors(each, f"{path}.nonResourceRules[{index}]")
    return errors


def _subject_errors(subject: Object, path: str) -> list[FieldError]:
    kind_of = subject.get("kind") or ""
    field = _SUBJECTS.get(kind_of)
    if field is None:
        return [not_supported(f"{path}.kind", kind_of, _SUBJECTS)]
    value = subject.get(field)
    errors: list[FieldError] = []
    if value is None:
        errors.append(required(f"{path}.{field}", f"{field} is required when subject kind is '{kind_of}'"))
    elif not value.get("name"):
        errors.append(required(f"{path}.{field}.name"))
    elif field == "serviceAccount" and value["name"] != "*":
        errors += [invalid(f"{path}.{field}.name", value["name"], text) for text in dns1123_subdomain_errors(value["name"])]
    if value is not None and field == "serviceAccount":
        namespace = value.get("namespace") or ""
        if namespace:
            errors += [invalid(f"{path}.{field}.namespace", namespace, text) for text in dns1123_label_errors(namespace)]
        else:
            errors.append(required(f"{path}.{field}.namespace", "must specify namespace for service account"))
    for other_kind, other in (("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")):
        if other != field and subject.get(other) is not None:
            text = f"{other} is forbidden when subject kind is not '{other_kind}'"
            errors.append(forbidden(f"{path}.{other}", text))
    return errors


def _verb_errors(rule: Object, path: str) -> list[FieldError]:
    verbs = rule.get("verbs") or []
    if not verbs:
        return [required(f"{path}.verbs", "verbs must contain at least one value")]
    if "*" in verbs:
        return _alone(verbs, f"{path}.verbs", "verbs")
    return [] if set(verbs) <= set(_VERBS) else [not_supported(f"{path}.verbs", verbs, _VERBS)]


def _alone(values: list[str], path: str, noun: str) -> list[FieldError]:
    """`*` stands for everything, so nothing may stand beside it."""
    if len(values) > 1 and "*" in values:
        return [invalid(path, values, f"if '*' is present, must not specify other {noun}")]
    return []


def _resource_rule_errors(rule: Object, path: str) -> list[FieldError]:
    errors = _verb_errors(rule, path)
    for field, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        values = rule.get(field) or []
        if not values:
            errors.append(required(f"{path}.{field}", f"resource rules must supply at least one {one}"))
        errors += _alone(values, f"{path}.{field}", many)
    namespaces = rule.get("namespaces") or []
    path = f"{path}.namespaces"
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.append(required(path, text))
    elif "*" in namespaces:
        errors += _alone(namespaces, path, "namespaces")
    else:
        lead = "each member of this list must be '*' or a DNS-1123 label; "
        for index, namespace in while_few(errors, enumerate(namespaces)):
            errors += [invalid(f"{path}[{index}]", namespace, lead + text) for text in dns1123_label_errors(namespace)]
    return errors


def _url_rule_errors(rule: Object, path: str) -> list[FieldError]:
    errors = _verb_errors(rule, path)
    urls = rule.get("nonResourceURLs") or []
    path = f"{path}.nonResourceURLs"
    if not urls:
        errors.append(required(path, "nonResourceURLs must contain at least one value"))
    elif "*" in urls:
        errors += _alone(urls, path, "non-resource URLs")
    else:
        for index, url in while_few(errors, enumerate(urls)):
            text = _url_error(url)
            if text:
                errors.append(invalid(f"{path}[{index}]", url, text))
    return errors


def _url_error(url: str) -> str:
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    stars = url.count("*")
    return "wildcard can only do suffix matching" if stars > 1 or (stars == 1 and not url.endswith("/*")) else ""


def _missing_level(obj: Object) -> str:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((each.get("status") or "" for each in conditions if each.get("type") == DANGLING), "?")


def _spec(obj: Object) -> Object:
    return obj.get("spec") or {}


DEFINITION = ResourceDefinition(
    group=GROUP,
    plural="flowschemas",
    singular="flowschema",
    kind="FlowSchema",
    list_kind="FlowSchemaList",
    namespaced=False,
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(
                NAME,
                column(
                    "PriorityLevel",
                    "`name` is the name of the priority level configuration being referenced Required.",
                    lambda obj: (_spec(obj).get("priorityLevelConfiguration") or {}).get("name") or "",
                ),
                column(
                    "MatchingPrecedence",
                    "`matchingPrecedence` is used to choose among the FlowSchemas that match a given request. The chosen "
                    "FlowSchema is among those with the numerically lowest (which we take to be logically highest) "
                    "MatchingPrecedence.  Each MatchingPrecedence value must be ranged in [1,10000]. Note that if the "
                    "precedence is not specified, it will be set to 1000 as default.",
                    lambda obj: _spec(obj).get("matchingPrecedence") or 0,
                ),
                column(
                    "DistinguisherMethod",
                    "`distinguisherMethod` defines how to compute the flow distinguisher for requests that match this schema. "
                    "`nil` specifies that the distinguisher is disabled and thus will always be the empty string.",
                    lambda obj: (
                        "<none>"
                        if _spec(obj).get("distinguisherMethod") is None
                        else _spec(obj)["distinguisherMethod"].get("type") or ""
                    ),
                ),
                AGE,
                column("MissingPL", "references a broken or non-existent PriorityLevelConfiguration", _missing_level),
            ),
            row_order=_row_order,
            subresources=frozenset({"status"}),
        )
    },
    storage_version="v1",
    strategy=FlowSchemaStrategy(),
    made_when_used=True,
)
