"""`?timeout=`, which kube-apiserver checks on every request that is no watch. Clients keep it themselves: the server has a limit
of its own, `Limits.request_timeout_seconds`."""

from __future__ import annotations

import re

from tenantry.apiserver.request import Request
from tenantry.kube.go_text import quote
from tenantry.kube.status import bad_request

_PART = re.compile(r"(\d*)(?:\.(\d*))?([^\d.]*)")
_UNITS = frozenset({"ns", "us", "µs", "μs", "ms", "s", "m", "h"})


def check_timeout(request: Request) -> None:
    """Raises StatusError 400 for a timeout that Go would not read as a duration."""
    if "timeout=" not in request.raw_query:
        return
    text = request.parameter("timeout")
    if text and (problem := _problem(text)):
        raise bad_request(f"invalid timeout specified in the request URL - time: {problem}")


def _problem(text: str) -> str:
    """What time.ParseDuration says is wrong, empty where nothing is."""
    rest = text[1:] if text[0] in "+-" else text
    if rest == "0":
        return ""
    if not rest:
        return f"invalid duration {quote(text)}"
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None or not (part[1] or part[2]):
            return f"invalid duration {quote(text)}"
        if not part[3]:
            return f"missing unit in duration {quote(text)}"
        if part[3] not in _UNITS:
            return f"unknown unit {quote(part[3])} in duration {quote(text)}"
        position = part.end()
    return ""
