"""Parses the text form of label selectors (the grammar and the error texts of k8s.io/apimachinery/pkg/labels)."""

from __future__ import annotations

import re

from tenantry.kube import names
from tenantry.kube.selectors.requirements import Requirement, invalid, requirement

_BINARY = ("in", "notin", "=", "==", "!=", "gt", "lt")
_SYMBOLS = {"(", ")", ",", "!", "=", "==", "!=", ">", "<"}
_BLANKS = " \t\r\n"
_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[()!,=<>])|([^ \t\r\n()!,=<>]+))")
_END = ""


class Parser:
    """Recursive descent over the tokens. `in` and `notin` are operators only where an operator is expected."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = [symbol or word for symbol, word in _TOKEN.findall(text.rstrip(_BLANKS))]
        # The end token may be consumed in place of a missing word or symbol, and read again afterwards.
        self.tokens += (_END, _END, _END)
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position]

    def take(self) -> str:
        position = self.position
        self.position = position + 1
        return self.tokens[position]

    def parse(self) -> list[Requirement]:
        out: list[Requirement] = []
        while True:
            token = self.peek()
            if token == _END:
                return out
            if token in _SYMBOLS and token != "!":
                raise ValueError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                out.append(self.requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            token = self.take()
            if token == _END:
                return out
            if token != ",":
                raise ValueError(f"found '{token}', expected: ',' or 'end of string'")
            token = self.peek()
            if not _is_word(token) and token != "!":
                raise ValueError(f"found '{token}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        key = self.take()
        negated = key == "!"
        if negated:
            key = self.take()
        if not _is_word(key):
            raise ValueError(f"found '{key}', expected: identifier")
        if errors := invalid(key, names.qualified_name_errors(key)):
            raise ValueError(f"<nil>: {errors[0]}")
        if negated:
            return requirement(key, "!")
        if self.peek() in (_END, ","):
            return requirement(key, "exists")
        operator = self.operator()
        values = self.values() if operator in ("in", "notin") else [self.value()]
        return requirement(key, operator, values)

    def operator(self) -> str:
        token = self.take()
        if token in ("in", "notin", "=", "==", "!="):
            return token
        if token == ">":
            return "gt"
        if token == "<":
            return "lt"
        raise ValueError(f"found '{token}', expected: {', '.join(_BINARY)}")

    def value(self) -> str:
        if self.peek() in (_END, ","):
            return ""
        token = self.take()
        if not _is_word(token):
            raise ValueError(f"found '{token}', expected: identifier")
        return token

    def values(self) -> list[str]:
        token = self.take()
        if token != "(":
            raise ValueError(f"found '{token}' expected: '('")
        token = self.peek()
        if token == ")":
            self.take()
            return [""]
        if not _is_word(token) and token != ",":
            raise ValueError(f"found '{token}', expected: ',', ')' or identifier")
        values = self.identifiers()
        self.take()
        return values

    def identifiers(self) -> list[str]:
        """The list up to its closing parenthesis. Nothing between two commas is the empty value."""
        out: list[str] = []
        while True:
            token = self.take()
            if _is_word(token):
                out.append(token)
                following = self.peek()
                if following == ")":
                    return out
                if following != ",":
                    raise ValueError(f"found '{following}', expected: ',' or ')'")
            elif token == ",":
                if not out:
                    out.append("")
                following = self.peek()
                if following == ")":
                    out.append("")
                    return out
                if following == ",":
                    self.take()
                    out.append("")
            else:
                raise ValueError(f"found '{token}', expected: ',', or identifier")


def _is_word(token: str) -> bool:
    return token != _END and token not in _SYMBOLS
