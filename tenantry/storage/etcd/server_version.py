"""Which versions of etcd are supported, and how they differ."""

from __future__ import annotations

import re

from tenantry.storage.store import Unavailable

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")

Version = tuple[int, int, int]


class UnsupportedVersion(Unavailable):
    """The server is too old, or its version is not readable. It is not used."""


def parse_version(text: str) -> Version:
    """Parses a version such as `3.6.5`. A suffix such as `-rc.1` is ignored. Raises UnsupportedVersion."""
    found = _VERSION.match(text)
    if found is None:
        raise UnsupportedVersion(f"etcd reports the version {text!r}, which is not a version number")
    major, minor, patch = (int(part) for part in found.groups())
    return major, minor, patch


def check_version(text: str) -> Version:
    """Parses and checks a version. Raises UnsupportedVersion with the reason. kubernetes/website #40816 names the same
    minimums."""
    version = parse_version(text)
    if version >= (3, 6, 0) or (3, 5, 6) <= version < (3, 6, 0) or (3, 4, 22) <= version < (3, 5, 0):
        return version
    if (3, 5, 0) <= version <= (3, 5, 2):
        reason = "it loses committed transactions when it is killed under load (etcd issue 13766)"
    elif version[:2] in ((3, 4), (3, 5)):
        reason = "after a crash it may lack acknowledged writes or differ from the other members"
    else:
        reason = "its release series is not maintained any more"
    raise UnsupportedVersion(f"etcd {text} is not supported: {reason}; use 3.4.22 or later, 3.5.6 or later, or 3.6")


def reports_progress_on_request(version: Version) -> bool:
    """Whether a requested progress notification is correct and always sent.

    Before 3.5.13 it can arrive before events that it covers (etcd issue 15220), or be lost if it had to wait (etcd issue 17507).
    """
    return version >= (3, 5, 13)
