"""Kubernetes' CEL functions of named formats: `format.dns1123Label().validate(text)`."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, NamedTuple

from tenantry.kube import names
from tenantry.kube.schema import formats, go_url
from tenantry.kube.schema.cel_functions.arguments import FunctionTable, text_of
from tenantry.kube.schema.cel_library.shared import opaque
from tenantry.kube.schema.cel_values import NONE, PER_CHARACTER, Cost, Opaque, Optional

FUNCTIONS = FunctionTable()


class NamedFormat(NamedTuple):
    """A format: what is wrong with a text, and how long its pattern counts for the cost."""

    name: str
    errors_of: Callable[[str], list[str]]
    pattern_size: int


def _openapi(name: str, error: str) -> Callable[[str], list[str]]:
    is_valid = formats.find(name)
    assert is_valid is not None
    return lambda text: [] if is_valid(text) else [error]


def _uri(text: str) -> list[str]:
    try:
        go_url.request_uri(text)
    except ValueError as error:
        return [str(error)]
    return []


_FORMATS = {
    "dns1123Label": NamedFormat("DNS1123Label", names.dns1123_label_errors, 30),
    "dns1123Subdomain": NamedFormat("DNS1123Subdomain", names.dns1123_subdomain_errors, 60),
    "dns1035Label": NamedFormat("DNS1035Label", names.dns1035_label_errors, 30),
    "qualifiedName": NamedFormat("QualifiedName", names.qualified_name_errors, 60),
    "dns1123LabelPrefix": NamedFormat("DNS1123LabelPrefix", lambda text: names.dns1123_label_errors(text, prefix=True), 30),
    "dns1123SubdomainPrefix": NamedFormat(
        "DNS1123SubdomainPrefix", lambda text: names.dns1123_subdomain_errors(text, prefix=True), 60
    ),
    "dns1035LabelPrefix": NamedFormat("DNS1035LabelPrefix", lambda text: names.dns1035_label_errors(text, prefix=True), 30),
    "labelValue": NamedFormat("LabelValue", names.label_value_errors, 40),
    "uri": NamedFormat("URI", _uri, 1103),
    "uuid": NamedFormat("uuid", _openapi("uuid", "does not match the UUID format"), 80),
    "byte": NamedFormat("byte", _openapi("byte", "invalid base64"), 84),
    "date": NamedFormat("date", _openapi("date", "invalid date"), 200),
    "datetime": NamedFormat("datetime", _openapi("date-time", "invalid datetime"), 200),
}


def _constant(found: NamedFormat) -> Callable[[Cost], Opaque]:
    def constant(cost: Cost) -> Opaque:
        cost.charge(1)
        return Opaque("NamedFormat", found)

    return constant


def _named(cost: Cost, name: Any) -> Optional:
    cost.charge(1)
    found = _FORMATS.get(text_of(name))
    return NONE if found is None else Optional((Opaque("NamedFormat", found),))


def _validate(cost: Cost, value: Any, text: Any) -> Optional:
    found: NamedFormat = opaque(value, "NamedFormat")
    cost.charge(ceil((1 + len(text_of(text))) * PER_CHARACTER) * ceil(found.pattern_size * 0.25))
    errors = found.errors_of(text)
    return Optional((errors,)) if errors else NONE


for _name, _format in _FORMATS.items():
    FUNCTIONS[f"format.{_name}", False] = _constant(_format)
FUNCTIONS["format.named", False] = _named
FUNCTIONS["validate", True] = _validate
