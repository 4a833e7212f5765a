"""Reads CEL expressions (the grammar is CEL.g4 of cel-go, with optional syntax), and expands their macros."""

from __future__ import annotations

from tenantry.kube.schema.cel_errors import CelError, CompileErrors
from tenantry.kube.schema.cel_names import RESERVED
from tenantry.kube.schema.cel_nodes import Nodes
from tenantry.kube.schema.cel_remains import explain
from tenantry.kube.schema.cel_syntax import (
    CallNode,
    Ident,
    ListOf,
    Literal,
    MapEntry,
    MapOf,
    MessageField,
    MessageLiteral,
    Node,
    Select,
    Tree,
)
from tenantry.kube.schema.cel_tokens import Token, tokens

EXPRESSION_MAX = 100_000
"""How many characters an expression may have; the limit of cel-go."""
DEPTH_MAX = 100
"""How deep expressions may be nested (cel-go: 250). All that is made from their trees is recursive."""
CHAIN_MAX = 150
"""How many operators, fields and calls may follow each other (cel-go: 250), except those of `&&` and `||`."""

_BINARY = {
    "||": (1, "_||_"),
    "&&": (2, "_&&_"),
    "<": (3, "_<_"),
    "<=": (3, "_<=_"),
    ">=": (3, "_>=_"),
    ">": (3, "_>_"),
    "==": (3, "_==_"),
    "!=": (3, "_!=_"),
    "in": (3, "@in"),
    "+": (4, "_+_"),
    "-": (4, "_-_"),
    "*": (5, "_*_"),
    "/": (5, "_/_"),
    "%": (5, "_%_"),
}
_NONE = (0, "")


class _SyntaxError(Exception):
    """A word that the grammar does not have at its place."""


class _TooDeep(Exception):
    """More is nested than may be. The error is added."""


def parse(source: str) -> Tree:
    """The syntax tree of an expression. Raises CelError with the places and the texts of cel-go."""
    if len(source) > EXPRESSION_MAX:
        text = f"expression code point size exceeds limit: size: {len(source)}, limit {EXPRESSION_MAX}"
        raise CelError(f"ERROR: <input>:-1:0: {text}")
    errors = CompileErrors(source)
    found = tokens(source, errors)
    if errors.truncated:
        errors.end()
    lexical = len(errors.issues)
    reader = _Reader(found, errors)
    root: Node = Literal(0, None)
    try:
        root = reader.whole()
    except _SyntaxError:
        # All other errors are found again, in what remains of the tree.
        del errors.issues[lexical:]
        explain(source, found, reader.position, errors, (DEPTH_MAX, CHAIN_MAX))
    except _TooDeep:
        pass
    except RecursionError:
        errors.add(-1, f"expression recursion limit exceeded: {DEPTH_MAX}")
    errors.end()
    return Tree(root, reader.offsets)


