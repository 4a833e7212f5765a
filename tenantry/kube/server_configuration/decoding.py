"""Decodes a configuration file strictly, as kube-apiserver does: YAML or JSON, without unknown and duplicate fields."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from tenantry.kube.codec import yaml_codec
from tenantry.kube.decode import unknown_fields
from tenantry.kube.go_decode import Mismatch, normaliser
from tenantry.kube.message_tables import Message
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError, cut

GROUP = "apiserver.config.k8s.io"
BYTES_MAX = 1 << 20
"""The largest file. 64 issuers with their CAs take a fifth of it."""
_KINDS = ("AuthenticationConfiguration", "AuthorizationConfiguration")
_SHOWN = 256
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_SCHEME = 'in scheme "pkg/runtime/scheme.go:111"'


class ConfigurationError(Exception):
    """A configuration that cannot be used. The text is kube-apiserver's."""


def decode(content: bytes, message: Message, versions: Collection[str]) -> Object:
    """The object in a file of the kind of `message`, in one of the versions of the group. Raises ConfigurationError."""
    if not content:
        raise ConfigurationError("empty config data")
    if len(content) > BYTES_MAX:
        raise ConfigurationError(f"the file has more than {BYTES_MAX} bytes")
    try:
        value, repeated = yaml_codec.read(content, duplicates=True)
        # Go reads YAML as JSON with sorted keys, in whose order it reports.
        value = orjson.loads(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    obj = _checked_kind(value, content, message.name, versions)
    try:
        normaliser(message)(obj)
    except Mismatch as mismatch:
        raise ConfigurationError(mismatch.text()) from None
    problems = [f'unknown field "{path}"' for path in unknown_fields(obj, message.schema)]
    if repeated:
        problems.insert(0, "\n  ".join(("yaml: unmarshal errors:", *repeated)))
    if problems:
        raise ConfigurationError(f"strict decoding error: {', '.join(problems)}")
    return obj


def aggregate(errors: Collection[FieldError]) -> str:
    """The text of several errors as upstream's ToAggregate prints it: each once."""
    texts = list(dict.fromkeys(error.message for error in errors))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _checked_kind(value: Any, content: bytes, kind: str, versions: Collection[str]) -> Object:
    if value is not None and not isinstance(value, dict):
        found = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
        raise ConfigurationError(
            f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type {_TYPE_META}"
        )
    obj: Object = value or {}
    texts = {}
    for name in ("apiVersion", "kind"):
        text = obj.get(name)
        if text is not None and not isinstance(text, str):
            raise ConfigurationError(f"couldn't get version/kind; json parse error: the {name} is no text")
        texts[name] = text or ""
    for name, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not texts[name]:
            raise ConfigurationError(f"Object '{shown}' is missing in '{cut(content.decode(errors='replace'), _SHOWN)}'")
    version = texts["apiVersion"].removeprefix(f"{GROUP}/")
    if version not in versions or texts["kind"] not in (kind, *_KINDS):
        raise ConfigurationError(f'no kind "{texts["kind"]}" is registered for version "{texts["apiVersion"]}" {_SCHEME}')
    if texts["kind"] != kind:
        raise ConfigurationError(f"expected {kind}, got *apiserver.{texts['kind']}")
    return obj
