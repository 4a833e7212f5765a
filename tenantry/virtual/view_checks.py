"""What `/readyz?verbose` of a process says of its views."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from tenantry.apiserver.endpoints.health import Health
from tenantry.virtual.view import View


def add_view_checks(name: str, views: Iterable[View], health: Health) -> None:
    """Shows the state of each view that can be unready, as `<name>-view-<view>`. `name`: of the process."""
    for view in views:
        if type(view).ready is not View.ready:
            health.note(f"{name}-view-{view.name}", partial(_ready, view))


def _ready(view: View) -> str | None:
    try:
        return view.ready()
    except Exception as error:  # a package's method may raise any error
        return f"{type(error).__name__} in its method `ready`"
