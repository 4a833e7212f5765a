"""Mail addresses as Go's net/mail parses them (`ParseAddress`, RFC 5322), which is the check of the format `email`."""

from __future__ import annotations

import binascii
import ipaddress
import re

LENGTH_MAX = 4096
"""A longer text is refused. Upstream has no limit."""
_SPACES = re.compile(r"[ \t]*")
_ATOM = re.compile(r"[!#-'*+\-./-9=?A-Z^-~\x80-\U0010ffff]+")
"""Visible characters other than the special ones. The dot counts as an atom's."""
_QUOTED = re.compile(r'"((?:[ \t!#-\[\]-~\x80-\U0010ffff]|\\[ \t!-~\x80-\U0010ffff])*+)"')
_LITERAL = re.compile(r"\[([!-Z^-~\x80-\U0010ffff]*)\]")
_ENCODED = re.compile(r"=\?([^?]+)\?([^?])\?([^?]*)\?=", re.DOTALL)
_CHARSETS = frozenset(("utf-8", "iso-8859-1", "us-ascii"))
_Q_TEXT = re.compile(r"(?:[ -<>-~\t\r\n]|=[0-9A-Fa-f]{2})*+")


class _Refused(Exception):
    """The text is no address."""


def is_mail_address(text: str) -> bool:
    """Whether a text is one address: `a@b`, `Name <a@b>`, or a group of one."""
    if len(text) > LENGTH_MAX:
        return False
    try:
        return _Parser(text).is_one_address()
    except _Refused:
        return False


class _Parser:
    __slots__ = ("_at", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def is_one_address(self) -> bool:
        count = self._address(groups=True)
        self._skip_comments()
        return count == 1 and self._at == len(self._text)

    def _address(self, *, groups: bool) -> int:
        """Parses an address, or a group where these are allowed. Returns the number of addresses."""
        self._skip_spaces()
        if not self._rest():
            raise _Refused
        if self._try_plain():
            self._skip_spaces()
            if self._take("("):
                for word in self._comment().replace("\t", " ").split(" "):
                    _decoded(word)
            return 1
        if not self._text.startswith("<", self._at):
            self._phrase()
        self._skip_spaces()
        if groups and self._take(":"):
            return self._group()
        if not self._take("<"):
            raise _Refused
        self._plain()
        if not self._take(">"):
            raise _Refused
        return 1

    def _group(self) -> int:
        self._skip_spaces()
        if self._take(";"):
            return 0
        count = 0
        while True:
            count += self._address(groups=False)
            self._skip_comments()
            if self._take(";"):
                return count
            if not self._take(","):
                raise _Refused

    def _try_plain(self) -> bool:
        start = self._at
        try:
            self._plain()
        except _Refused:
            self._at = start
            return False
        return True

    def _plain(self) -> None:
        """`local@domain`."""
        self._skip_spaces()
        if self._text.startswith('"', self._at):
            if not self._quoted():
                raise _Refused
        else:
            self._dotted()
        if not self._take("@"):
            raise _Refused
        self._skip_spaces()
        if self._text.startswith("[", self._at):
            literal = self._match(_LITERAL)
            try:
                # The length is that of the longest address with a scope, which Go's ParseIP refuses.
                if "%" in literal or len(literal) > 64:
                    raise _Refused
                ipaddress.ip_address(literal[1:-1])
            except ValueError:
                raise _Refused from None
        else:
            self._dotted()

    def _dotted(self) -> None:
        atom = self._match(_ATOM)
        if atom.startswith(".") or atom.endswith(".") or ".." in atom:
            raise _Refused

    def _quoted(self) -> str:
        return self._match(_QUOTED)[1:-1]

    def _phrase(self) -> None:
        """The words before an address in angle brackets."""
        words = 0
        # Encoded words are joined, and are one word only when another follows, or at the end if there is text in them. So no
        # comment may follow the first ones.
        encoded = False
        while True:
            if words:
                self._skip_comments()
            self._skip_spaces()
            if not self._rest():
                return
            try:
                if self._text.startswith('"', self._at):
                    self._quoted()
                    content = None
                else:
                    content = _decoded(self._match(_ATOM))
            except _Refused:
                if words or encoded:
                    return
                raise
            if content is None:
                words += 1
            else:
                encoded = encoded or bool(content)

    def _comment(self) -> str:
        """The text of a comment whose bracket is already taken; comments may be nested."""
        start, depth = self._at, 1
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "\\" and self._at + 1 < len(self._text):
                self._at += 1
            elif character == "(":
                depth += 1
            elif character == ")":
                depth -= 1
            self._at += 1
            if not depth:
                return self._text[start : self._at - 1]
        raise _Refused

    def _skip_comments(self) -> None:
        self._skip_spaces()
        while self._take("("):
            self._comment()
            self._skip_spaces()

    def _skip_spaces(self) -> None:
        found = _SPACES.match(self._text, self._at)
        if found is not None:
            self._at = found.end()

    def _rest(self) -> bool:
        return self._at < len(self._text)

    def _take(self, character: str) -> bool:
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise _Refused
        self._at = found.end()
        return found.group()


def _decoded(word: str) -> str | bytes | None:
    """What is in an encoded word (RFC 2047): for `q` still with its escapes. None if it is none. Raises _Refused for a character
    set that Go does not know."""
    found = _ENCODED.fullmatch(word)
    if found is None:
        return None
    content: str | bytes
    charset, encoding, content = found.groups()
    if encoding in "bB":
        try:
            content = binascii.a2b_base64(content, strict_mode=True)
        except (binascii.Error, ValueError):
            return None
    elif encoding not in "qQ" or _Q_TEXT.fullmatch(content) is None:
        return None
    if charset.lower() not in _CHARSETS:
        raise _Refused
    return content
