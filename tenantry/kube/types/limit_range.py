"""LimitRanges: limits for containers, pods and volume claims, which other services may serve here."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.kube.columns import CREATED_AT, NAME
from tenantry.kube.definition import ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import duplicate, forbidden, invalid, required
from tenantry.kube.message_tables import kind, message
from tenantry.kube.names import qualified_name_errors
from tenantry.kube.objects import Object
from tenantry.kube.quantity import parse
from tenantry.kube.status import FieldError, new_uid

_REF = "io.k8s.api.core.v1."
ITEM = message(
    _REF + "LimitRangeItem",
    """
    1 type                 string(v1.LimitType) always required
    2 max                  map[]Quantity
    3 min                  map[]Quantity
    4 default              map[]Quantity
    5 defaultRequest       map[]Quantity
    6 maxLimitRequestRatio map[]Quantity
    """,
)
SPEC = message(_REF + "LimitRangeSpec", "1 limits []LimitRangeItem always required", ITEM)
MESSAGE = kind(_REF + "LimitRange", "2 spec LimitRangeSpec", SPEC)

_BOUNDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_LIMIT_TYPES = frozenset({"Pod", "Container", "PersistentVolumeClaim"})
_CONTAINER_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
_POD_RESOURCES = _CONTAINER_RESOURCES | {f"{s}.{r}" for s in ("requests", "limits") for r in _CONTAINER_RESOURCES}
_STANDARD = _POD_RESOURCES | {
    "pods",
    "services",
    "secrets",
    "configmaps",
    "requests.storage",
    "persistentvolumeclaims",
    "storage",
}


class LimitRangeStrategy(Strategy):
    prefix_on_update = "before"

    create_on_update = True

    def default(self, obj: Object) -> None:
        """A container's default is its maximum. Its default request is its default, else its minimum."""
        for item in (obj.get("spec") or {}).get("limits") or ():
            if item.get("type") != "Container":
                continue
            limit = (item.get("max") or {}) | (item.get("default") or {})
            request = (item.get("min") or {}) | limit | (item.get("defaultRequest") or {})
            for field, values in (("default", limit), ("defaultRequest", request)):
                if values:
                    item[field] = values

    def prepare_for_create(self, obj: Object) -> None:
        metadata = obj["metadata"]
        if not metadata.get("name") and not metadata.get("generateName"):
            metadata["name"] = new_uid()
        self.default(obj)

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        self.default(obj)

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        errors: list[FieldError] = []
        seen: set[str] = set()
        for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
            path = f"spec.limits[{index}]"
            of = item.get("type") or ""
            errors += [invalid(f"{path}.type", of, text) for text in _type_errors(of)]
            if of in seen:
                errors.append(duplicate(f"{path}.type", of))
            seen.add(of)
            errors += _item_errors(item, of, path)
        return errors


def _type_errors(of: str) -> list[str]:
    errors = qualified_name_errors(of)
    if not errors and "/" not in of and of not in _LIMIT_TYPES:
        errors.append("must be a standard limit type or fully qualified")
    return errors


def _item_errors(item: Object, of: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    bounds: dict[str, Mapping[str, str]] = {name: item.get(name) or {} for name in _BOUNDS}
    for field, values in bounds.items():
        for name in values:
            errors += [invalid(f"{path}.{field}[{name}]", name, text) for text in _resource_errors(name, of)]
    if of == "Pod":
        for field in ("default", "defaultRequest"):
            if bounds[field]:
                errors.append(forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
    if of == "PersistentVolumeClaim" and not ("storage" in bounds["min"] or "storage" in bounds["max"]):
        text = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{path}.limits", text))
    for name in sorted({name for values in bounds.values() for name in values}):
        errors += _order_errors(name, {field: values.get(name) for field, values in bounds.items()}, path)
    return errors


def _resource_errors(name: str, of: str) -> list[str]:
    errors = qualified_name_errors(name)
    if not errors and "/" not in name and name not in _STANDARD:
        errors.append("must be a standard resource type or fully qualified")
    if "/" not in name:
        if of == "Container" and name not in _CONTAINER_RESOURCES:
            errors.append("must be a standard resource for containers")
        elif of == "Pod" and name not in _POD_RESOURCES:
            errors.append("must be a standard resource for pods")
    return errors


def _order_errors(name: str, of: Mapping[str, str | None], path: str) -> list[FieldError]:
    """Checks min ≤ defaultRequest ≤ default ≤ max, and that the ratio is possible. Amounts are canonical texts."""
    errors: list[FieldError] = []
    low, high, default, request = of["min"], of["max"], of["default"], of["defaultRequest"]

    def check(small: str | None, big: str | None, field: str, text: str, shown: str | None = None) -> None:
        if small is not None and big is not None and parse(big) < parse(small):
            errors.append(invalid(f"{path}.{field}[{name}]", shown or of[field], text))

    check(low, high, "min", f"min value {low} is greater than max value {high}")
    check(low, request, "defaultRequest", f"min value {low} is greater than default request value {request}")
    check(request, high, "defaultRequest", f"default request value {request} is greater than max value {high}")
    text = f"default request value {request} is greater than default limit value {default}"
    check(request, default, "defaultRequest", text)
    check(low, default, "default", f"min value {low} is greater than default value {default}", low)
    check(default, high, "default", f"default value {default} is greater than max value {high}", high)
    ratio = of["maxLimitRequestRatio"]
    if ratio is not None:
        here = f"{path}.maxLimitRequestRatio[{name}]"
        if parse(ratio) < 1:
            errors.append(invalid(here, ratio, f"ratio {ratio} is less than 1"))
        if low is not None and high is not None and parse(low) and parse(high) / parse(low) < parse(ratio):
            most = parse(high) / parse(low)
            errors.append(invalid(here, ratio, f"ratio {ratio} is greater than max/min = {most:f}"))
    return errors


DEFINITION = ResourceDefinition(
    group="",
    plural="limitranges",
    singular="limitrange",
    kind="LimitRange",
    list_kind="LimitRangeList",
    namespaced=True,
    short_names=("limits",),
    versions={"v1": Version(name="v1", schema=MESSAGE.schema, message=MESSAGE, columns=(NAME, CREATED_AT))},
    storage_version="v1",
    strategy=LimitRangeStrategy(),
)
