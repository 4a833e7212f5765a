"""Writes to objects of which a view hides fields: the client's object never has them, and the stored one keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tenantry.kube.apply.last_applied import ANNOTATION as LAST_APPLIED
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.field_errors import forbidden
from tenantry.kube.objects import Object, annotations_of, name_of
from tenantry.kube.status import FieldError, StatusError, invalid
from tenantry.virtual.declared.hidden.carry_over import carry_over
from tenantry.virtual.declared.hidden.managers import managers_shown, managers_stored
from tenantry.virtual.declared.hidden.paths import Hidden, HiddenPath, found
from tenantry.virtual.declared.hidden.refusals import told, warnings_told
from tenantry.virtual.declared.hidden.strategy import write_only
from tenantry.virtual.declared.shown_object import CLUSTER_ANNOTATION, FieldsHidden

_APPLIED_DOMAIN = "applied.views.tenantry.dev"
_NOT_SHOWN = "this view does not show the field, so it cannot be written through it"
_NO_ANNOTATIONS = "this view does not show annotations, so they cannot be written through it"
_NO_MANAGERS = "this view does not show managedFields, so they cannot be written through it"
_ANNOTATIONS: HiddenPath = ("metadata", "annotations")
_ERRORS_MAX = 20


@dataclass(frozen=True, slots=True)
class AppliedAnnotation:
    """The annotation in which a view keeps kubectl's last applied configuration of its own users. `key` has a digest of the view
    and one of its hidden fields: what was applied when fewer were hidden is not shown. `prefix`: that of all keys of the view."""

    key: str
    prefix: str

    @classmethod
    def of(cls, cluster: str, name: str, resource: str, paths: tuple[HiddenPath, ...]) -> AppliedAnnotation:
        """`cluster` (id) and `name`: the VirtualWorkspace."""
        prefix = f"{_APPLIED_DOMAIN}/{_digest(cluster, name, resource)}-"
        return cls(prefix + _digest(*sorted(".".join(path) for path in paths)), prefix)


def _digest(*texts: str) -> str:
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True)
class HiddenFieldsTranslation:
    """The translation of writes to one type in one view. `source`: the type as it is stored. `version`: the served one."""

    source: ResourceDefinition
    version: Version
    paths: tuple[HiddenPath, ...]
    applied: AppliedAnnotation
    hidden: Hidden
    """These paths."""
    refused: Hidden
    """The fields that a client may not send."""
    unmanaged: Hidden
    """The fields of which it sees no managers."""

    @classmethod
    def of(
        cls, source: ResourceDefinition, version: Version, paths: tuple[HiddenPath, ...], applied: AppliedAnnotation
    ) -> HiddenFieldsTranslation:
        refused = Hidden((*paths, *write_only(source.strategy, paths)))
        return cls(source, version, paths, applied, Hidden(paths), refused, Hidden((*paths, _ANNOTATIONS)))

    @property
    def definition(self) -> ResourceDefinition | None:
        return self.source

    @property
    def in_threads(self) -> bool:
        return True

    def check(self, sent: Object, /) -> None:
        errors = []
        for error in self._errors(sent):
            errors.append(error)
            if len(errors) >= _ERRORS_MAX:
                break
        if errors:
            raise invalid(self.source.group, self.source.kind, _name_in(sent), errors)

    def _errors(self, sent: Object) -> Iterator[FieldError]:
        for place in found(sent, self.refused):
            yield forbidden(place, _NOT_SHOWN)
        metadata = sent.get("metadata")
        if not isinstance(metadata, dict):
            return
        if metadata.get("managedFields") is not None:
            yield forbidden("metadata.managedFields", _NO_MANAGERS)
        annotations = metadata.get("annotations")
        for key in annotations if isinstance(annotations, dict) else ():
            if key not in (LAST_APPLIED, CLUSTER_ANNOTATION):
                yield forbidden(f"metadata.annotations[{key}]", _NO_ANNOTATIONS)

    def shown(self, obj: Object, /) -> Object:
        return FieldsHidden(self.hidden, self.applied.key)(obj)

    def stored(self, shown: Object, old: Object | None, /) -> Object:
        errors = carry_over(shown, old, self.hidden, self.version.schema) if old is not None else []
        if errors:
            raise invalid(self.source.group, self.source.kind, name_of(shown), errors[:_ERRORS_MAX])
        applied = annotations_of(shown).get(LAST_APPLIED)
        kept = annotations_of(old) if old is not None else {}
        annotations = {key: value for key, value in kept.items() if not key.startswith(self.applied.prefix)}
        if applied is not None:
            annotations[self.applied.key] = applied
        if annotations:
            shown["metadata"]["annotations"] = annotations
        else:
            shown["metadata"].pop("annotations", None)
        return shown

    def managers_shown(self, entries: list[Object] | None, /) -> list[Object] | None:
        return managers_shown(entries, self.unmanaged)

    def managers_stored(self, entries: list[Object] | None, old: list[Object] | None, /) -> list[Object] | None:
        return managers_stored(entries, old, self.unmanaged)

    def refusal(self, error: StatusError, /) -> StatusError:
        return told(error, self.source, self.version.schema, self.paths)

    def warnings(self, texts: list[str], /) -> list[str]:
        return warnings_told(texts, self.source, self.version.schema, self.paths)


def _name_in(sent: Any) -> str:
    metadata = sent.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""
