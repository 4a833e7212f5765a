"""ConfigMaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.kube.columns import AGE, NAME, column
from tenantry.kube.definition import ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import forbidden, invalid, too_long
from tenantry.kube.message_tables import kind
from tenantry.kube.names import config_key_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError

MAX_DATA_BYTES = 1024 * 1024
IMMUTABLE_TEXT = "field is immutable when `immutable` is set"

MESSAGE = kind(
    "io.k8s.api.core.v1.ConfigMap",
    """
    4 immutable  *bool
    2 data       map[]string
    3 binaryData map[]bytes
    """,
)


def key_errors(path: str, data: Mapping[str, Any]) -> list[FieldError]:
    """The errors of keys in a ConfigMap's or Secret's data."""
    return [invalid(f"{path}[{key}]", key, text) for key in data for text in config_key_errors(key)]


def decoded_size(encoded: str) -> int:
    """The number of bytes that a canonical base64 text decodes to."""
    return len(encoded) // 4 * 3 - encoded.count("=", -2)


class ConfigMapStrategy(Strategy):
    prefix_on_update = "after"

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        data: Mapping[str, str] = obj.get("data") or {}
        binary: Mapping[str, str] = obj.get("binaryData") or {}
        errors = key_errors("data", data)
        total = sum(map(_text_size, data.values()))
        if binary:
            errors += key_errors("binaryData", binary)
            errors += [invalid(f"data[{key}]", key, "duplicate of key present in binaryData") for key in data if key in binary]
            total += sum(map(decoded_size, binary.values()))
        if total > MAX_DATA_BYTES:
            # Upstream's path is that of the object itself, which Go prints like this.
            errors.append(too_long("[]", MAX_DATA_BYTES))
        if old is not None and old.get("immutable"):
            errors += immutable_errors(obj, old, "data", "binaryData")
        return errors


def immutable_errors(obj: Object, old: Object, *fields: str) -> list[FieldError]:
    """The errors for changes of an object that is marked immutable."""
    errors = [] if obj.get("immutable") else [forbidden("immutable", IMMUTABLE_TEXT)]
    return errors + [forbidden(f, IMMUTABLE_TEXT) for f in fields if (obj.get(f) or {}) != (old.get(f) or {})]


def _text_size(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode())


DEFINITION = ResourceDefinition(
    group="",
    plural="configmaps",
    singular="configmap",
    kind="ConfigMap",
    list_kind="ConfigMapList",
    namespaced=True,
    short_names=("cm",),
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(
                NAME,
                column(
                    "Data",
                    "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. "
                    "Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not "
                    "overlap with the keys in the BinaryData field, this is enforced during validation process.",
                    lambda obj: len(obj.get("data") or ()) + len(obj.get("binaryData") or ()),
                ),
                AGE,
            ),
        )
    },
    storage_version="v1",
    strategy=ConfigMapStrategy(),
)
