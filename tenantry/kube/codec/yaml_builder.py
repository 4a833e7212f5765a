"""Makes the JSON value of a YAML document from libyaml's events, as Go's decoder and sigs.k8s.io/yaml do together.

Go parses a document, decodes its nodes, and converts what it decoded to JSON. Here the three steps are one, and so a refusal of
the second or third waits for the end of the document, in case the first step has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import yaml

from tenantry.kube.codec.json_syntax import MAX_STORED_DEPTH
from tenantry.kube.codec.yaml_scalars import INT64, MERGE, NUMERIC, WORDS, float_key, json_number, number, tagged
from tenantry.kube.field_paths import ReportedPaths
from tenantry.kube.go_text import MAP_OF_ANY, syntax

MAX_NODES = 50_000
"""How many nodes a document may have, after aliases and merges are expanded. Reading so many takes 0.1 to 0.7 seconds.
JSON has no such limit."""
_MAX_EVENTS = 2 * MAX_NODES
EXCESSIVE = "document contains excessive aliasing"
_NO_MERGE = "map merge requires map or sequence of maps as the value"
_MESSAGE_CHARACTERS = 1024
"""How much of a value a refusal shows."""
_MAX_OPERATIONS = 1 << 40
"""Where the count of what an alias stands for ends: aliases of aliases make numbers of thousands of digits."""


class Refused(ValueError):
    """A document that Go's YAML library refuses. The text is that of the library, without "yaml: "."""


class _Next(Enum):
    """What comes next in an open collection, where it is not the value of a key."""

    ITEM = "an item"
    KEY = "a key"
    MERGED = "the value of a merge key"
    SOURCE = "an item of a list that is the value of a merge key"


class UnsupportedKey(NamedTuple):
    """A key that JSON cannot have: null, or an integer above 2^63 - 1."""

    value: int | None

    def __str__(self) -> str:
        return "%!s(<nil>), key: <nil>" if self.value is None else f"uint64, key: {self.value:#x}"


_Repeatable = tuple[Any, str | UnsupportedKey, int] | str
"""What setting keys may report: a key as it was read, as it is in JSON, and the line of its value; or a report from within the
value."""


class _Source(NamedTuple):
    """A mapping that may be merged. `log` is in the order of the document; empty where duplicate keys are not asked for."""

    value: dict[Any, Any]
    log: list[_Repeatable]


class _Anchor(NamedTuple):
    """What an alias stands for. `operations` is how often Go decodes a node for it, `reports` what it reports each time."""

    value: Any
    operations: int = 1
    reports: tuple[str, ...] = ()
    sources: list[_Source] | None = None


class _Open:
    """A collection whose end has not come."""

    __slots__ = ("container", "event", "key", "keys", "log", "logged", "operations", "raw", "reported", "silent", "sources")

    def __init__(self, event: Any, key: _Next, container: Any, operations: int, reported: int) -> None:
        self.event = event
        """The event of its start, with its anchor and line."""
        self.key: Any = key
        """The key of the value that comes next, or a _Next."""
        self.raw: Any = None
        """That key as it was read."""
        self.container = container
        self.keys: set[Any] | None = None
        """Keys as they were read, where one of them is no text: `1` and `"1"` are two keys for Go."""
        self.log: list[_Repeatable] | None = None
        """What setting its keys may report. Only of a mapping that may be merged, where duplicate keys are asked for."""
        self.silent = False
        """Whether its keys are not its own: it is merged where it stands."""
        self.sources: list[_Source] | None = None
        """What is merged. Only a list that is the value of a merge key has them."""
        self.operations = operations
        self.reported = self.logged = reported


