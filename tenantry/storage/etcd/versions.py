"""Which etcd servers are good enough, and what has to be done differently on which."""

from __future__ import annotations

import re

from tenantry.storage.store import Unavailable

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")

Version = tuple[int, int, int]


class UnsupportedVersion(Unavailable):
    """The server is too old, or does not say how old it is. It is not used for anything."""


def parse_version(text: str) -> Version:
    """`3.6.5`, or with anything behind, such as `3.6.0-rc.1`. Raises UnsupportedVersion."""
    found = _VERSION.match(text)
    if found is None:
        raise UnsupportedVersion(f"etcd gives its version as {text!r}, which is not understood")
    major, minor, patch = (int(part) for part in found.groups())
    return major, minor, patch


def check_version(text: str) -> Version:
    """Raises UnsupportedVersion with the reason (kubernetes/website #40816 names the same lowest versions)."""
    version = parse_version(text)
    if version >= (3, 6, 0) or (3, 5, 6) <= version < (3, 6, 0) or (3, 4, 22) <= version < (3, 5, 0):
        return version
    if (3, 5, 0) <= version <= (3, 5, 2):
        reason = "it loses committed transactions when it is killed under load (etcd issue 13766)"
    elif version[:2] in ((3, 4), (3, 5)):
        reason = "after a crash it may lack acknowledged writes or differ from the other members"
    else:
        reason = "its series gets no corrections any more"
    raise UnsupportedVersion(f"etcd {text} is refused: {reason}; use 3.4.22 or later, 3.5.6 or later, or 3.6")


def reports_progress_on_request(version: Version) -> bool:
    """Whether an asked-for progress report is true and comes for sure.

    Before, it overtakes the events that it claims to follow (etcd issue 15220), or is lost where it had to wait (17507).
    """
    return version >= (3, 5, 13)
