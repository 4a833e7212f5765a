"""The order of API versions: GA before beta before alpha, then the higher number first (k8s.io/apimachinery/pkg/version)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?", re.ASCII)
_STABILITY = {None: 0, "beta": 1, "alpha": 2}


def by_priority(version: str) -> tuple[int, int, int, str]:
    """A sort key: `v10`, `v2`, `v1`, `v11beta2`, `v1beta1`, `v2alpha1`, and then other names in alphabetical order."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (3, 0, 0, version)
    major, stability, minor = match.groups()
    return (_STABILITY[stability], -int(major), -int(minor or 0), version)


def sort_versions(versions: Iterable[str]) -> list[str]:
    return sorted(versions, key=by_priority)
