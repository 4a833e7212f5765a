"""The URLs that clients see."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Urls:
    """Makes URLs. `external`: the base URL that clients use, without a trailing slash."""

    external: str

    def cluster(self, path_or_id: str) -> str:
        return f"{self.external}/clusters/{path_or_id}"

    def range(self, name: str) -> str:
        """The base URL of a range."""
        return f"{self.external}/ranges/{name}"
