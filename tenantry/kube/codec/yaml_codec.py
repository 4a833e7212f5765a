"""YAML bodies and answers, as Go's sigs.k8s.io/yaml reads and writes them."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from tenantry.kube.codec.json_codec import unrecognized
from tenantry.kube.codec.yaml_builder import EXCESSIVE, MAX_NODES, Builder, UnsupportedKey, at_line, shown
from tenantry.kube.codec.yaml_scalars import STR, is_text, not_finite

try:
    from yaml import CSafeDumper as _BaseDumper
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML without libyaml: the same, slower
    from yaml import SafeDumper as _BaseDumper  # type: ignore[assignment]
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]

_TO_ESCAPED_SLASH = re.compile(r"(?:[^\\]++|\\[^/])*+\\/", re.DOTALL)
_MAX_CHARACTERS = 6 * 1024 * 1024
"""How many bytes of text aliases may repeat: twice the limit of a body."""


def decode(body: bytes, *, duplicates: bool = False, kind: str = "") -> tuple[Any, list[str]]:
    """The JSON value of the first document. With `duplicates`, also texts about duplicate keys. Raises StatusError 400.

    `kind` is the Kind that the URL names, for the text of that error.
    """
    try:
        return read(body, duplicates=duplicates)
    except ValueError as error:
        raise unrecognized(kind, str(error), body) from None


def read(body: bytes, *, duplicates: bool = False) -> tuple[Any, list[str]]:
    """As `decode`. Raises ValueError with the text of Go's libraries alone."""
    try:
        value, reports, problem = _read(body, duplicates)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = f"yaml: {_problem(error)}"
    if problem:
        raise ValueError(problem)
    return value, reports


def _read(body: bytes, duplicates: bool) -> tuple[Any, list[str], str]:
    """The value, reports of duplicate keys, and why JSON cannot say the value. Raises yaml.YAMLError, ValueError."""
    if b"\\/" in body:
        _refuse_escaped_slashes(body)
    loader = _BaseLoader(body)
    try:
        builder = Builder(loader.get_event, duplicates=duplicates)
        value = builder.build()
    finally:
        loader.dispose()
    if not (builder.shares or builder.suspect or builder.is_large):
        return value, builder.reports, ""
    conversion = _Conversion()
    return conversion.of(value), builder.reports, conversion.key_problem or conversion.number_problem


def _refuse_escaped_slashes(body: bytes) -> None:
    """Go's YAML does not have this escape of JSON. Raises yaml.YAMLError, ValueError."""
    text = body.decode("utf-8-sig", "replace")
    loader = _BaseLoader(text)
    try:
        while not isinstance(event := loader.get_event(), yaml.DocumentEndEvent | yaml.StreamEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.style != '"':
                continue
            start, end = event.start_mark, event.end_mark
            if start is None or end is None:
                continue
            found = _TO_ESCAPED_SLASH.match(text, start.index, end.index)
            if found is not None:
                line = start.line + found.group().count("\n")
                # As in `_problem`: a scanner's lines count from 1.
                raise ValueError(at_line(line + 1 if line else 0, "found unknown escape character"))
    finally:
        loader.dispose()


class _Conversion:
    """The value without parts that are there more than once, in which one change would be seen elsewhere too. Refuses a document
    that becomes too large when its aliases are expanded, and finds what JSON cannot say."""

    def __init__(self) -> None:
        self._nodes, self._characters = MAX_NODES, _MAX_CHARACTERS
        self.key_problem = self.number_problem = ""

    def of(self, value: Any) -> Any:
        """A copy. Raises ValueError."""
        self._nodes -= 1
        kind = type(value)
        if kind is str:
            self._characters -= len(value)
        elif kind is dict:
            self._characters -= sum(map(len, value))
        if self._nodes < 0 or self._characters < 0:
            raise ValueError(EXCESSIVE)
        if kind is dict:
            for key in value:
                if type(key) is UnsupportedKey and not self.key_problem:
                    self.key_problem = f"unsupported map key of type: {key}, value: {shown(value[key])}"
            return {key: self.of(item) for key, item in value.items()}
        if kind is list:
            return [self.of(item) for item in value]
        if kind is float and not math.isfinite(value):
            self.number_problem = self.number_problem or f"json: unsupported value: {not_finite(value)}"
        return value


def _problem(error: Exception) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return str(error.reason)
    if isinstance(error, yaml.MarkedYAMLError):
        if error.problem_mark is not None and error.problem_mark.line:
            # Go's port counts a scanner's lines from 1 and a parser's from 0.
            return at_line(error.problem_mark.line + isinstance(error, yaml.scanner.ScannerError), str(error.problem))
        return at_line(error.context_mark.line if error.context_mark is not None else 0, str(error.problem))
    return str(error) or type(error).__name__


class _Dumper(_BaseDumper):
    """Writes as sigs.k8s.io/yaml does: lists are not indented under their key, and there are no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    """Go's writer puts double quotes around text that would be read as another type. The emitter decides about all other text."""
    style = None
    if not is_text(value):
        style = '"'
    elif "\n" in value:
        style = "|"
    return dumper.represent_scalar(STR, value, style=style)


_Dumper.add_representer(str, _text)


def encode(value: Any) -> bytes:
    """Block style, keys sorted, long text folded at 80 columns as Go's writer does."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, default_flow_style=False, width=80, encoding="utf-8")
