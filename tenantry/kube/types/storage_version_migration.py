"""StorageVersionMigrations: every object of a type is written again, in the version in which the type is stored (KEP-4192)."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.kube.columns import NAME, column
from tenantry.kube.definition import Column, ResetFields, ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import IMMUTABLE, invalid, required
from tenantry.kube.message_tables import kind, message
from tenantry.kube.names import dns1035_label_errors, dns1123_subdomain_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.types.conditions import CONDITION, condition_errors, is_true
from tenantry.kube.types.pod_certificate_request import keep_metadata
from tenantry.kube.types.reset import keep

RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
_ORDER = tuple(field.name for field in CONDITION.fields)
"""The fields of a condition in the order in which Go prints them."""
_REF = "io.k8s.api.storagemigration.v1."
GROUP_RESOURCE = message(
    "io.k8s.apimachinery.pkg.apis.meta.v1.GroupResource",
    """
    1 group    string always required
    2 resource string always required
    """,
)
SPEC = message(_REF + "StorageVersionMigrationSpec", "1 resource GroupResource required", GROUP_RESOURCE)
STATUS = message(
    _REF + "StorageVersionMigrationStatus",
    """
    1 conditions      []Condition merge=type map=type
    2 resourceVersion string
    """,
    CONDITION,
)
MESSAGE = kind(
    _REF + "StorageVersionMigration",
    """
    2 spec   StorageVersionMigrationSpec
    3 status StorageVersionMigrationStatus
    """,
    SPEC,
    STATUS,
)


class StorageVersionMigrationStrategy(Strategy):
    prefix_on_update = "before"

    unconditional_update = False
    reset_fields: Mapping[str, ResetFields] = {"": (("status",),), "status": (("metadata",), ("spec",))}

    def prepare_for_create(self, obj: Object) -> None:
        obj["status"] = {}

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        if subresource == "status":
            keep(obj, old, "spec")
            keep_metadata(obj, old)
        else:
            keep(obj, old, "status")

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        spec = obj.get("spec") or {}
        if old is not None and subresource == "status":
            return _status_errors(obj.get("status") or {}, old.get("status") or {})
        errors = _spec_errors(spec)
        if old is not None and spec != (old.get("spec") or {}):
            group, plural = migrated_resource(obj)
            errors.append(invalid("spec", {"Resource": {"group": group, "resource": plural}}, IMMUTABLE))
        return errors


def migrated_resource(migration: Object) -> tuple[str, str]:
    """(group, plural) of the type whose objects are written again."""
    found = (migration.get("spec") or {}).get("resource") or {}
    return found.get("group") or "", found.get("resource") or ""


def _spec_errors(spec: Object) -> list[FieldError]:
    resource = spec.get("resource") or {}
    path, errors = "spec.resource", list[FieldError]()
    plural, group = resource.get("resource") or "", resource.get("group") or ""
    if not plural:
        errors.append(required(f"{path}.resource", "resource is required to be set"))
    elif found := dns1035_label_errors(plural):
        errors.append(invalid(f"{path}.resource", plural, ",".join(found)))
    if group and (found := dns1123_subdomain_errors(group)):
        errors.append(invalid(f"{path}.group", group, ",".join(found)))
    return errors


def _status_errors(status: Object, old: Object) -> list[FieldError]:
    path, conditions, before = "status.conditions", status.get("conditions"), old.get("conditions")
    version = status.get("resourceVersion") or ""
    errors: list[FieldError] = []
    if version and not (version.isdecimal() and version.isascii() and not version.startswith("0")):
        errors.append(invalid("status.resourceVersion", version, f"resource version is not well formed: {version}"))
    errors += condition_errors(conditions, path)
    if old.get("resourceVersion") and old["resourceVersion"] != version:
        errors.append(invalid("status.resourceVersion", version, IMMUTABLE))
    shown = [{name: each[name] for name in _ORDER if name in each} for each in conditions or ()]
    succeeded, failed = is_true(conditions, SUCCEEDED), is_true(conditions, FAILED)
    if succeeded and failed:
        text = "Both success and failed conditions cannot be true at the same time"
        errors.append(invalid(path, shown, text))
    if is_true(before, SUCCEEDED) and not succeeded:
        errors.append(invalid(path, shown, "Success condition cannot be set to false once it is true"))
    if is_true(before, FAILED) and not failed:
        errors.append(invalid(path, shown, "Failed condition cannot be set to false once it is true"))
    return errors


def _shown_resource(migration: Object) -> str:
    group, plural = migrated_resource(migration)
    return f"{plural}.{group}" if group else plural


def _state(migration: Object) -> str:
    state = "Unknown"
    for each in (migration.get("status") or {}).get("conditions") or ():
        if each.get("status") == "True" and each.get("type") in (RUNNING, FAILED, SUCCEEDED):
            state = each["type"]
    return state


DEFINITION = ResourceDefinition(
    group="storagemigration.k8s.io",
    plural="storageversionmigrations",
    singular="storageversionmigration",
    kind="StorageVersionMigration",
    list_kind="StorageVersionMigrationList",
    namespaced=False,
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(
                Column(name="Name", description=NAME.description, cell=NAME.cell),
                column("Resource", "GroupResource to migrate", _shown_resource),
                column("Status", "Status of the migration", _state),
            ),
            subresources=frozenset({"status"}),
        )
    },
    storage_version="v1",
    upstream_storage_version="v1beta1",
    strategy=StorageVersionMigrationStrategy(),
)
