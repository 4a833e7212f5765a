"""Parts of cells that several types have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from tenantry.kube.durations import age
from tenantry.kube.objects import Object
from tenantry.kube.selectors.labels import from_object

Cell = Callable[[Object, datetime], Any]
NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"


def spec_of(obj: Object) -> Object:
    return obj.get("spec") or {}


def status_of(obj: Object) -> Object:
    return obj.get("status") or {}


def plain(make: Callable[[Object], Any]) -> Cell:
    """A cell that does not depend on the time."""
    return lambda obj, now: make(obj)


def spec(name: str, missing: Any = "") -> Cell:
    """The value of a field of the spec."""
    return lambda obj, now: spec_of(obj).get(name, missing)


def status(name: str, missing: Any = "") -> Cell:
    """The value of a field of the status."""
    return lambda obj, now: status_of(obj).get(name, missing)


def field(name: str, missing: Any = "") -> Cell:
    """The value of a field of the object itself."""
    return lambda obj, now: obj.get(name, missing)


def _name(obj: Object, now: datetime) -> Any:
    return obj["metadata"].get("name", "")


def _age(obj: Object, now: datetime) -> Any:
    return age(obj["metadata"].get("creationTimestamp"), now)


NAME: Cell = _name
AGE: Cell = _age


def containers_of(obj: Object) -> list[Object]:
    """The containers of the Pods that an object makes."""
    return spec_of(spec_of(obj).get("template") or {}).get("containers") or []


def container_names(containers: Iterable[Object]) -> str:
    return ",".join(container.get("name") or "" for container in containers)


def container_images(containers: Iterable[Object]) -> str:
    return ",".join(container.get("image") or "" for container in containers)


CONTAINER_CELLS: tuple[Cell, ...] = (
    plain(lambda obj: container_names(containers_of(obj))),
    plain(lambda obj: container_images(containers_of(obj))),
)


def labels_text(labels: Mapping[str, str] | None) -> str:
    """Labels by name, `<none>` for none (labels.FormatLabels)."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) if labels else NONE


def selector_text(selector: Object | None) -> str:
    """A metav1.LabelSelector as a text, `<none>` for an empty one (metav1.FormatLabelSelector)."""
    try:
        return str(from_object(selector)) or NONE
    except ValueError:
        return "<error>"


def condition_of(obj: Object, of: str) -> str | None:
    """The status of the first condition of a type; None if there is none."""
    conditions = status_of(obj).get("conditions") or ()
    return next((each.get("status") or "" for each in conditions if each.get("type") == of), None)


def few(texts: Iterable[str], *, limit: int = 3) -> str:
    """The first texts, and how many there are beyond these. Empty for none."""
    shown = list(texts)
    rest = len(shown) - limit
    return f"{','.join(shown[:limit])} + {rest} more..." if rest > 0 else ",".join(shown)
