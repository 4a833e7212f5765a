"""Kubernetes objects as plain JSON values, and helpers to read their metadata."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

Object = dict[str, Any]
"""A decoded Kubernetes object: JSON values only (dict, list, str, int, float, bool, None)."""

CLUSTER_ANNOTATION = "kcp.io/cluster"
"""The annotation with the logical cluster on every served object (as in kcp). It is the only way to tell the items of a wildcard
list apart."""


_TIME = "%Y-%m-%dT%H:%M:%SZ"


class GroupResource(NamedTuple):
    """A resource without its version; `group` is empty for the core group."""

    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


def metadata_of(obj: Object) -> dict[str, Any]:
    """The object's metadata, created where it is missing."""
    metadata: dict[str, Any] = obj.setdefault("metadata", {})
    return metadata


def labels_of(obj: Object) -> dict[str, str]:
    """The labels. Where the object has none, an empty dict that is not part of the object."""
    return obj.get("metadata", {}).get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    """The annotations. Where the object has none, an empty dict that is not part of the object."""
    return obj.get("metadata", {}).get("annotations") or {}


def name_of(obj: Object) -> str:
    return obj.get("metadata", {}).get("name") or ""


def namespace_of(obj: Object) -> str:
    return obj.get("metadata", {}).get("namespace") or ""


def cluster_of(obj: Object) -> str:
    """The logical cluster in the object's annotation."""
    return annotations_of(obj).get(CLUSTER_ANNOTATION, "")


def is_deleting(obj: Object) -> bool:
    return bool(obj.get("metadata", {}).get("deletionTimestamp"))


def finalizers_of(obj: Object) -> list[str]:
    return obj.get("metadata", {}).get("finalizers") or []


def group_version(group: str, version: str) -> str:
    """The `apiVersion` text: `v1` for the core group, else `group/version`."""
    return f"{group}/{version}" if group else version


def split_api_version(api_version: str) -> tuple[str, str]:
    """The inverse of `group_version`."""
    group, slash, version = api_version.rpartition("/")
    return (group, version) if slash else ("", api_version)


def with_own_containers(value: Any) -> Any:
    """A deep copy of a JSON value: new dicts and lists, shared texts and numbers. It is slower than encoding and decoding, but
    lets other threads run meanwhile."""
    if isinstance(value, dict):
        return {key: with_own_containers(item) if isinstance(item, dict | list) else item for key, item in value.items()}
    if isinstance(value, list):
        return [with_own_containers(item) if isinstance(item, dict | list) else item for item in value]
    return value


class _Second:
    """The text of the last second that was asked for, cached because a write asks for it several times."""

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known = (0, "1970-01-01T00:00:00Z")


_last = _Second()


def timestamp(moment: datetime | None = None) -> str:
    """metav1.Time: RFC 3339 in UTC, whole seconds."""
    if moment is not None:
        return moment.strftime(_TIME)
    second, text = _last.known
    now = int(time.time())
    if now != second:
        text = datetime.fromtimestamp(now, UTC).strftime(_TIME)
        _last.known = (now, text)
    return text
