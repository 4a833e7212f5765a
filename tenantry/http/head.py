"""Writes the head of an answer: status line and headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus

_STATUS_LINES = {code.value: f"HTTP/1.1 {code.value} {code.phrase}\r\n" for code in HTTPStatus}
BODILESS = frozenset({204, 304})
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WARNING_RUNES = 256
_ALL_WARNINGS_RUNES = 4096
"""kube-apiserver's limits. If all texts together exceed the second, each is cut to the first. Clients and proxies refuse long
headers."""
_WARNINGS = 64
"""The most Warning headers. Python's http.client refuses an answer with more than 100 headers."""


def head(
    code: int,
    *,
    content_type: str,
    request_id: str,
    date: str,
    headers: Mapping[str, str],
    header_lines: str = "",
    warnings: Iterable[str] = (),
    content_length: int | None,
    close: bool,
) -> bytes:
    """The whole head. `header_lines`: further ones, each ended by CRLF.

    `content_length` None: a chunked body. Answers that never have a body (304) get no content type.

    Control characters in values are replaced, so that a text of a user cannot add a header.
    """
    text = f"{_status_line(code)}Audit-Id: {request_id}\r\nDate: {date}\r\n"
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
    if header_lines:
        text += header_lines
    if warnings:
        text += "".join(f"Warning: {value}\r\n" for value in warning_values(warnings))
    if close:
        text += "Connection: close\r\n"
    return (text + "\r\n").encode("utf-8", "replace")


def relayed_head(code: int, header: bytes, *, close: bool) -> bytes:
    """The head of a relayed answer: our status line and the other server's header lines."""
    return _status_line(code).encode() + header + (b"Connection: close\r\n\r\n" if close else b"\r\n")


def _status_line(code: int) -> str:
    return _STATUS_LINES.get(code) or f"HTTP/1.1 {code} Unknown\r\n"


def warning_values(warnings: Iterable[str]) -> list[str]:
    """The values of Warning headers, each once, in kube-apiserver's form: `299 - "text"` (RFC 7234 §5.5)."""
    unique = [_CONTROL.sub(" ", text) for text in dict.fromkeys(warnings)]
    if sum(map(len, unique)) > _ALL_WARNINGS_RUNES:
        unique = [text[:_WARNING_RUNES] for text in unique][: _ALL_WARNINGS_RUNES // _WARNING_RUNES]
    return ['299 - "{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"')) for text in unique[:_WARNINGS]]
