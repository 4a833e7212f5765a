"""Places in an object as linked tuples, which become text only where something is said about them.

A path as text costs its length at every step down, and the keys of maps are as long as their writer likes.
"""

from __future__ import annotations

from typing import Any

Path = tuple[Any, Any] | None
"""A place below a root: None for the root itself, else (path of the parent, field name or index)."""

PATH_CHARACTERS = 2048
"""What is shown of a path."""


def path_text(path: Path) -> str:
    """`spec.list[0].name`; empty for the root."""
    text = ""
    for key in keys_of(path):
        if type(key) is int:
            text += f"[{key}]"
        else:
            text += f".{key if len(key) <= PATH_CHARACTERS else key[:PATH_CHARACTERS]}"
        if len(text) > PATH_CHARACTERS:
            return f"{text.removeprefix('.')[:PATH_CHARACTERS]}..."
    return text.removeprefix(".")


def keys_of(path: Path) -> list[Any]:
    """The steps from the root."""
    keys: list[Any] = []
    while path is not None:
        path, key = path
        keys.append(key)
    keys.reverse()
    return keys


class ReportedPaths:
    """The paths of fields that are told to a client: the first hundred different ones, as sigs.k8s.io/json stops there."""

    MAX = 100

    def __init__(self) -> None:
        self._paths: dict[str, None] = {}
        self.count = 0
        """How many there were."""

    def add(self, path: Path) -> None:
        self.count += 1
        if len(self._paths) < self.MAX:
            self._paths[path_text(path)] = None

    @property
    def paths(self) -> list[str]:
        return list(self._paths)
