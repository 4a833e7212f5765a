"""Parses the head of another server's answer: the header lines to pass on, and the framing of the body."""

from __future__ import annotations

import re

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: .*)?")
_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
        b"transfer-encoding",
    )
)
"""Headers that are for one connection only (RFC 9110 §7.6.1). The framing is added again if it is the same on both sides."""
_BODILESS = frozenset((204, 304))


class AnswerHead:
    """The head of the last answer on a connection. One object parses all heads of a connection.

    `status`: the code. `header`: the lines to pass on, each ended by CRLF, with the framing. `fields`: the headers by lower-case
    name;
    of a repeated one the last. `length`: the length of the body in bytes, None for a chunked body. `keeps`: whether the server
    keeps the connection open for another request.
    """

    __slots__ = ("fields", "header", "keeps", "length", "status")

    def __init__(self) -> None:
        self.status = 0
        self.header = b""
        self.fields: dict[bytes, bytes] = {}
        self.length: int | None = None
        self.keeps = True

    def parse_status(self, line: bytes) -> bool:
        """Parses the status line. Returns False if it is not one of HTTP/1.x."""
        found = _STATUS_LINE.fullmatch(line)
        if found is None:
            return False
        self.status = int(found[1])
        return True

    def parse_fields(self, lines: list[bytes], *, bodiless: bool) -> bool:
        """Parses the headers. `lines`: the whole head, with the status line. `bodiless`: no body follows, whatever the head says.

        Returns False if the head is malformed or does not tell the length of the body."""
        fields: dict[bytes, bytes] = {}
        kept: list[bytes] = []
        named: frozenset[bytes] = frozenset()
        for index in range(1, len(lines)):
            line = lines[index]
            name, colon, value = line.partition(b":")
            if not colon or not name or name[:1] in b" \t":
                return False
            name = name.lower()
            value = value.strip()
            if name == b"content-length" and fields.get(name, value) != value:
                return False
            if name == b"connection":
                named |= frozenset(part.strip() for part in value.lower().split(b","))
            fields[name] = value
            if name not in _HOP_BY_HOP:
                kept.append(line)
        self.keeps = b"close" not in named
        dropped = named - {b"close", b"keep-alive", b"content-length"}
        if dropped:
            kept = [line for line in kept if line.partition(b":")[0].lower() not in dropped]
        self.fields = fields
        coding = fields.get(b"transfer-encoding")
        if bodiless or self.status in _BODILESS:
            self.length = 0
        elif coding is not None:
            if coding.lower() != b"chunked" or b"content-length" in fields:
                return False
            self.length = None
            kept.append(b"Transfer-Encoding: chunked")
        elif (declared := fields.get(b"content-length")) is not None and declared.isdigit():
            self.length = int(declared)
        else:
            # Our own servers always tell the length of an answer. An end by closing could not be distinguished from a crash.
            return False
        kept.append(b"")
        self.header = b"\r\n".join(kept)
        return True
