"""The objects of a write in the versions of other managers, where a webhook converts between them: a field of one version may be
another one in the next (structured-merge-diff's Converter)."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.kube.apply.typed import Node, TypedError, compile_schema
from tenantry.kube.apply.typed_validation import error_text, validate
from tenantry.kube.objects import Object
from tenantry.kube.schema.structural import Schema


class NotConverted(Exception):
    """An object has to be converted from an apiVersion to another one before managers can be compared (`OtherVersions.put`)."""

    def __init__(self, obj: Object, target: str) -> None:
        super().__init__()
        self.obj = obj
        self.target = target


class OtherVersions:
    """What is known of one write. `kind`: of the type. `schemas`: by apiVersion. Objects that are equal are converted once."""

    def __init__(self, kind: str, schemas: Mapping[str, Schema]) -> None:
        self._kind = kind
        self._schemas = schemas
        self._known: list[tuple[Object, str, Object | str]] = []

    def node(self, api_version: str) -> Node:
        return compile_schema(self._schemas[api_version])

    def put(self, needed: NotConverted, made: Object | str) -> None:
        """`made`: the converted object, or why there is none."""
        self._known.append((needed.obj, needed.target, made))

    def converted(self, obj: Object, source: str, target: str) -> Object:
        """An object in another version. Raises NotConverted, and TypedError where it cannot be converted or does not match that
        version's schema."""
        if source == target:
            return obj
        whole = {**_untracked(obj), "apiVersion": source, "kind": self._kind}
        made = next((made for known, version, made in self._known if version == target and known == whole), None)
        if made is None:
            raise NotConverted(whole, target)
        if isinstance(made, str):
            raise TypedError(made)
        if errors := validate(self.node(target), made):
            raise TypedError(error_text(errors))
        return made


def _untracked(obj: Object) -> Object:
    """The object without managedFields, which no manager owns."""
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}
