"""The classes of views that installed packages bring, and what these ask for before a shard can be made."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points

from tenantry.tenancy.types.view_type import ViewType
from tenantry.virtual.view import View

ENTRY_POINT_GROUP = "tenantry.virtual_workspaces"
VERSION = "1.0"
"""The version of `tenantry.virtual.interface`, which says what it promises."""


def installed_views() -> list[type[View]]:
    """The view classes of installed packages: the entry points of the group `tenantry.virtual_workspaces`.

    Raises TypeError for an entry point that is not a subclass of View, and ValueError for one that needs another version of the
    interface.
    """
    found: list[type[View]] = []
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        loaded = point.load()
        if not (isinstance(loaded, type) and issubclass(loaded, View)):
            raise TypeError(f"entry point {point.name} = {point.value} is no View; name a subclass of View")
        check_version(loaded)
        found.append(loaded)
    return found


def check_version(view: type[View], version: str = VERSION) -> None:
    """Raises ValueError if a class needs another major version of the interface than `version`, or a newer minor one."""
    if not view.interface:
        return
    where = f"the view {view.__module__}.{view.__qualname__}"
    try:
        needed, have = _numbers(view.interface), _numbers(version)
    except ValueError:
        raise ValueError(f"{where} has the interface {view.interface!r}, which is no version such as 1.0") from None
    if needed[0] != have[0] or needed[1] > have[1]:
        raise ValueError(
            f"{where} needs version {view.interface} of tenantry.virtual.interface, and this is {version}; "
            "install another version of its package or of tenantry"
        )


def types_of(views: Iterable[type[View]]) -> list[tuple[ViewType, str]]:
    """The types that these views bring, each with the name of its view."""
    return [(each, view.name) for view in views for each in view.types]


def _numbers(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)
