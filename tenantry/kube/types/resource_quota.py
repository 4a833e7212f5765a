"""ResourceQuotas as objects. `tenantry.kube.quota` counts and enforces them."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.kube.columns import AGE, NAME, column
from tenantry.kube.definition import ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import IMMUTABLE, invalid, required, while_few
from tenantry.kube.message_tables import kind, message
from tenantry.kube.names import qualified_name_errors
from tenantry.kube.objects import Object
from tenantry.kube.quantity import canonical, parse
from tenantry.kube.status import FieldError
from tenantry.kube.types.reset import keep

_REF = "io.k8s.api.core.v1."
REQUIREMENT = message(
    _REF + "ScopedResourceSelectorRequirement",
    """
    1 scopeName string(v1.ResourceQuotaScope)    always required
    2 operator  string(v1.ScopeSelectorOperator) always required
    3 values    []string
    """,
)
SCOPE_SELECTOR = message(
    _REF + "ScopeSelector",
    "1 matchExpressions []ScopedResourceSelectorRequirement",
    REQUIREMENT,
    atomic=True,
)
SPEC = message(
    _REF + "ResourceQuotaSpec",
    """
    1 hard          map[]Quantity
    2 scopes        []string(v1.ResourceQuotaScope)
    3 scopeSelector *ScopeSelector
    """,
    SCOPE_SELECTOR,
)
STATUS = message(
    _REF + "ResourceQuotaStatus",
    """
    1 hard map[]Quantity
    2 used map[]Quantity
    """,
)
MESSAGE = kind(
    _REF + "ResourceQuota",
    """
    2 spec   ResourceQuotaSpec
    3 status ResourceQuotaStatus
    """,
    SPEC,
    STATUS,
)

OBJECT_COUNTS = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    }
)
_COMPUTE = frozenset({"cpu", "memory", "ephemeral-storage"})
_REQUESTED = ("cpu", "memory", "storage", "ephemeral-storage")
_STANDARD = (
    OBJECT_COUNTS
    | _COMPUTE
    | {f"{side}.{resource}" for side in ("requests", "limits") for resource in _COMPUTE}
    | {"requests.storage"}
)
_SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
)
_OF_PODS = frozenset(("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity"))
_OPPOSITES = (frozenset(("BestEffort", "NotBestEffort")), frozenset(("Terminating", "NotTerminating")))
_MUST_EXIST = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_POD_RESOURCES = frozenset({"pods"} | _COMPUTE | {f"{s}.{r}" for s in ("requests", "limits") for r in _COMPUTE})


class ResourceQuotaStrategy(Strategy):
    returns_deleted = True

    def prepare_for_create(self, obj: Object) -> None:
        obj["status"] = {}

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        keep(obj, old, "spec" if subresource == "status" else "status")

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        if subresource == "status":
            status = obj.get("status") or {}
            return _amount_errors(status.get("hard") or {}, "status.hard") + _amount_errors(
                status.get("used") or {}, "status.used"
            )
        spec = obj.get("spec") or {}
        errors = _amount_errors(spec.get("hard") or {}, "spec.hard") + _scope_errors(spec) + _selector_errors(spec)
        if old is not None:
            scopes, old_scopes = spec.get("scopes") or [], (old.get("spec") or {}).get("scopes") or []
            if sorted(scopes) != sorted(old_scopes):
                errors.append(invalid("spec.scopes", scopes, IMMUTABLE))
        return errors

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        """About requests that are larger than limits, on create."""
        hard = (obj.get("spec") or {}).get("hard") or {}
        found = []
        for resource in _REQUESTED if old is None else ():
            request, limit = f"requests.{resource}", f"limits.{resource}"
            if request not in hard and resource in ("cpu", "memory"):
                request = resource
            if request in hard and limit in hard and parse(hard[request]) > parse(hard[limit]):
                shown = f"{request} ({canonical(hard[request])}) should be less than {limit} ({canonical(hard[limit])})"
                found.append(f"ResourceQuota {shown}")
        return found


def _amount_errors(amounts: Mapping[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, amount in while_few(errors, amounts.items()):
        here = f"{path}[{name}]"
        errors += [invalid(here, name, text) for text in resource_name_errors(name)]
        quantity = parse(amount)
        if quantity < 0:
            errors.append(invalid(here, amount, "must be greater than or equal to 0"))
        if name in OBJECT_COUNTS and quantity != quantity.to_integral_value():
            errors.append(invalid(here, amount, "must be an integer"))
    return errors


def resource_name_errors(name: str) -> list[str]:
    """The errors of a quota's resource name: it has to be `domain/name` (such as `count/…`) or a standard resource."""
    errors = qualified_name_errors(name)
    if "/" not in name and name not in _STANDARD:
        if not errors:
            errors.append("must be a standard resource type or fully qualified")
        errors.append("must be a standard resource for quota")
    return errors


