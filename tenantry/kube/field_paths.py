"""Places in an object as linked tuples. They become text only in a message.

A path as text would be copied at every level, and the keys of maps can be long.
"""

from __future__ import annotations

from typing import Any

Path = tuple[Any, Any] | None
"""None for the root, else (path of the parent, field name, `MapKey` or index)."""


class MapKey(str):
    """A key of a map in a path, which is shown in brackets: `spec.labels[a.b]`."""

    __slots__ = ()


PATH_CHARACTERS = 2048
"""Characters of a path that a message shows."""


def path_text(path: Path) -> str:
    """The path as text: `spec.list[0].name`; empty for the root."""
    text = ""
    for key in keys_of(path):
        if type(key) is int:
            text += f"[{key}]"
        elif type(key) is MapKey:
            text += f"[{key[:PATH_CHARACTERS]}]"
        else:
            text += f".{key if len(key) <= PATH_CHARACTERS else key[:PATH_CHARACTERS]}"
        if len(text) > PATH_CHARACTERS:
            return f"{text.removeprefix('.')[:PATH_CHARACTERS]}..."
    return text.removeprefix(".")


def keys_of(path: Path) -> list[Any]:
    """The field names and indexes from the root to the place."""
    keys: list[Any] = []
    while path is not None:
        path, key = path
        keys.append(key)
    keys.reverse()
    return keys


class ReportedPaths:
    """Collects paths of fields to report to a client: the first hundred different ones, like sigs.k8s.io/json."""

    MAX = 100

    def __init__(self) -> None:
        self._paths: dict[str, None] = {}
        self._later: ReportedPaths | None = None
        self.count = 0
        """How many paths were added, including those after the first hundred, which are not kept."""

    def add(self, path: Path) -> None:
        self.count += 1
        if len(self._paths) < self.MAX:
            self._paths[path_text(path)] = None

    @property
    def paths(self) -> list[str]:
        return list(self._paths)

    @property
    def is_empty(self) -> bool:
        return not self.count and (self._later is None or self._later.is_empty)

    @property
    def later(self) -> ReportedPaths:
        """Paths that are reported after all of these."""
        if self._later is None:
            self._later = ReportedPaths()
        return self._later
