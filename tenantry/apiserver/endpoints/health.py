"""`/healthz`, `/livez`, `/readyz`: named checks, each also at a path of its own (the texts of k8s.io/apiserver's healthz)."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.endpoints.plain import page_not_found, text
from tenantry.apiserver.request import Request
from tenantry.http.messages import Response

Check = Callable[[], str | None]
"""Returns None when all is well, else the reason. Runs on the event loop and must not block."""

KINDS = ("healthz", "livez", "readyz")
HEALTH_PATHS = frozenset(f"/{kind}" for kind in KINDS)
"""Paths that need no authorization, in every scope."""


def _ping() -> str | None:
    return None


class Health:
    """The health checks of a process. `livez` says whether to restart the process, `readyz` whether to send it requests.
    `healthz` is the old name of `livez`."""

    def __init__(self) -> None:
        self._checks: dict[str, dict[str, Check]] = {kind: {"ping": _ping} for kind in KINDS}
        self._draining = False
        self._notes: dict[str, Check] = {}
        self._checks["readyz"]["shutdown"] = lambda: "process is shutting down" if self._draining else None

    def add(self, name: str, check: Check, *, live: bool = False) -> None:
        """Adds a check to readyz, and where `live` is set also to livez and healthz."""
        for kind in KINDS if live else ("readyz",):
            self._checks[kind][name] = check

    def note(self, name: str, check: Check) -> None:
        """Adds a check that readyz shows and that does not make it fail: of a part without which the process serves the rest."""
        self._notes[name] = check

    def drain(self) -> None:
        """Makes readyz fail, so that load balancers stop sending requests before connections are closed."""
        self._draining = True

    def serve(self, request: Request, path: str) -> Response:
        """The answer for `path`: `/readyz`, `/readyz/<check>`, with `?verbose` and `?exclude=<check>`."""
        kind, _, name = path.strip("/").partition("/")
        checks = self._checks.get(kind)
        notes = self._notes if kind == "readyz" else {}
        if checks is None or (name and name not in checks and name not in notes):
            return page_not_found()
        if name:
            wrong = (checks.get(name) or notes[name])()
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
                # Probes come without credentials, so the reason is shown only in the log and at the check's own path.
                failed.append(name)
                lines.append(f"[-]{name} failed: reason withheld\n")
        for name, check in self._notes.items() if kind == "readyz" and "verbose" in request.query else ():
            excluded.discard(name)
            lines.append(f"[+]{name} ok\n" if check() is None else f"[-]{name} failed, the rest is served: reason withheld\n")
        if excluded:
            lines.append(f"warn: some health checks cannot be excluded: no matches for {_quoted(sorted(excluded))}\n")
        if failed:
            return text(f"{''.join(lines)}{kind} check failed\n", 500)
        if "verbose" in request.query:
            return text(f"{''.join(lines)}{kind} check passed\n")
        return text("ok")


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
