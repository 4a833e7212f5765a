"""The logical clusters of Workspaces and their owners, read from stored Workspaces."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tenantry.virtual.interface import OWNER_ANNOTATION, Cache, Record

BYTES_MAX = 16 << 20
"""For about 30,000 Workspaces."""
_BYTES = 200
"""The memory of a child without the name of its owner, measured."""


class Child(NamedTuple):
    """`cluster`: the id of a logical cluster, empty until it exists. `owner`: the name of the user who created its Workspace,
    empty if its annotation does not say."""

    cluster: str
    owner: str


class _Annotations(msgspec.Struct, gc=False):
    owner: str = msgspec.field(default="", name=OWNER_ANNOTATION)


class _Metadata(msgspec.Struct, gc=False):
    annotations: _Annotations | None = None


class _Spec(msgspec.Struct, gc=False):
    cluster: str = ""


class _Workspace(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: _Spec | None = None


class _Owner(msgspec.Struct, gc=False):
    username: str = ""


_workspaces = msgspec.json.Decoder(_Workspace)
_owners = msgspec.json.Decoder(_Owner)
_NONE = Child("", "")


class ChildClusters:
    """Children by the version of their Workspace. To read one takes three microseconds, and a list reads all of its parent."""

    def __init__(self) -> None:
        self._known: Cache[int, Child] = Cache("child_clusters", bytes_max=BYTES_MAX)
        self._find = self._known.get

    def of(self, record: Record) -> Child:
        """The child of a stored Workspace."""
        found = self._find(record.version)
        if found is None:
            found = read(record.value)
            self._known.put(record.version, found, _BYTES + len(found.owner))
        return found


def read(value: bytes) -> Child:
    """The child of a Workspace, from its JSON."""
    try:
        workspace = _workspaces.decode(value)
    except msgspec.DecodeError:
        return _NONE
    annotations, spec = workspace.metadata.annotations, workspace.spec
    return Child(spec.cluster if spec is not None else "", _username(annotations.owner) if annotations is not None else "")


def _username(owner: str) -> str:
    if not owner:
        return ""
    try:
        return _owners.decode(owner).username
    except msgspec.DecodeError:
        return ""
