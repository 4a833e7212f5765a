"""Makes the nodes of CEL's syntax trees: gives them ids, reads constants, expands macros."""

from __future__ import annotations

from tenantry.kube.schema.cel_errors import CelError, CompileErrors
from tenantry.kube.schema.cel_macros import MACROS, Expansion, MacroError, has
from tenantry.kube.schema.cel_syntax import CallNode, Literal, Node
from tenantry.kube.schema.cel_tokens import Token, bytes_value, number_value, string_value

NODES_MAX = 50_000
"""The most nodes of an expression with expanded macros. Macros on optionals double the expression in front of them."""


class Nodes:
    """The nodes of one expression, and its errors."""

    def __init__(self, errors: CompileErrors) -> None:
        self.errors = errors
        self.offsets: list[int] = [0]

    def new(self, offset: int) -> int:
        self.offsets.append(offset)
        if len(self.offsets) > NODES_MAX:
            raise CelError(f"ERROR: <input>:-1:0: macros of the expression come to more than {NODES_MAX} nodes")
        return len(self.offsets) - 1

    def offset(self, identity: int) -> int:
        return self.offsets[identity]

    def constant(self, start: Token, token: Token) -> Literal:
        """A literal. `start` is its minus, if it has one."""
        identity = self.new(start.offset)
        match token.kind:
            case "string" | "bytes":
                try:
                    return Literal(identity, string_value(token.text) if token.kind == "string" else bytes_value(token.text[1:]))
                except CelError as error:
                    self.errors.add(start.offset, str(error))
                    return Literal(identity, "")
            case "int" | "uint" | "float":
                value, fits = number_value(token, "" if start is token else "-")
                if not fits:
                    name = "double" if token.kind == "float" else token.kind
                    self.errors.add(start.offset, f"invalid {name} literal")
                return Literal(identity, value)
        return Literal(identity, None if token.kind == "null" else token.kind == "true")

    def call(self, name: str, offset: int, arguments: tuple[Node, ...], identity: int) -> Node:
        """`name(arguments)`; `offset` is the parenthesis."""
        if name == "has" and len(arguments) == 1:
            try:
                return has(Expansion(self, offset), arguments)
            except MacroError as error:
                return self._wrong_macro(error)
        return CallNode(identity, name, None, arguments)

    def method(self, operand: Node, name: str, offset: int, arguments: tuple[Node, ...], identity: int) -> Node:
        """`operand.name(arguments)`."""
        expand = MACROS.get((name, len(arguments)))
        if expand is None:
            return CallNode(identity, name, operand, arguments)
        try:
            return expand(Expansion(self, offset), operand, arguments)
        except MacroError as error:
            return self._wrong_macro(error)

    def _wrong_macro(self, error: MacroError) -> Node:
        offset = self.offsets[error.at.id]
        self.errors.add(offset, str(error))
        return Literal(self.new(offset), None)
