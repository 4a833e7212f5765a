"""YAML bodies and answers, with the scalars of YAML 1.1 as Go's sigs.k8s.io/yaml reads them."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import yaml

from tenantry.kube.codec.json_codec import unrecognized

try:
    from yaml import CSafeDumper as _BaseDumper
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML without libyaml: the same, slower
    from yaml import SafeDumper as _BaseDumper  # type: ignore[assignment]
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]

_MAX_NODES = 200_000
"""A bound on what aliases may multiply a document to."""


class _Loader(_BaseLoader):
    """Keeps timestamps as text (JSON has none) and every duplicate key of a mapping for the caller to see."""

    duplicate_keys: list[str]


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    loader.flatten_mapping(node)
    out: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = _key_text(loader.construct_object(key_node, deep=True))
        if key in out:
            loader.duplicate_keys.append(f'line {key_node.start_mark.line + 1}: key "{key}" already set in map')
        out[key] = loader.construct_object(value_node, deep=True)
    return out


def _key_text(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _boolean(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return str(node.value).lower() in ("y", "yes", "true", "on")


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:bool", _boolean)
# YAML 1.1 has them and PyYAML leaves them out.
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^[yYnN]$"), list("yYnN"))
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)
_Loader.add_constructor("tag:yaml.org,2002:binary", lambda loader, node: node.value)


def decode(body: bytes, *, duplicates: bool = False, kind: str = "") -> tuple[Any, list[str]]:
    """The JSON value of the first document, and with `duplicates` what to say of keys that came twice. Raises StatusError 400.

    `kind` is the Kind that the URL wants, for the text of that error.
    """
    loader = _Loader(body.decode("utf-8", "replace"))
    loader.duplicate_keys = []
    try:
        value = loader.get_data() if loader.check_data() else None  # type: ignore[no-untyped-call]
        _count(value, [_MAX_NODES])
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise unrecognized(kind, f"yaml: {_problem(error)}", body) from None
    finally:
        loader.dispose()
    return value, loader.duplicate_keys if duplicates else []


def _count(value: Any, left: list[int]) -> None:
    """Refuses a document that aliases blow up."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError("document contains excessive aliasing")
    if isinstance(value, dict):
        for item in value.values():
            _count(item, left)
    elif isinstance(value, list):
        for item in value:
            _count(item, left)
    elif isinstance(value, (set, tuple, date, bytes)):
        raise ValueError("unsupported value")


def _problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        # Go's port counts a scanner's lines from 1 and a parser's from 0.
        line = error.problem_mark.line + isinstance(error, yaml.scanner.ScannerError)
        return f"line {line}: {error.problem}" if line else str(error.problem)
    return str(error) or type(error).__name__


_TEXT_TAG = "tag:yaml.org,2002:str"


class _Dumper(_BaseDumper):
    """Lists are not indented under their key, as sigs.k8s.io/yaml writes them, and nothing is aliased."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    """Go's writer puts double quotes around text that would read as another type, and leaves the rest to the emitter."""
    style = None
    if dumper.resolve(yaml.ScalarNode, value, (True, False)) != _TEXT_TAG:  # type: ignore[no-untyped-call]
        style = '"'
    elif "\n" in value:
        style = "|"
    return dumper.represent_scalar(_TEXT_TAG, value, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^[yYnN]$"), list("yYnN"))


def encode(value: Any) -> bytes:
    """Block style, keys sorted, long text folded at 80 columns as Go's writer does."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, default_flow_style=False, width=80, encoding="utf-8")
