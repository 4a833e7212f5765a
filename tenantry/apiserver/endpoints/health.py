"""`/healthz`, `/livez`, `/readyz`: named checks, each also at a path of its own (the texts of k8s.io/apiserver's healthz)."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.endpoints.plain import page_not_found, text
from tenantry.apiserver.request import Request
from tenantry.http.messages import Response

Check = Callable[[], str | None]
"""Answers None when all is well, else what is wrong. Must not wait: it is asked on the loop."""

KINDS = ("healthz", "livez", "readyz")
HEALTH_PATHS = frozenset(f"/{kind}" for kind in KINDS)
"""Open to everybody, everywhere."""


def _ping() -> str | None:
    return None


class Health:
    """The checks of a process. `livez` tells whether to restart it, `readyz` whether to send it requests; `healthz` is the old
    name for the first."""

    def __init__(self) -> None:
        self._checks: dict[str, dict[str, Check]] = {kind: {"ping": _ping} for kind in KINDS}
        self._draining = False
        self._checks["readyz"]["shutdown"] = lambda: "process is shutting down" if self._draining else None

    def add(self, name: str, check: Check, *, live: bool = False) -> None:
        """Adds a check to readyz, and with `live` to livez and healthz too."""
        for kind in KINDS if live else ("readyz",):
            self._checks[kind][name] = check

    def drain(self) -> None:
        """Not ready any more: load balancers turn away before connections end."""
        self._draining = True

    def serve(self, request: Request, path: str) -> Response:
        """The answer for `path`: `/readyz`, `/readyz/<check>`, with `?verbose` and `?exclude=<check>`."""
        kind, _, name = path.strip("/").partition("/")
        checks = self._checks.get(kind)
        if checks is None or (name and name not in checks):
            return page_not_found()
        if name:
            wrong = checks[name]()
            return text(f"internal server error: {wrong}\n", 500) if wrong else text("ok")
        return self._all(kind, checks, request)

    def _all(self, kind: str, checks: dict[str, Check], request: Request) -> Response:
        excluded = set(request.query.get("exclude", ())) if request.raw_query else set()
        lines: list[str] = []
        failed: list[str] = []
        for name, check in checks.items():
            if name in excluded:
                excluded.discard(name)
                lines.append(f"[+]{name} excluded: ok\n")
                continue
            wrong = check()
            if wrong is None:
                lines.append(f"[+]{name} ok\n")
            else:
                # The reason is for the log and the check's own path: probes come without credentials.
                failed.append(name)
                lines.append(f"[-]{name} failed: reason withheld\n")
        if excluded:
            lines.append(f"warn: some health checks cannot be excluded: no matches for {_quoted(sorted(excluded))}\n")
        if failed:
            return text(f"{''.join(lines)}{kind} check failed\n", 500)
        if "verbose" in request.query:
            return text(f"{''.join(lines)}{kind} check passed\n")
        return text("ok")


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