class Builder:
    """One document."""

    def __init__(self, get_event: Callable[[], Any], *, duplicates: bool) -> None:
        self._get_event = get_event
        self._duplicates = duplicates
        self._anchors: dict[str, _Anchor | _Open] = {}
        self._failure = ""
        self._merges_left = self._log_left = MAX_NODES
        self._aliased = 0
        """How often Go decodes a node for an alias."""
        self._extra = 0
        """The same, less what it does not decode by itself: merge keys and the lists behind them."""
        self.reports: list[str] = []
        """Go's reports of duplicate keys, at most ReportedPaths.MAX."""
        self.shares = False
        """Whether parts of the value are there more than once."""
        self.suspect = False
        """Whether the value may have numbers or keys that JSON does not."""
        self.is_large = False
        """Whether the value may have more than MAX_NODES nodes without aliases."""

    def build(self) -> Any:
        """The value of the first document; None if there is none. Raises Refused, yaml.YAMLError, ValueError.

        Keys that JSON cannot have are UnsupportedKey, and numbers may be infinite or NaN.
        """
        get_event, duplicates = self._get_event, self._duplicates
        scalar_event, nothing, item = yaml.ScalarEvent, _Next.KEY, _Next.ITEM
        root = frame = _Open(None, _Next.ITEM, [], 0, 0)
        enclosing: list[_Open] = []
        ends = 0
        for count in range(_MAX_EVENTS + 1):
            event = get_event()
            kind = type(event)
            if kind is scalar_event:
                value: Any = event.value
                if event.tag is not None:
                    value = self._tagged(event.tag, value)
                elif event.implicit[0]:
                    value = number(value) if value[:1] in NUMERIC else WORDS.get(value, value)
                if event.anchor is not None:
                    self._anchors[event.anchor] = _Anchor(value)
                key = frame.key
                if key is nothing:
                    if type(value) is str and value != "<<":
                        frame.key = frame.raw = value
                    else:
                        self._key(frame, value, event)
                    continue
                if type(value) is float:
                    value = self._json(value)
                if type(key) is str:
                    if duplicates and (key in frame.container or frame.keys is not None or frame.log is not None):
                        self._set(frame, event)
                    frame.container[key] = value
                    frame.key = nothing
                elif key is item:
                    frame.container.append(value)
                else:
                    self._place(frame, value, event, None)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                enclosing.append(frame)
                if len(enclosing) > MAX_STORED_DEPTH:
                    raise ValueError("exceeded max depth")
                frame = self._opened(frame, event, kind is yaml.MappingStartEvent, count - ends)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                ended, frame = frame, enclosing.pop()
                self._end(ended, frame, count - ends)
                ends += 1
            elif kind is yaml.AliasEvent:
                self._alias(frame, event, count - ends)
            elif kind is yaml.DocumentStartEvent:
                if event.version is not None and event.version != (1, 1):
                    raise Refused(at_line(event.start_mark.line, "found incompatible YAML document"))
            elif kind is yaml.DocumentEndEvent or kind is yaml.StreamEndEvent:
                break
        else:
            raise ValueError("document has too many values")
        self.is_large = count > MAX_NODES
        if self._failure:
            raise Refused(self._failure)
        return root.container[0] if root.container else None

    def _opened(self, frame: _Open, event: Any, is_mapping: bool, position: int) -> _Open:
        key, operations = frame.key, position + self._extra
        merging = key is _Next.MERGED or key is _Next.SOURCE
        if is_mapping:
            opened = _Open(event, _Next.KEY, {}, operations, len(self.reports))
            if self._duplicates and (merging or event.anchor is not None):
                opened.log, opened.silent = [], merging
        elif key is _Next.MERGED:
            opened = _Open(event, _Next.SOURCE, [], operations, len(self.reports))
            opened.sources = []
            self._extra -= 1
        else:
            opened = _Open(event, _Next.ITEM, [], operations, len(self.reports))
        if event.anchor is not None:
            self._anchors[event.anchor] = opened
        return opened

    def _end(self, ended: _Open, frame: _Open, position: int) -> None:
        value, anchor, sources = ended.container, ended.event.anchor, ended.sources
        key = frame.key
        if type(value) is dict and (anchor is not None or key is _Next.MERGED or key is _Next.SOURCE):
            sources = [_Source(value, ended.log or [])]
        # An anchor within the collection may have taken its name.
        if anchor is not None and self._anchors[anchor] is ended:
            size = min(position + self._extra - ended.operations, _MAX_OPERATIONS)
            reports = tuple(self.reports[ended.reported :])
            self._anchors[anchor] = _Anchor(value, size, reports, sources if type(value) is dict else None)
        self._place(frame, value, ended.event, sources)

    def _alias(self, frame: _Open, event: Any, position: int) -> None:
        name, anchor = event.anchor, self._anchors.get(event.anchor)
        merging = frame.key is _Next.MERGED or frame.key is _Next.SOURCE
        if anchor is None:
            raise Refused(f"unknown anchor '{name}' referenced")
        if isinstance(anchor, _Open):
            is_list = type(anchor.container) is list
            self._fail(_NO_MERGE if merging and is_list else f"anchor '{name}' value contains itself")
            self._place(frame, None, event, [])
            return
        self.shares = True
        self._extra += anchor.operations
        self._aliased += anchor.operations
        operations = position + self._extra
        if self._aliased > 100 and operations > 1000 and self._aliased > operations * _aliased_share(operations):
            self._fail(EXCESSIVE)
        value = anchor.value
        if type(value) is float and frame.key is not _Next.KEY:
            value = self._json(value)
        if not merging:
            for report in anchor.reports:
                self._report(report)
        self._place(frame, value, event, anchor.sources)

    def _place(self, frame: _Open, value: Any, event: Any, sources: list[_Source] | None) -> None:
        """Puts a value where it belongs. `sources` are what it merges, where it is the value of a merge key."""
        key = frame.key
        if key is _Next.ITEM:
            frame.container.append(value)
        elif key is _Next.KEY:
            self._key(frame, value, None)
        elif key is _Next.MERGED:
            if sources is None:
                self._fail(_NO_MERGE)
            for source in reversed(sources or []):
                self._merge(frame, source)
            frame.key = _Next.KEY
        elif key is _Next.SOURCE:
            if sources is None or frame.sources is None or type(value) is not dict:
                self._fail(_NO_MERGE)
            else:
                frame.sources += sources
            frame.container.append(value)
        else:
            if self._duplicates:
                self._set(frame, event)
            frame.container[key] = value
            frame.key = _Next.KEY

    def _key(self, frame: _Open, value: Any, event: Any) -> None:
        """A key that is not simply text. `event`: of a scalar that is written there."""
        kind = type(value)
        if kind is str:
            if value == "<<" and event is not None and (event.implicit[0] or event.tag == MERGE):
                frame.key = _Next.MERGED
                self._extra -= 1
            else:
                frame.key = frame.raw = value
            return
        frame.raw = value
        if kind is dict or kind is list:
            if not self._failure:
                self._fail(f"invalid map key: {shown(value)}")
            frame.key = frame.raw = ""
            return
        if self._duplicates and frame.keys is None:
            frame.keys = set(frame.container)
        if kind is bool:
            frame.key = "true" if value else "false"
        elif kind is float:
            frame.key = float_key(value)
        elif value is not None and value in INT64:
            frame.key = str(value)
        else:
            frame.key = UnsupportedKey(value)
            self.suspect = True

    def _set(self, frame: _Open, event: Any) -> None:
        """Looks whether a key that gets its value has one already."""
        line = event.start_mark.line + 1
        if frame.log is not None:
            if not frame.silent:
                frame.log += self.reports[frame.logged :]
            frame.log.append((frame.raw, frame.key, line))
        if not frame.silent and self._repeats(frame, frame.raw, frame.key):
            self._report_key(frame.raw, line)
        frame.logged = len(self.reports)

    def _merge(self, frame: _Open, source: _Source) -> None:
        """As Go does it, a merged key replaces one that stands in front of the merge key."""
        self._merges_left -= len(source.value) + 1
        if self._merges_left < 0:
            raise ValueError(EXCESSIVE)
        for entry in source.log:
            self._log_left -= 1
            if self._log_left < 0:
                break
            if frame.log is not None:
                frame.log.append(entry)
            if isinstance(entry, str):
                self._report(entry)
                continue
            raw, key, line = entry
            if type(raw) is not str and frame.keys is None:
                frame.keys = set(frame.container)
            if self._repeats(frame, raw, key) and not frame.silent:
                self._report_key(raw, line)
            frame.container[key] = source.value[key]
        frame.container.update(source.value)
        frame.logged = len(self.reports)

    def _repeats(self, frame: _Open, raw: Any, key: Any) -> bool:
        if frame.keys is None:
            return key in frame.container
        if raw != raw:
            return False
        identity = raw if type(raw) is str else (type(raw), raw)
        if identity in frame.keys:
            return True
        frame.keys.add(identity)
        return False

    def _report(self, text: str) -> None:
        if len(self.reports) < ReportedPaths.MAX:
            self.reports.append(text)

    def _report_key(self, raw: Any, line: int) -> None:
        # A long key costs time only where its report is kept.
        if len(self.reports) < ReportedPaths.MAX:
            self.reports.append(f"line {line}: key {shown(raw)} already set in map")

    def _tagged(self, tag: str, text: str) -> Any:
        try:
            return tagged(tag, text)
        except ValueError as error:
            self._fail(str(error))
            return None

    def _json(self, value: float) -> int | float:
        if math.isfinite(value):
            return json_number(value)
        self.suspect = True
        return value

    def _fail(self, problem: str) -> None:
        self._failure = self._failure or problem