class _Reader(Nodes):
    def __init__(self, found: list[Token], errors: CompileErrors) -> None:
        super().__init__(errors)
        self._tokens = found
        self.position = 0
        self._depth = 0

    def _next(self) -> Token:
        token = self._tokens[self.position]
        if token.kind == "end":
            raise _SyntaxError
        self.position += 1
        return token

    def _is(self, kind: str) -> bool:
        return self._tokens[self.position].kind == kind

    def _skip(self, kind: str) -> bool:
        if self._tokens[self.position].kind != kind:
            return False
        self.position += 1
        return True

    def _expect(self, kind: str) -> Token:
        """The next word, which has to be of a kind."""
        token = self._next()
        if token.kind != kind:
            raise _SyntaxError
        return token

    def _counted(self, count: int, limit: int) -> int:
        if count >= limit:
            self.errors.add(-1, f"expression recursion limit exceeded: {limit}")
            raise _TooDeep
        return count + 1

    # Expressions

    def whole(self) -> Node:
        root = self.expression()
        if not self._is("end"):
            raise _SyntaxError
        return root

    def expression(self) -> Node:
        self._depth = self._counted(self._depth, DEPTH_MAX)
        node = self._binary(1)
        if self._is("?"):
            identity = self.new(self._next().offset)
            yes = self._binary(1)
            self._expect(":")
            no = self.expression()
            node = CallNode(identity, "_?_:_", None, (node, yes, no))
        self._depth -= 1
        return node

    def _binary(self, lowest: int) -> Node:
        """Operators that bind at least as `lowest`: 1 is `||`, 5 is `*`."""
        left = self._unary()
        count = 0
        while True:
            token = self._tokens[self.position]
            strength, function = _BINARY.get(token.kind, _NONE)
            if strength < lowest or not strength:
                return left
            if strength <= 2:
                left = self._logic(left, token.kind, strength, function)
                continue
            count = self._counted(count, CHAIN_MAX)
            self.position += 1
            identity = self.new(token.offset)
            left = CallNode(identity, function, None, (left, self._binary(strength + 1)))

    def _logic(self, first: Node, kind: str, strength: int, function: str) -> Node:
        """`a && b && c…` as a balanced tree."""
        terms, identities = [first], []
        while self._is(kind):
            offset = self._next().offset
            terms.append(self._binary(strength + 1))
            identities.append(self.new(offset))

        def balanced(low: int, high: int) -> Node:
            middle = (low + high + 1) // 2
            left = terms[middle] if middle == low else balanced(low, middle - 1)
            right = terms[middle + 1] if middle == high else balanced(middle + 1, high)
            return CallNode(identities[middle], function, None, (left, right))

        return balanced(0, len(identities) - 1)

    def _unary(self) -> Node:
        token = self._tokens[self.position]
        if token.kind not in ("!", "-"):
            return self._member()
        after = self._tokens[self.position + 1]
        if token.kind == "-" and after.kind in ("int", "float"):
            return self._member()
        count = 0
        while self._skip(token.kind):
            count += 1
        node = self._member()
        if count % 2 == 0:
            return node
        return CallNode(self.new(token.offset), "!_" if token.kind == "!" else "-_", None, (node,))

    def _member(self) -> Node:
        node = self._primary()
        count = 0
        while True:
            token = self._tokens[self.position]
            if token.kind == ".":
                self.position += 1
                node = self._after_dot(node, token)
            elif token.kind == "[":
                self.position += 1
                function = "_[?_]" if self._skip("?") else "_[_]"
                identity = self.new(token.offset)
                key = self.expression()
                self._expect("]")
                node = CallNode(identity, function, None, (node, key))
            else:
                return node
            count = self._counted(count, CHAIN_MAX)

    def _after_dot(self, operand: Node, dot: Token) -> Node:
        optional = self._skip("?")
        name = self._next()
        if name.kind not in ("name", "quoted"):
            raise _SyntaxError
        field = name.text[1:-1] if name.kind == "quoted" else name.text
        if optional:
            identity = self.new(dot.offset)
            return CallNode(identity, "_?._", None, (operand, Literal(self.new(name.offset), field)))
        if name.kind == "name" and self._is("("):
            offset = self._next().offset
            identity = self.new(offset)
            arguments = self._arguments()
            return self.method(operand, field, offset, arguments, identity)
        return Select(self.new(dot.offset), operand, field, False)

    def _arguments(self) -> tuple[Node, ...]:
        if self._skip(")"):
            return ()
        found = [self.expression()]
        while self._skip(","):
            found.append(self.expression())
        self._expect(")")
        return tuple(found)

    def _primary(self) -> Node:
        token = self._next()
        match token.kind:
            case "name":
                return self._name(token, token, "")
            case "(":
                node = self.expression()
                self._expect(")")
                return node
            case "[":
                return self._list(token)
            case "{":
                return self._map(token)
            case "string" | "bytes" | "int" | "uint" | "float" | "true" | "false" | "null":
                return self.constant(token, token)
            case "-" if self._tokens[self.position].kind in ("int", "float"):
                return self.constant(token, self._next())
            case "." if self._is("name"):
                return self._name(token, self._next(), ".")
        raise _SyntaxError

    def _name(self, start: Token, name: Token, dot: str) -> Node:
        if self._begins_message():
            return self._message(name, dot)
        is_reserved = name.text in RESERVED
        if is_reserved:
            self.errors.add(start.offset, f"reserved identifier: {name.text}")
        if not self._is("("):
            return Ident(self.new(name.offset), dot + name.text)
        offset = self._next().offset
        identity = self.new(offset)
        known = len(self.errors.issues)
        arguments = self._arguments()
        if is_reserved:
            # cel-go does not look into it.
            del self.errors.issues[known:]
        return self.call(dot + name.text, offset, arguments, identity)

    def _begins_message(self) -> bool:
        """Whether `.b.c{` follows."""
        position = self.position
        while self._tokens[position].kind == "." and self._tokens[position + 1].kind == "name":
            position += 2
        return self._tokens[position].kind == "{"

    def _message(self, first: Token, dot: str) -> Node:
        name = dot + first.text
        while self._skip("."):
            name += "." + self._next().text
        identity = self.new(self._expect("{").offset)
        fields: list[MessageField] = []
        if self._is(",") and self._tokens[self.position + 1].kind == "}":
            self.position += 1
        while not self._skip("}"):
            fields.append(self._message_field())
            if not self._skip(","):
                self._expect("}")
                break
        return MessageLiteral(identity, name, tuple(fields))

    def _message_field(self) -> MessageField:
        optional = self._skip("?")
        name = self._next()
        if name.kind not in ("name", "quoted"):
            raise _SyntaxError
        identity = self.new(self._expect(":").offset)
        field = name.text[1:-1] if name.kind == "quoted" else name.text
        return MessageField(identity, field, self.expression(), optional)

    def _list(self, bracket: Token) -> Node:
        identity = self.new(bracket.offset)
        items: list[Node] = []
        optional: set[int] = set()
        if self._is(",") and self._tokens[self.position + 1].kind == "]":
            self.position += 1
        while not self._skip("]"):
            if self._skip("?"):
                optional.add(len(items))
            items.append(self.expression())
            if not self._skip(","):
                self._expect("]")
                break
        return ListOf(identity, tuple(items), frozenset(optional))

    def _map(self, brace: Token) -> Node:
        identity = self.new(brace.offset)
        entries: list[MapEntry] = []
        if self._is(",") and self._tokens[self.position + 1].kind == "}":
            self.position += 1
        while not self._skip("}"):
            optional = self._skip("?")
            key = self.expression()
            self._expect(":")
            entries.append(MapEntry(key, self.expression(), optional))
            if not self._skip(","):
                self._expect("}")
                break
        return MapOf(identity, tuple(entries))
