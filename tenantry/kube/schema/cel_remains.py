"""The errors of an expression that does not follow the grammar. cel-go looks at what its parser could read, and finds more there:
reserved names, wrong constants, macros that are used wrongly."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.kube.schema.cel_errors import NOWHERE, CompileErrors
from tenantry.kube.schema.cel_names import RESERVED
from tenantry.kube.schema.cel_nodes import Nodes
from tenantry.kube.schema.cel_recovery import Branch, Recovery
from tenantry.kube.schema.cel_syntax import (
    CallNode,
    Ident,
    ListOf,
    Literal,
    MapEntry,
    MapOf,
    MessageLiteral,
    Node,
    Select,
)
from tenantry.kube.schema.cel_tokens import Token


def explain(source: str, found: list[Token], position: int, errors: CompileErrors, limits: tuple[int, int]) -> None:
    """Adds the errors. `position`: of the first word that does not fit. `limits`: as of `Recovery`."""
    known = len(errors.issues)
    root = Recovery(source, found, errors, limits).read()
    if root is not None and not errors.truncated:
        try:
            _Remains(errors).visit(root)
        except RecursionError:
            errors.add(-1, f"expression recursion limit exceeded: {limits[0]}")
    if len(errors.issues) == known:
        token = found[position]
        errors.add(token.offset, f"Syntax error: mismatched input '{token.text}'")


class _Remains(Nodes):
    """Makes nodes of what was read, for the sake of the errors."""

    def _nothing(self, offset: int = NOWHERE) -> Node:
        return Literal(self.new(offset), None)

    def visit(self, branch: Branch | None) -> Node:
        while branch is not None:
            tokens, inner = _split(branch)
            match branch.rule, branch.alternative:
                case ("start" | "or" | "and" | "expr" | "relation" | "calc", _) if not tokens or branch.rule == "start":
                    branch = _first(inner)
                case ("unary" | "member", 0 | 1) if not tokens and inner:
                    branch = inner[0]
                case ("primary", 3 | 7):
                    branch = _first(inner)
                case "expr", _:
                    return self._call("_?_:_", tokens[0], [self.visit(each) for each in (*inner, None, None)[:3]])
                case "or" | "and" | "relation" | "calc", _:
                    # Many terms of `||` become a balanced tree.
                    return self._call("_", tokens[len(tokens) // 2], [self.visit(each) for each in inner])
                case "unary", 2 | 3 if len(tokens) % 2 == 0:
                    branch = _first(inner)
                case "unary", 2 | 3:
                    return self._call("_", tokens[0], [self.visit(_first(inner))])
                case "member", _:
                    return self._member(branch, tokens, inner)
                case "primary", _:
                    return self._primary(branch, tokens, inner)
                case "literal", alternative if alternative:
                    return self.constant(tokens[0], tokens[-1])
                case "unary", _:
                    return Literal(self.new(branch.start.offset), "")
                case _:
                    break
        return self._nothing()

    def _call(self, function: str, token: Token, arguments: list[Node]) -> Node:
        return CallNode(self.new(token.offset), function, None, tuple(arguments))

    def _member(self, branch: Branch, tokens: list[Token], inner: list[Branch]) -> Node:
        operand = self.visit(inner[0])
        if branch.alternative == 3:
            return self._call("_[_]", tokens[0], [operand, self.visit(_first(inner[1:]))])
        if branch.alternative == 2:
            arguments = self._arguments(inner[1:])
            return self.method(operand, tokens[1].text, tokens[2].offset, arguments, self.new(tokens[2].offset))
        if len(inner) < 2:
            return self._nothing(branch.start.offset)
        name = self._field(inner[1], inner[1].start)
        if len(tokens) > 1:
            return self._call("_?._", tokens[0], [operand, Literal(self.new(inner[1].start.offset), name)])
        return Select(self.new(tokens[0].offset), operand, name, False)

    def _field(self, field: Branch | None, at: Token) -> str:
        if field is None or not field.alternative:
            self.errors.add(at.offset, "unsupported ident kind")
            return ""
        return _split(field)[0][0].text.strip("`")

    def _arguments(self, inner: list[Branch]) -> tuple[Node, ...]:
        return tuple(self.visit(each) for arguments in inner for each in _split(arguments)[1])

    def _primary(self, branch: Branch, tokens: list[Token], inner: list[Branch]) -> Node:
        match branch.alternative:
            case 1 | 2:
                dot = "." if tokens[0].kind == "." else ""
                names = tokens[len(dot) :]
                if names[0].text in RESERVED:
                    self.errors.add(branch.start.offset, f"reserved identifier: {names[0].text}")
                    return self._nothing(branch.start.offset)
                if branch.alternative == 1:
                    return Ident(self.new(names[0].offset), dot + names[0].text)
                offset = names[1].offset
                return self.call(dot + names[0].text, offset, self._arguments(inner), self.new(offset))
            case 4:
                items = [_split(item)[1] for each in inner for item in _split(each)[1]]
                return ListOf(self.new(tokens[0].offset), tuple(self.visit(_first(item)) for item in items), frozenset())
            case 5:
                return MapOf(self.new(tokens[0].offset), tuple(self._entries(inner)))
            case 6:
                self._fields(inner)
                brace = next((token.offset for token in tokens if token.kind == "{"), -1)
                return MessageLiteral(self.new(brace), "", ())
        return self._nothing()

    def _entries(self, inner: list[Branch]) -> Iterable[MapEntry]:
        for key, value in _pairs(inner, "item"):
            if value is None:
                return
            yield MapEntry(self.visit(_first(_split(key)[1])), self.visit(value), False)

    def _fields(self, inner: list[Branch]) -> None:
        for name, value in _pairs(inner, "named"):
            if value is None:
                return
            field = _first(_split(name)[1])
            self._field(field, inner[0].start)
            if field is not None and field.alternative:
                self.visit(value)


def _split(branch: Branch) -> tuple[list[Token], list[Branch]]:
    """The words and the rules of a branch."""
    tokens = [part for part in branch.parts if isinstance(part, Token)]
    return tokens, [part for part in branch.parts if isinstance(part, Branch)]


def _first(branches: list[Branch]) -> Branch | None:
    return branches[0] if branches else None


def _pairs(inner: list[Branch], rule: str) -> Iterable[tuple[Branch, Branch | None]]:
    """Keys and values of a map or a message; None where a value could not be read."""
    parts = _split(inner[0])[1] if inner else []
    for place, part in enumerate(parts):
        if part.rule == rule:
            after = parts[place + 1] if place + 1 < len(parts) else None
            yield part, after if after is not None and after.rule == "expr" else None
