"""What is wrong with an AuthorizationConfiguration, in kube-apiserver's words, and the type that match conditions read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Any

from tenantry.kube import field_errors
from tenantry.kube.field_errors import invalid, not_supported, required
from tenantry.kube.names import dns1123_subdomain_errors
from tenantry.kube.objects import Object
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_types import BOOL
from tenantry.kube.server_configuration import go_durations
from tenantry.kube.server_configuration.authorization import (
    DENY,
    IN_CLUSTER,
    KUBECONFIG_FILE,
    NO_OPINION,
    RBAC,
    WEBHOOK,
    AuthorizationConfiguration,
    ConnectionInfo,
    WebhookConfiguration,
)
from tenantry.kube.server_configuration.decoding import ConfigurationError
from tenantry.kube.server_configuration.expressions import (
    TEXT,
    TEXTS,
    TEXTS_BY_NAME,
    Expression,
    environment,
    list_of_structs,
    struct,
)
from tenantry.kube.status import FieldError

CONDITIONS_MAX = 64
TIMEOUT_MAX = 30 * go_durations.SECOND
FileProblem = Callable[[str], str]
"""A path → why there is no regular file, empty where there is one."""
_UPSTREAM_TYPES = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node")
_SERVED_TYPES = (RBAC, WEBHOOK)
_REQUIREMENT = struct("SelectorRequirement", key=TEXT, operator=TEXT, values=TEXTS)
_FIELDS = struct("FieldSelectorAttributes", rawSelector=TEXT, requirements=list_of_structs(_REQUIREMENT))
_LABELS = struct("LabelSelectorAttributes", rawSelector=TEXT, requirements=list_of_structs(_REQUIREMENT))
_RESOURCE = struct(
    "ResourceAttributes",
    namespace=TEXT,
    verb=TEXT,
    group=TEXT,
    version=TEXT,
    resource=TEXT,
    subresource=TEXT,
    name=TEXT,
    fieldSelector=_FIELDS,
    labelSelector=_LABELS,
)
_PATH = struct("NonResourceAttributes", path=TEXT, verb=TEXT)
REQUEST = environment(
    "request",
    struct(
        "SubjectAccessReviewSpec",
        resourceAttributes=_RESOURCE,
        nonResourceAttributes=_PATH,
        user=TEXT,
        groups=TEXTS,
        extra=TEXTS_BY_NAME,
        uid=TEXT,
    ),
)


def condition(text: str) -> Expression:
    """A match condition. Raises CelError."""
    return Expression(text, REQUEST, result=BOOL, names_found=True)


def request_value(spec: Object) -> dict[str, Any]:
    """The value of `request` for the spec of a SubjectAccessReview: all texts are there, even empty ones."""
    value: dict[str, Any] = {
        "user": spec.get("user", ""),
        "groups": spec.get("groups") or [],
        "uid": spec.get("uid", ""),
        "extra": spec.get("extra") or {},
    }
    resource = spec.get("resourceAttributes")
    if resource is not None:
        names = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
        value["resourceAttributes"] = {name: resource.get(name, "") for name in names} | {
            name: resource[name] for name in ("fieldSelector", "labelSelector") if name in resource
        }
    path = spec.get("nonResourceAttributes")
    if path is not None:
        value["nonResourceAttributes"] = {"verb": path.get("verb", ""), "path": path.get("path", "")}
    return value


def validate(configuration: AuthorizationConfiguration, file_problem: FileProblem) -> list[FieldError]:
    errors: list[FieldError] = []
    if not configuration.authorizers:
        errors.append(required("authorizers", "at least one authorization mode must be defined"))
    types: set[str] = set()
    names: set[str] = set()
    for index, authorizer in enumerate(configuration.authorizers):
        path = f"authorizers[{index}]"
        if not authorizer.type:
            errors.append(required(f"{path}.type"))
            continue
        if authorizer.type not in (*_SERVED_TYPES, *_UPSTREAM_TYPES):
            errors.append(not_supported(f"{path}.type", authorizer.type, sorted((*_SERVED_TYPES, *_UPSTREAM_TYPES))))
            continue
        if authorizer.type in _UPSTREAM_TYPES:
            errors.append(not_supported(f"{path}.type", authorizer.type, _SERVED_TYPES))
            continue
        if authorizer.type in types and authorizer.type != WEBHOOK:
            errors.append(field_errors.duplicate(f"{path}.type", authorizer.type))
            continue
        types.add(authorizer.type)
        errors += _name_errors(authorizer.name, f"{path}.name", names)
        names.add(authorizer.name)
        if authorizer.type != WEBHOOK:
            if authorizer.webhook is not None:
                errors.append(invalid(f"{path}.webhook", "non-null", "may only be specified when type=Webhook"))
        elif authorizer.webhook is None:
            errors.append(required(f"{path}.webhook", "required when type=Webhook"))
        else:
            errors += _webhook(authorizer.webhook, path, file_problem)
    return errors


def check_names(configuration: AuthorizationConfiguration) -> None:
    """kube-apiserver names RBAC `rbac`. Raises ConfigurationError for another name."""
    for authorizer in configuration.authorizers:
        if authorizer.type == RBAC and authorizer.name != RBAC.lower():
            raise ConfigurationError(f"expected name {RBAC.lower()} for authorizer {RBAC} instead of {authorizer.name}")


def _name_errors(name: str, path: str, seen: set[str]) -> Iterable[FieldError]:
    if not name:
        yield required(path)
    elif name in seen:
        yield field_errors.duplicate(path, name)
    elif texts := dns1123_subdomain_errors(name):
        yield invalid(path, name, f"authorizer name is invalid: {', '.join(texts)}")


def _webhook(webhook: WebhookConfiguration, path: str, file_problem: FileProblem) -> Iterable[FieldError]:
    if webhook.timeout == 0:
        yield required(f"{path}.timeout")
    elif not 0 < webhook.timeout <= TIMEOUT_MAX:
        yield invalid(f"{path}.timeout", go_durations.written(webhook.timeout), "must be > 0s and <= 30s")
    for name, ttl in (("authorizedTTL", webhook.authorized_ttl), ("unauthorizedTTL", webhook.unauthorized_ttl)):
        if ttl < 0:
            yield invalid(f"{path}.{name}", go_durations.written(ttl), "must be > 0s")
    version = f"{path}.subjectAccessReviewVersion"
    if not webhook.review_version:
        yield required(version)
    elif webhook.review_version not in ("v1", "v1beta1"):
        yield not_supported(version, webhook.review_version, ("v1", "v1beta1"))
    version = f"{path}.matchConditionSubjectAccessReviewVersion"
    if not webhook.condition_version:
        if webhook.match_conditions:
            yield required(version, "required if match conditions are specified")
    elif webhook.condition_version != "v1":
        yield not_supported(version, webhook.condition_version, ("v1",))
    if not webhook.failure_policy:
        yield required(f"{path}.failurePolicy")
    elif webhook.failure_policy not in (NO_OPINION, DENY):
        yield not_supported(f"{path}.failurePolicy", webhook.failure_policy, (NO_OPINION, DENY))
    yield from _connection(webhook.connection, f"{path}.connectionInfo", file_problem)
    yield from _conditions(webhook.match_conditions, f"{path}.matchConditions")


def _connection(connection: ConnectionInfo, path: str, file_problem: FileProblem) -> Iterable[FieldError]:
    file, at = connection.kubeconfig_file, f"{path}.kubeConfigFile"
    if not connection.type:
        yield required(f"{path}.type")
    elif connection.type == IN_CLUSTER:
        if file is not None:
            yield invalid(at, file, "can only be set when type=KubeConfigFile")
        yield not_supported(f"{path}.type", connection.type, (KUBECONFIG_FILE,))
    elif connection.type != KUBECONFIG_FILE:
        shown = {"Type": connection.type, "KubeConfigFile": file}
        yield not_supported(f"{path}.type", shown, (IN_CLUSTER, KUBECONFIG_FILE))
    elif not file:
        yield required(at)
    elif not PurePath(file).is_absolute():
        yield invalid(at, file, "must be an absolute path")
    elif problem := file_problem(file):
        yield invalid(at, file, problem)


def _conditions(conditions: tuple[str, ...], path: str) -> Iterable[FieldError]:
    if len(conditions) > CONDITIONS_MAX:
        yield FieldError("TooMany", path, f"Too many: {len(conditions)}: must have at most {CONDITIONS_MAX} items")
        return
    seen: set[str] = set()
    for index, text in enumerate(conditions):
        at = f"{path}[{index}].expression"
        if not text.strip():
            yield required(at)
        elif text in seen:
            yield field_errors.duplicate(at, text)
        else:
            seen.add(text)
            try:
                condition(text)
            except CelError as error:
                yield invalid(at, text, str(error))
