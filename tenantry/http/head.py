"""The bytes before a body: status line and headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus

_STATUS_LINES = {code.value: f"HTTP/1.1 {code.value} {code.phrase}\r\n" for code in HTTPStatus}
BODILESS = frozenset({204, 304})
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WARNING_RUNES = 256
_ALL_WARNINGS_RUNES = 4096
"""kube-apiserver's limits: past the second, each text is cut to the first; clients and proxies refuse endless headers."""
_WARNINGS = 64
"""Headers of warnings; a client of Python refuses an answer of more than a hundred headers."""


def head(
    code: int,
    *,
    content_type: str,
    request_id: str,
    date: str,
    headers: Mapping[str, str],
    warnings: Iterable[str] = (),
    content_length: int | None,
    close: bool,
) -> bytes:
    """The whole head. No `content_length` means chunked; answers that never have a body (304) have no type either.

    Control characters in values are replaced, so that no text of a user ever becomes a header of its own.
    """
    text = f"{_STATUS_LINES.get(code) or f'HTTP/1.1 {code} Unknown'}Audit-Id: {request_id}\r\nDate: {date}\r\n"
    if code not in BODILESS:
        if content_type:
            text += f"Content-Type: {content_type}\r\n"
        text += "Transfer-Encoding: chunked\r\n" if content_length is None else f"Content-Length: {content_length}\r\n"
    if headers:
        if "Cache-Control" not in headers:
            text += "Cache-Control: no-cache, private\r\n"
        for name, value in headers.items():
            text += f"{name}: {_CONTROL.sub(' ', value)}\r\n"
    else:
        text += "Cache-Control: no-cache, private\r\n"
    if warnings:
        text += "".join(f"Warning: {value}\r\n" for value in warning_values(warnings))
    if close:
        text += "Connection: close\r\n"
    return (text + "\r\n").encode("utf-8", "replace")


def relayed_head(code: int, header: bytes, *, close: bool) -> bytes:
    """The head of another server's answer: its own header lines behind our status line."""
    first = (_STATUS_LINES.get(code) or f"HTTP/1.1 {code} Unknown\r\n").encode()
    return first + header + (b"Connection: close\r\n\r\n" if close else b"\r\n")


def warning_values(warnings: Iterable[str]) -> list[str]:
    """Each warning once, as kube-apiserver writes it: `299 - "text"` (RFC 7234 §5.5)."""
    unique = [_CONTROL.sub(" ", text) for text in dict.fromkeys(warnings)]
    if sum(map(len, unique)) > _ALL_WARNINGS_RUNES:
        unique = [text[:_WARNING_RUNES] for text in unique][: _ALL_WARNINGS_RUNES // _WARNING_RUNES]
    return ['299 - "{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"')) for text in unique[:_WARNINGS]]
