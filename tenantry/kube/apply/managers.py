"""metadata.managedFields as a table of managers, and back (apimachinery's managedfields package).

A manager is identified by its name, its operation (Apply or Update), the subresource, and for updates the apiVersion. The time is
not part of the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from tenantry.kube.apply import field_set
from tenantry.kube.apply.field_set import FieldSet
from tenantry.kube.go_text import quote
from tenantry.kube.objects import Object
from tenantry.kube.status import cut

APPLY = "Apply"
UPDATE = "Update"
MAX_UPDATE_MANAGERS = 10
"""The most entries for updates that an object keeps (upstream's value). Older ones are merged."""
_NAME_CHARACTERS = 256
"""Characters of a manager's name that a conflict shows."""
ANCIENT_CHANGES = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"


class Manager(NamedTuple):
    """The identity of a manager. `api_version` is empty for appliers."""

    name: str
    operation: str
    api_version: str = ""
    subresource: str = ""

    @property
    def text(self) -> str:
        """The manager as conflicts name it."""
        out = quote(cut(self.name, _NAME_CHARACTERS))
        if self.subresource:
            out += f" with subresource {quote(self.subresource)}"
        return f"{out} using {self.api_version}" if self.operation == UPDATE else out

    @property
    def sort_key(self) -> bytes:
        """Upstream sorts managers by the JSON of their identity."""
        identity = {"manager": self.name, "operation": self.operation, "apiVersion": self.api_version}
        identity["subresource"] = self.subresource
        return orjson.dumps({key: value for key, value in identity.items() if value})


def applier(name: str, subresource: str = "") -> Manager:
    return Manager(name, APPLY, "", subresource)


def updater(name: str, api_version: str, subresource: str = "") -> Manager:
    return Manager(name or "unknown", UPDATE, api_version, subresource)


@dataclass(slots=True)
class OwnedFields:
    """The fields that one manager owns, the apiVersion of the entry, and when it last changed (metav1.Time, empty when
    unknown)."""

    fields: FieldSet
    api_version: str
    time: str = ""


Managers = dict[Manager, OwnedFields]


def decode(entries: Any, *, trusted: bool = False) -> Managers:
    """The managers in a managedFields list. `trusted` lists were written by `encode`, and their fieldsV1 is not checked.

    Raises ValueError for an invalid entry.
    """
    out: Managers = {}
    for index, entry in enumerate(entries or ()):
        if not isinstance(entry, dict):
            raise ValueError("an entry is not an object")
        operation = entry.get("operation")
        if operation not in (APPLY, UPDATE):
            raise ValueError("operation must be `Apply` or `Update`")
        api_version = entry.get("apiVersion")
        if not api_version:
            raise ValueError("apiVersion must not be empty")
        if entry.get("fieldsType") != "FieldsV1":
            raise ValueError(f"missing or invalid fieldsType in managed fields entry {index}")
        fields = entry.get("fieldsV1")
        if not trusted:
            fields = field_set.ordered(field_set.decode(fields))
        name, subresource = entry.get("manager") or "", entry.get("subresource") or ""
        manager = Manager(name, operation, "" if operation == APPLY else api_version, subresource)
        out[manager] = OwnedFields(fields or {}, api_version, entry.get("time") or "")
    return out


def encode(managers: Managers) -> list[Object]:
    """The managedFields list: appliers first, then updaters; each group by time, name, version and subresource."""
    out = []
    for manager, owned in managers.items():
        entry: Object = {"manager": manager.name, "operation": manager.operation, "apiVersion": owned.api_version}
        if owned.time:
            entry["time"] = owned.time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = owned.fields
        if manager.subresource:
            entry["subresource"] = manager.subresource
        out.append(entry)
    if len(out) > 1:
        out.sort(key=_order)
    return out


def _order(entry: Object) -> tuple[str, str, str, str, str]:
    return (entry["operation"], entry.get("time", ""), entry["manager"], entry["apiVersion"], entry.get("subresource", ""))


def is_reset(entries: Any) -> bool:
    """Whether a managedFields value in a request asks to remove all managers: `[]`, or one empty entry."""
    return isinstance(entries, list) and (not entries or (len(entries) == 1 and not any((entries[0] or {}).values())))


def cap_updates(managers: Managers) -> None:
    """Merges the oldest updates of each version into one entry, until at most `MAX_UPDATE_MANAGERS` are left. Changes
    `managers`."""
    if len(managers) <= MAX_UPDATE_MANAGERS:
        return
    updates = [m for m in managers if m.operation == UPDATE]
    surplus = len(updates) - MAX_UPDATE_MANAGERS
    if surplus <= 0:
        return
    updates.sort(key=lambda m: (managers[m].time, m.sort_key))
    first_of_version: dict[str, Manager] = {}
    merged: dict[Manager, list[FieldSet]] = {}
    """The field sets for each merged entry. They are united once, at the end."""
    for manager in updates:
        if surplus <= 0:
            break
        owned = managers[manager]
        version = owned.api_version
        first = first_of_version.setdefault(version, manager)
        if first is manager:
            continue
        bucket = updater(ANCIENT_CHANGES, version)
        if bucket not in managers:
            managers[bucket] = managers.pop(first)
        parts = merged.setdefault(bucket, [managers[bucket].fields])
        if manager != bucket:
            parts.append(owned.fields)
            del managers[manager]
        managers[bucket] = OwnedFields(managers[bucket].fields, version, owned.time)
        surplus -= 1
    for bucket, parts in merged.items():
        managers[bucket].fields = field_set.ordered(field_set.union_all(parts))
