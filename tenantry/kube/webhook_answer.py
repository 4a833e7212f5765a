"""What a webhook answers: a review of its own group and kind, in JSON, or in YAML, which upstream reads too."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson

from tenantry.kube.codec import json_codec, yaml_codec
from tenantry.kube.codec.json_syntax import syntax_error
from tenantry.kube.go_text import quote
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError

_REVIEW_VERSIONS = ("v1", "v1beta1")
_UNVERSIONED = ("APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "Status")
"""Kinds that every scheme knows."""
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_SCHEME = 'in scheme "pkg/runtime/scheme.go:111"'


class InvalidAnswer(Exception):
    """What is wrong with an answer, in upstream's words. `read`: it could be read, and is no review that answers the request."""

    def __init__(self, text: str, *, read: bool = True) -> None:
        super().__init__(text)
        self.read = read


def answer_value(body: bytes) -> Object:
    """The object in an answer. Raises InvalidAnswer."""
    value = _value(body)
    if not isinstance(value, dict):
        found = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
        raise InvalidAnswer(
            f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type {_TYPE_META}",
            read=False,
        )
    return value


def check_review_kind(value: Object, group: str, kind: str, version: str) -> tuple[str, str]:
    """The apiVersion and the kind of an answer to a review of that group, kind and version. They may be empty. Raises
    InvalidAnswer for those of something else."""
    given_version, given_kind = value.get("apiVersion") or "", value.get("kind") or ""
    for field, text in (("apiVersion", given_version), ("kind", given_kind)):
        if not isinstance(text, str):
            found = {list: "array", dict: "object", bool: "bool"}.get(type(text), "number")
            raise InvalidAnswer(
                f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go struct field .{field} of "
                "type string",
                read=False,
            )
    wanted = f"{group}/{version}"
    given, name = given_version or wanted, given_kind or kind
    if given == wanted and name == kind:
        return given_version, given_kind
    if name == kind and given in {f"{group}/{each}" for each in _REVIEW_VERSIONS}:
        sent = given.rpartition("/")[2]
        raise InvalidAnswer(f"converting ({sent}.{kind}) to ({version}.{kind}): unknown conversion", read=False)
    if given == "v1" and name in _UNVERSIONED:
        raise InvalidAnswer(f"converting (v1.{name}) to ({version}.{kind}): unknown conversion", read=False)
    raise InvalidAnswer(f"no kind {quote(name)} is registered for version {quote(given)} {_SCHEME}", read=False)


def _value(body: bytes) -> Any:
    """JSON, or else YAML, which every text is."""
    try:
        return orjson.loads(body)
    except ValueError:
        # Go's decoder reads a little more: large numbers, and texts with bytes that are no UTF-8.
        with suppress(StatusError):
            return json_codec.decode(body)[0]
    try:
        return yaml_codec.decode(body)[0]
    except StatusError as error:
        # What begins as JSON is not taken for YAML.
        why = syntax_error(body) if body.lstrip().startswith(b"{") else error.message
        raise InvalidAnswer(f"couldn't get version/kind; json parse error: {why}", read=False) from None
