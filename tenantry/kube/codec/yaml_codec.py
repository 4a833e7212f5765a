"""YAML bodies and answers, with the scalars of YAML 1.1 as Go's sigs.k8s.io/yaml reads them."""

from __future__ import annotations

import math
import re
from datetime import date
from typing import Any

import yaml

from tenantry.kube.codec.json_codec import unrecognized
from tenantry.kube.codec.json_syntax import MAX_STORED_DEPTH
from tenantry.kube.field_paths import ReportedPaths

try:
    from yaml import CSafeDumper as _BaseDumper
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML without libyaml: the same, slower
    from yaml import SafeDumper as _BaseDumper  # type: ignore[assignment]
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]

_MAX_NODES = 50_000
"""How many nodes a document may have, after aliases and merges are expanded. Parsing so many takes about a second. JSON has no
such limit."""
_MAX_CHARACTERS = 6 * 1024 * 1024
"""How many bytes of text aliases may repeat: twice the limit of a body."""
_MERGE = "tag:yaml.org,2002:merge"
_MARKS = (b"[", b"{", b"-", b"?", b":", b",")
"""Every value of a document except the first, and so every level, begins with one of these."""
_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_INTEGERS = range(-(1 << 63), 1 << 64)


class _Loader(_BaseLoader):
    """Keeps timestamps as text (JSON has none), and records duplicate keys of mappings for the caller."""

    duplicate_keys: list[str]
    merges_left = _MAX_NODES

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """PyYAML's method with a limit: merges of merges can double the size many times."""
        if not any(key.tag == _MERGE for key, _ in node.value):
            return
        sources: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                sources += reversed(value.value) if isinstance(value, yaml.SequenceNode) else (value,)
        own = [pair for pair in node.value if pair[0].tag != _MERGE]
        # Before the sources are read, because a mapping may refer to itself.
        node.value = own
        inherited: list[tuple[yaml.Node, yaml.Node]] = []
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise ValueError("map merge requires map or sequence of maps as the value")
            self.flatten_mapping(source)
            self.merges_left -= len(source.value) + 1
            if self.merges_left < 0:
                raise ValueError("document contains excessive aliasing")
            inherited += source.value
        node.value = inherited + own
        node.inherited = len(inherited)  # type: ignore[attr-defined]


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    loader.flatten_mapping(node)
    out: dict[str, Any] = {}
    own: set[str] = set()
    inherited = getattr(node, "inherited", 0)
    for index, (key_node, value_node) in enumerate(node.value):
        key = _key_text(loader.construct_object(key_node, deep=True))
        if index >= inherited:
            if key in own and len(loader.duplicate_keys) < ReportedPaths.MAX:
                loader.duplicate_keys.append(f'line {key_node.start_mark.line + 1}: key "{key}" already set in map')
            own.add(key)
        out[key] = loader.construct_object(value_node, deep=True)
    return out


def _key_text(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _boolean(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return str(node.value).lower() in ("y", "yes", "true", "on")


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int | float | str:
    """As in Go: a number of more than 64 bits is a float, and `12:30:45` is not a number of base 60."""
    if ":" in node.value:
        return str(node.value)
    value = loader.construct_yaml_int(node)
    return value if value in _INTEGERS else float(value)


def _float(loader: _Loader, node: yaml.ScalarNode) -> float | str:
    if ":" in node.value:
        return str(node.value)
    value = loader.construct_yaml_float(node)
    if not math.isfinite(value):
        raise ValueError(f"error converting YAML to JSON: json: unsupported value: {node.value}")
    return value


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:bool", _boolean)
# YAML 1.1 has these, and PyYAML does not support them.
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^[yYnN]$"), list("yYnN"))
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)
_Loader.add_constructor("tag:yaml.org,2002:binary", lambda loader, node: node.value)
_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


def decode(body: bytes, *, duplicates: bool = False, kind: str = "") -> tuple[Any, list[str]]:
    """The JSON value of the first document. With `duplicates`, also texts about duplicate keys. Raises StatusError 400.

    `kind` is the Kind that the URL names, for the text of that error.
    """
    text = body.decode("utf-8", "replace")
    loader = _Loader(text)
    loader.duplicate_keys = []
    try:
        if sum(map(body.count, _MARKS)) > MAX_STORED_DEPTH:
            _measure(text)
        value = loader.get_data() if loader.check_data() else None  # type: ignore[no-untyped-call]
        _count(value, [_MAX_NODES, _MAX_CHARACTERS])
    except (yaml.YAMLError, ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise unrecognized(kind, f"yaml: {_problem(error)}", body) from None
    finally:
        loader.dispose()
    return value, loader.duplicate_keys if duplicates else []


def _measure(text: str) -> None:
    """Refuses a document with too many levels or nodes before nodes are made: libyaml makes them by recursion on the C stack, and
    a stack overflow ends the process. Raises ValueError, YAMLError."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_BaseLoader)):
        if isinstance(event, _OPENING):
            depth += 1
            if depth > MAX_STORED_DEPTH:
                raise ValueError("exceeded max depth")
        elif isinstance(event, _CLOSING):
            depth -= 1
        elif isinstance(event, yaml.DocumentEndEvent):
            return
        if count > 2 * _MAX_NODES:
            raise ValueError("document has too many values")


def _count(value: Any, left: list[int]) -> None:
    """Refuses a document that becomes too large when its aliases are expanded."""
    left[0] -= 1
    if isinstance(value, str):
        left[1] -= len(value)
    if left[0] < 0 or left[1] < 0:
        raise ValueError("document contains excessive aliasing")
    if isinstance(value, dict):
        left[1] -= sum(map(len, value))
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
    """Writes as sigs.k8s.io/yaml does: lists are not indented under their key, and there are no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    """Go's writer puts double quotes around text that would be read as another type. The emitter decides about all other text."""
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
