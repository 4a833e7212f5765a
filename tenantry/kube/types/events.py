"""Events of the core group and of events.k8s.io: one stored type (core) that is served in two forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tenantry.kube.columns import NAME
from tenantry.kube.definition import Column, ResourceDefinition, Strategy, Version
from tenantry.kube.durations import age
from tenantry.kube.field_errors import IMMUTABLE, invalid, required
from tenantry.kube.go_values import internal_value
from tenantry.kube.message_tables import kind, message
from tenantry.kube.names import path_segment_errors, qualified_name_errors
from tenantry.kube.objects import GroupResource, Object, namespace_of
from tenantry.kube.status import FieldError
from tenantry.kube.types.service_account import OBJECT_REFERENCE

_CORE = "io.k8s.api.core.v1."
_EVENTS = "io.k8s.api.events.v1."
GROUP = "events.k8s.io"

SOURCE = message(
    _CORE + "EventSource",
    """
    1 component string
    2 host      string
    """,
)
CORE_SERIES = message(
    _CORE + "EventSeries",
    """
    1 count            int32
    2 lastObservedTime MicroTime
    """,
)
CORE_EVENT = kind(
    _CORE + "Event",
    """
    2  involvedObject     ObjectReference required
    3  reason             string
    4  message            string
    5  source             EventSource
    6  firstTimestamp     Time            always
    7  lastTimestamp      Time            always
    8  count              int32
    9  type               string
    10 eventTime          MicroTime       always
    11 series             *EventSeries
    12 action             string
    13 related            *ObjectReference
    14 reportingComponent string          always
    15 reportingInstance  string          always
    """,
    OBJECT_REFERENCE,
    SOURCE,
    CORE_SERIES,
)
SERIES = message(
    _EVENTS + "EventSeries",
    """
    1 count            int32     always required
    2 lastObservedTime MicroTime always required
    """,
)
EVENT = kind(
    _EVENTS + "Event",
    """
    2  eventTime                MicroTime always required
    3  series                   *EventSeries
    4  reportingController      string
    5  reportingInstance        string
    6  action                   string
    7  reason                   string
    8  regarding                ObjectReference
    9  related                  *ObjectReference
    10 note                     string
    11 type                     string
    12 deprecatedSource         EventSource
    13 deprecatedFirstTimestamp Time      always
    14 deprecatedLastTimestamp  Time      always
    15 deprecatedCount          int32
    """,
    OBJECT_REFERENCE,
    SOURCE,
    SERIES,
)

_CORE_TO_NEW = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_NEW_TO_CORE = {new: core for core, new in _CORE_TO_NEW.items()}
_WRITTEN_EMPTY_IN_CORE = {"reportingComponent": "", "reportingInstance": ""}


def to_new(stored: Object) -> Object:
    """A stored (core) event as events.k8s.io shows it."""
    out = {_CORE_TO_NEW.get(key, key): value for key, value in stored.items()}
    for key in ("reportingController", "reportingInstance"):
        if not out.get(key):
            out.pop(key, None)
    return out


def to_core(event: Object) -> Object:
    """An events.k8s.io event in the stored (core) shape."""
    return _WRITTEN_EMPTY_IN_CORE | {_NEW_TO_CORE.get(key, key): value for key, value in event.items()}


class CoreEventStrategy(Strategy):
    create_on_update = True
    bare_finalizers = True
    metadata_first = False

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return path_segment_errors(name, prefix=prefix)

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        involved, namespace = (obj.get("involvedObject") or {}).get("namespace") or "", namespace_of(obj)
        is_new = bool(obj.get("eventTime"))
        # An event about an object without a namespace lives in `default`.
        lives_in = ("default", "kube-system") if is_new else ("default",)
        agrees = namespace in lives_in if not involved else is_new or involved == namespace
        errors = [] if agrees else [invalid("involvedObject.namespace", involved, "does not match event.namespace")]
        if is_new:
            errors += _reporter_errors(obj, "reportingComponent", obj.get("message"))
        return errors


_NOTE_MAX, _REASON_MAX, _ACTION_MAX, _INSTANCE_MAX = 1024, 128, 128, 128
_FROZEN = (
    ("regarding", "involvedObject"),
    ("reason", "reason"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("type", "type"),
    ("eventTime", "eventTime"),
    ("action", "action"),
    ("related", "related"),
    ("reportingController", "reportingController"),
    ("reportingInstance", "reportingInstance"),
)


class EventStrategy(Strategy):
    """events.k8s.io has stricter validation than the core group. Field names in its errors are those of the core group."""

    create_on_update = True

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        if old is None:
            return _strict_errors(obj)
        changed = [(f, path) for f, path in _FROZEN if (obj.get(f) or None) != (old.get(f) or None)]
        errors = [invalid(path, _shown(f, obj.get(f)), IMMUTABLE) for f, path in changed]
        return errors + _series_errors(obj)


def _shown(field: str, value: Any) -> Any:
    """A field as upstream shows its internal type."""
    item = next(each for each in EVENT.fields if each.name == field)
    if item.type.message is not None and value is not None:
        return internal_value(item.type.message, value)
    return "" if value is None and item.type.name == "string" else value


def _reporter_errors(obj: Object, controller_field: str, note: str | None) -> list[FieldError]:
    """The errors of what says who reports an event, which has an eventTime, and of its texts."""
    controller = obj.get(controller_field) or ""
    errors = [] if controller else [required(controller_field)]
    errors += [invalid(controller_field, controller, text) for text in qualified_name_errors(controller)]
    for field, limit in (("reportingInstance", _INSTANCE_MAX), ("action", _ACTION_MAX), ("reason", _REASON_MAX)):
        value = obj.get(field) or ""
        if not value:
            errors.append(required(field))
        elif len(value) > limit:
            errors.append(invalid(field, "", f"can have at most {limit} characters"))
    if len((note or "").encode()) > _NOTE_MAX:
        errors.append(invalid("message", "", f"can have at most {_NOTE_MAX} characters"))
    return errors


def _strict_errors(obj: Object) -> list[FieldError]:
    errors = []
    if not obj.get("eventTime"):
        errors.append(required("eventTime"))
    errors += _series_errors(obj) + _reporter_errors(obj, "reportingController", obj.get("note"))
    if obj.get("type") not in ("Normal", "Warning"):
        errors.append(invalid("type", "", f"has invalid value: {obj.get('type') or ''}"))
    for field, path in (("deprecatedFirstTimestamp", "firstTimestamp"), ("deprecatedLastTimestamp", "lastTimestamp")):
        if obj.get(field):
            errors.append(invalid(path, "", "needs to be unset"))
    if obj.get("deprecatedCount"):
        errors.append(invalid("count", "", "needs to be unset"))
    if obj.get("deprecatedSource"):
        errors.append(invalid("source", "", "needs to be unset"))
    return errors


def _series_errors(obj: Object) -> list[FieldError]:
    series = obj.get("series")
    if series is None:
        return []
    errors = []
    if (series.get("count") or 0) < 2:
        errors.append(invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        errors.append(required("series.lastObservedTime"))
    return errors


def _text(*path: str) -> Callable[[Object], str]:
    def read(obj: Object) -> str:
        value: Any = obj
        for key in path:
            value = (value or {}).get(key)
        return value or ""

    return read


def _source(obj: Object) -> str:
    """The value of the `source` selector: the component, or the reporting controller where there is none."""
    return (obj.get("source") or {}).get("component") or obj.get("reportingComponent") or ""


_SHARED_SELECTORS = {"reason": _text("reason"), "type": _text("type")}
_REFERENCE_FIELDS = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_CORE_SELECTORS: Mapping[str, Callable[[Object], str]] = (
    {f"involvedObject.{f}": _text("involvedObject", f) for f in _REFERENCE_FIELDS}
    | _SHARED_SELECTORS
    | {"reportingComponent": _text("reportingComponent"), "source": _source}
)
_NEW_SELECTORS: Mapping[str, Callable[[Object], str]] = (
    {f"regarding.{f}": _text("regarding", f) for f in _REFERENCE_FIELDS}
    | _SHARED_SELECTORS
    | {"reportingController": _text("reportingController")}
)


def _as_core(obj: Object) -> Object:
    return to_core(obj) if "regarding" in obj or "note" in obj or "deprecatedSource" in obj else obj


def _last_seen(obj: Object, now: datetime) -> str:
    event = _as_core(obj)
    series = event.get("series") or {}
    return age(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime"), now)


def _first_seen(obj: Object, now: datetime) -> str:
    event = _as_core(obj)
    return age(event.get("firstTimestamp") or event.get("eventTime"), now)


def _target(obj: Object, now: datetime) -> str:
    about = _as_core(obj).get("involvedObject") or {}
    name = about.get("name") or ""
    of = (about.get("kind") or "").lower()
    return f"{of}/{name}" if name else of


def _reporter(obj: Object, now: datetime) -> str:
    event = _as_core(obj)
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent") or ""
    host = source.get("host") or event.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def _count(obj: Object, now: datetime) -> int:
    event = _as_core(obj)
    return (event.get("series") or {}).get("count") or event.get("count") or 1


def _message(obj: Object, now: datetime) -> str:
    return (_as_core(obj).get("message") or "").strip()


_COLUMNS = (
    Column(
        name="Last Seen",
        description="The time at which the most recent occurrence of this event was recorded.",
        cell=_last_seen,
    ),
    Column(
        name="Type",
        description="Type of this event (Normal, Warning), new types could be added in the future",
        cell=lambda obj, now: obj.get("type") or "",
    ),
    Column(
        name="Reason",
        description="This should be a short, machine understandable string that gives the reason for the transition into the "
        "object's current status.",
        cell=lambda obj, now: obj.get("reason") or "",
    ),
    Column(name="Object", description="The object that this event is about.", cell=_target),
    Column(
        name="Subobject",
        priority=1,
        description="If referring to a piece of an object instead of an entire object, this string should contain a valid "
        "JSON/Go field access statement, such as desiredState.manifest.containers[2]. For example, if the object reference is "
        'to a container within a pod, this would take on a value like: "spec.containers{name}" (where "name" refers to the '
        'name of the container that triggered the event) or if no container name is specified "spec.containers[2]" (container '
        "with index 2 in this pod). This syntax is chosen only to have some well-defined way of referencing a part of an "
        "object.",
        cell=lambda obj, now: (_as_core(obj).get("involvedObject") or {}).get("fieldPath") or "",
    ),
    Column(
        name="Source",
        priority=1,
        description="The component reporting this event. Should be a short machine understandable string.",
        cell=_reporter,
    ),
    Column(
        name="Message",
        description="A human-readable description of the status of this operation.",
        cell=_message,
    ),
    Column(
        name="First Seen",
        priority=1,
        description="The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)",
        cell=_first_seen,
    ),
    Column(name="Count", priority=1, description="The number of times this event has occurred.", cell=_count),
    Column(name=NAME.name, type=NAME.type, format=NAME.format, description=NAME.description, priority=1, cell=NAME.cell),
)

CORE_EVENTS = ResourceDefinition(
    group="",
    plural="events",
    singular="event",
    kind="Event",
    list_kind="EventList",
    namespaced=True,
    short_names=("ev",),
    versions={
        "v1": Version(name="v1", schema=CORE_EVENT.schema, message=CORE_EVENT, columns=_COLUMNS, selectable=_CORE_SELECTORS)
    },
    storage_version="v1",
    strategy=CoreEventStrategy(),
)
EVENTS = ResourceDefinition(
    group=GROUP,
    plural="events",
    singular="event",
    kind="Event",
    list_kind="EventList",
    namespaced=True,
    short_names=("ev",),
    versions={
        "v1": Version(
            name="v1",
            schema=EVENT.schema,
            message=EVENT,
            columns=_COLUMNS,
            selectable=_NEW_SELECTORS,
            from_storage=to_new,
            to_storage=to_core,
        )
    },
    storage_version="v1",
    strategy=EventStrategy(),
    storage_group_resource=GroupResource("", "events"),
)