def _aliased_share(operations: int) -> float:
    """How much of what is decoded may come from aliases: Go's, 99 % of small and 10 % of large documents."""
    return max(0.10, min(0.99, 0.99 - 0.89 * (operations - 400_000) / 3_600_000))


def at_line(line: int, problem: str) -> str:
    return f"line {line}: {problem}" if line else problem


def shown(value: Any) -> str:
    """Go's `%#v`, cut."""
    text = "<nil>" if value is None else syntax(_beginning(value, [_MESSAGE_CHARACTERS]), MAP_OF_ANY)
    return text if len(text) <= _MESSAGE_CHARACTERS else f"{text[:_MESSAGE_CHARACTERS]}..."


def _beginning(value: Any, left: list[int]) -> Any:
    """The part of a value that the first `left` characters of its text show. Aliases can make the whole exponentially large."""
    left[0] -= 1
    if type(value) is str:
        left[0] -= len(value)
        return value[:_MESSAGE_CHARACTERS]
    if type(value) is dict:
        pairs = ((str(key), value[key]) for key in sorted(value, key=str))
        return {_beginning(key, left): _beginning(item, left) for key, item in pairs if left[0] >= 0}
    if type(value) is list:
        return [_beginning(item, left) for item in value if left[0] >= 0]
    return value