def _scope_errors(spec: Object) -> list[FieldError]:
    scopes = spec.get("scopes") or []
    if not scopes:
        return []
    errors = []
    if any(scope not in _SCOPES for scope in scopes):
        errors.append(invalid("spec.scopes", scopes, "unsupported scope"))
    if any(not _fits_all(scope, spec) for scope in set(scopes)):
        errors.append(invalid("spec.scopes", scopes, "unsupported scope applied to resource"))
    return errors + [invalid("spec.scopes", scopes, "conflicting scopes") for pair in _OPPOSITES if pair <= set(scopes)]


def _selector_errors(spec: Object) -> list[FieldError]:
    selector = spec.get("scopeSelector") or {}
    requirements = selector.get("matchExpressions") or []
    path = "spec.scopeSelector.matchExpressions"
    errors: list[FieldError] = []
    for requirement in while_few(errors, requirements):
        scope, operator, values = requirement["scopeName"], requirement["operator"], requirement.get("values")
        if scope not in _SCOPES:
            errors.append(invalid(f"{path}.scopeName", scope, "unsupported scope"))
        if not _fits_all(scope, spec):
            errors.append(invalid(path, _shown(requirements), "unsupported scope applied to resource"))
        if scope in _OF_PODS and operator != "Exists":
            errors.append(invalid(f"{path}.operator", operator, _MUST_EXIST))
        if operator in ("In", "NotIn"):
            if not values:
                text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.append(required(f"{path}.values", text))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.append(invalid(f"{path}.values", values, text))
        else:
            errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    named = {requirement["scopeName"] for requirement in requirements}
    # Upstream shows the list of scopes here, which is another field.
    return errors + [invalid(path, spec.get("scopes"), "conflicting scopes") for pair in _OPPOSITES if pair <= named]


def _shown(requirements: list[Object]) -> Object:
    """A selector as Go prints upstream's internal type."""
    return {
        "MatchExpressions": [
            {"ScopeName": each["scopeName"], "Operator": each["operator"], "Values": each.get("values")} for each in requirements
        ]
    }


def _fits_all(scope: str, spec: Object) -> bool:
    """Whether a scope fits all standard resources of a quota. An unknown scope does."""
    return scope not in _SCOPES or all(name not in _STANDARD or _scope_fits(scope, name) for name in spec.get("hard") or {})


def _scope_fits(scope: str, resource: str) -> bool:
    if scope == "BestEffort":
        return resource == "pods"
    if scope == "VolumeAttributesClass":
        return resource in ("persistentvolumeclaims", "requests.storage")
    return resource in _POD_RESOURCES


def _usage(obj: Object, *, limits: bool) -> str:
    status = obj.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    shown = (name for name in sorted(hard) if name.startswith("limits") == limits)
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in shown)


DEFINITION = ResourceDefinition(
    group="",
    plural="resourcequotas",
    singular="resourcequota",
    kind="ResourceQuota",
    list_kind="ResourceQuotaList",
    namespaced=True,
    short_names=("quota",),
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(
                NAME,
                column(
                    "Request",
                    "Request represents a minimum amount of cpu/memory that a container may consume.",
                    lambda obj: _usage(obj, limits=False),
                ),
                column(
                    "Limit",
                    "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the "
                    "node.",
                    lambda obj: _usage(obj, limits=True),
                ),
                AGE,
            ),
            subresources=frozenset({"status"}),
        )
    },
    storage_version="v1",
    strategy=ResourceQuotaStrategy(),
)
