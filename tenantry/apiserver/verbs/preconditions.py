"""The preconditions of updates: resourceVersion and uid."""

from __future__ import annotations

from typing import Any

from tenantry.apiserver.verbs.options import unsigned
from tenantry.apiserver.verbs.write import Target
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError, StatusError, conflict, invalid
from tenantry.storage.record import Record


def check_version(target: Target, version: Any, record: Record, *, unconditional: bool) -> None:
    """Checks the precondition `version`, the resourceVersion of an object that was sent. Raises StatusError: 409 where it is not
    the record's version, 422 where it is required and missing."""
    text = version or "0"
    if text == str(record.version):
        return
    try:
        number = unsigned(text)
    except ValueError as error:
        raise StatusError(500, "", str(error)) from None
    if number == 0:
        if unconditional:
            return
        group, resource = target.group_resource
        failure = FieldError("Invalid", "metadata.resourceVersion", "Invalid value: 0: must be specified for an update")
        raise invalid(group, resource, target.name, [failure])
    if number != record.version:
        raise conflict(target.group_resource, target.name)


def check_uid(target: Target, obj: Object, record: Record) -> None:
    """Checks the precondition uid in a PUT. Raises StatusError 409."""
    uid = obj["metadata"].get("uid")
    if uid and uid != record.head.uid:
        raise conflict(
            target.group_resource,
            target.name,
            f"StorageError: invalid object, Code: 4, Key: {record.key.encode().decode()}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {record.head.uid}",
        )
