"""Reads CEL expressions (the grammar is CEL.g4 of cel-go, with optional syntax), and expands their macros."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from tenantry.kube.schema.cel_errors import CelError, CompileErrors
from tenantry.kube.schema.cel_macros import MACROS, Expansion, MacroError, has
from tenantry.kube.schema.cel_names import RESERVED
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
from tenantry.kube.schema.cel_tokens import Token, bytes_value, number_value, string_value, tokens

EXPRESSION_MAX = 100_000
"""How many characters an expression may have; the limit of cel-go."""
NODES_MAX = 50_000
"""The most nodes of an expression with expanded macros. Macros on optionals double the expression in front of them."""
DEPTH_MAX = 100
"""How deep expressions may be nested (cel-go: 250). All that is made from their trees is recursive."""
CHAIN_MAX = 150
"""How many operators, fields and calls may follow each other (cel-go: 250), except those of `&&` and `||`."""

_NAMES = "NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER"
_EXPECTED = f"{{'[', '{{', '(', '.', '-', '!', 'true', 'false', 'null', {_NAMES}}}"
_EXPECTED_OR_OPTIONAL = f"{{'[', '{{', '(', '.', '-', '!', '?', 'true', 'false', 'null', {_NAMES}}}"
_FIELD_OR_END = "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"
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
_BEGINS = frozenset(("[", "{", "(", ".", "-", "!", "true", "false", "null", "float", "int", "uint", "string", "bytes", "name"))


class _SyntaxError(Exception):
    """A syntax error, after which no more is read."""


def parse(source: str) -> Tree:
    """The syntax tree of an expression. Raises CelError with the places and the texts of cel-go."""
    if len(source) > EXPRESSION_MAX:
        text = f"expression code point size exceeds limit: size: {len(source)}, limit {EXPRESSION_MAX}"
        raise CelError(f"ERROR: <input>:-1:0: {text}")
    errors = CompileErrors(source)
    reader = _Reader(tokens(source, errors), errors)
    root: Node = Literal(0, None)
    try:
        root = reader.whole()
    except _SyntaxError:
        pass
    except RecursionError:
        errors.add(-1, f"expression recursion limit exceeded: {DEPTH_MAX}")
    errors.end()
    return Tree(root, reader.offsets)


class _Reader:
    def __init__(self, found: list[Token], errors: CompileErrors) -> None:
        self._tokens = found
        self._position = 0
        self._errors = errors
        self._depth = 0
        self.offsets: list[int] = [0]

    def new(self, offset: int) -> int:
        self.offsets.append(offset)
        if len(self.offsets) > NODES_MAX:
            raise CelError(f"ERROR: <input>:-1:0: macros of the expression come to more than {NODES_MAX} nodes")
        return len(self.offsets) - 1

    def offset(self, identity: int) -> int:
        return self.offsets[identity]

    def _next(self) -> Token:
        token = self._tokens[self._position]
        self._position += 1
        return token

    def _is(self, kind: str) -> bool:
        return self._tokens[self._position].kind == kind

    def _skip(self, kind: str) -> bool:
        if self._tokens[self._position].kind != kind:
            return False
        self._position += 1
        return True

    def _fail(self, token: Token, text: str) -> NoReturn:
        self._errors.add(token.offset, f"Syntax error: {text}")
        raise _SyntaxError

    def _expect(self, kind: str, expected: str = "") -> Token:
        """The next word, which has to be of a kind. `expected`: the words of an error, where others may follow, too."""
        token = self._tokens[self._position]
        if token.kind == kind:
            self._position += 1
            return token
        missing = token.kind == "end" and kind in (")", "]")
        text = (
            f"missing '{kind}' at '<EOF>'" if missing else f"mismatched input '{token.text}' expecting {expected or repr(kind)}"
        )
        return self._fail(token, text)

    def _counted(self, count: int, limit: int) -> int:
        if count >= limit:
            self._errors.add(-1, f"expression recursion limit exceeded: {limit}")
            raise _SyntaxError
        return count + 1

    # Expressions

    def whole(self) -> Node:
        root = self.expression()
        token = self._tokens[self._position]
        if token.kind != "end":
            # With one word too many, cel-go's parser goes on without it.
            is_last = self._tokens[self._position + 1].kind == "end"
            self._fail(token, f"{'extraneous' if is_last else 'mismatched'} input '{token.text}' expecting <EOF>")
        return root

    def expression(self, expected: str = _EXPECTED) -> Node:
        self._depth = self._counted(self._depth, DEPTH_MAX)
        node = self._binary(1, expected)
        if self._is("?"):
            identity = self.new(self._next().offset)
            yes = self._binary(1, _EXPECTED)
            self._expect(":")
            no = self.expression()
            node = CallNode(identity, "_?_:_", None, (node, yes, no))
        self._depth -= 1
        return node

    def _binary(self, lowest: int, expected: str) -> Node:
        """Operators that bind at least as `lowest`: 1 is `||`, 5 is `*`."""
        left = self._unary(expected)
        count = 0
        while True:
            token = self._tokens[self._position]
            strength, function = _BINARY.get(token.kind, _NONE)
            if strength < lowest or not strength:
                return left
            if strength <= 2:
                left = self._logic(left, token.kind, strength, function)
                continue
            count = self._counted(count, CHAIN_MAX)
            self._position += 1
            identity = self.new(token.offset)
            left = CallNode(identity, function, None, (left, self._binary(strength + 1, _EXPECTED)))

    def _logic(self, first: Node, kind: str, strength: int, function: str) -> Node:
        """`a && b && c…` as a balanced tree."""
        terms, identities = [first], []
        while self._is(kind):
            offset = self._next().offset
            terms.append(self._binary(strength + 1, _EXPECTED))
            identities.append(self.new(offset))

        def balanced(low: int, high: int) -> Node:
            middle = (low + high + 1) // 2
            left = terms[middle] if middle == low else balanced(low, middle - 1)
            right = terms[middle + 1] if middle == high else balanced(middle + 1, high)
            return CallNode(identities[middle], function, None, (left, right))

        return balanced(0, len(identities) - 1)

    def _unary(self, expected: str) -> Node:
        token = self._tokens[self._position]
        if token.kind not in ("!", "-"):
            return self._member(expected)
        after = self._tokens[self._position + 1]
        if token.kind == "-" and after.kind in ("int", "float"):
            return self._member(expected)
        count = 0
        while self._skip(token.kind):
            count += 1
        node = self._member(_EXPECTED)
        if count % 2 == 0:
            return node
        return CallNode(self.new(token.offset), "!_" if token.kind == "!" else "-_", None, (node,))

    def _member(self, expected: str) -> Node:
        node = self._primary(expected)
        count = 0
        while True:
            token = self._tokens[self._position]
            if token.kind == ".":
                self._position += 1
                node = self._after_dot(node, token)
            elif token.kind == "[":
                self._position += 1
                function = "_[?_]" if self._skip("?") else "_[_]"
                identity = self.new(token.offset)
                key = self.expression(_EXPECTED_OR_OPTIONAL if function == "_[_]" else _EXPECTED)
                self._expect("]")
                node = CallNode(identity, function, None, (node, key))
            else:
                return node
            count = self._counted(count, CHAIN_MAX)

    def _after_dot(self, operand: Node, dot: Token) -> Node:
        optional = self._skip("?")
        name = self._next()
        if name.kind not in ("name", "quoted"):
            self._position -= 1
            self._fail(name, f"no viable alternative at input '.{name.text if name.kind != 'end' else ''}'")
        field = name.text[1:-1] if name.kind == "quoted" else name.text
        if optional:
            identity = self.new(dot.offset)
            return CallNode(identity, "_?._", None, (operand, Literal(self.new(name.offset), field)))
        if name.kind == "name" and self._is("("):
            offset = self._next().offset
            identity = self.new(offset)
            arguments = self._arguments()
            expand = MACROS.get((field, len(arguments)))
            if expand is None:
                return CallNode(identity, field, operand, arguments)
            try:
                return expand(Expansion(self, offset), operand, arguments)
            except MacroError as error:
                return self._wrong_macro(error)
        return Select(self.new(dot.offset), operand, field, False)

    def _wrong_macro(self, error: MacroError) -> Node:
        offset = self.offsets[error.at.id]
        self._errors.add(offset, str(error))
        return Literal(self.new(offset), None)

    def _arguments(self) -> tuple[Node, ...]:
        if self._skip(")"):
            return ()
        found = [self.expression()]
        while self._skip(","):
            found.append(self.expression())
        self._expect(")")
        return tuple(found)

    def _primary(self, expected: str) -> Node:
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
            case "string":
                return self._literal(token, token, string_value)
            case "bytes":
                return self._literal(token, token, lambda text: bytes_value(text[1:]))
            case "int" | "uint" | "float":
                return self._number(token, token, "")
            case "-":
                return self._number(token, self._next(), "-")
            case "true" | "false":
                return Literal(self.new(token.offset), token.kind == "true")
            case "null":
                return Literal(self.new(token.offset), None)
            case "." if self._is("name"):
                return self._name(token, self._next(), ".")
        self._position -= 1
        following = self._tokens[self._position + 1].kind if token.kind != "end" else "end"
        word = "extraneous" if following in _BEGINS else "mismatched"
        return self._fail(token, f"{word} input '{token.text}' expecting {expected}")

    def _name(self, start: Token, name: Token, dot: str) -> Node:
        if self._begins_message():
            return self._message(name, dot)
        if name.text in RESERVED:
            self._errors.add(start.offset, f"reserved identifier: {name.text}")
        if not self._is("("):
            return Ident(self.new(name.offset), dot + name.text)
        offset = self._next().offset
        identity = self.new(offset)
        arguments = self._arguments()
        if name.text == "has" and len(arguments) == 1 and not dot:
            try:
                return has(Expansion(self, offset), arguments)
            except MacroError as error:
                return self._wrong_macro(error)
        return CallNode(identity, dot + name.text, None, arguments)

    def _begins_message(self) -> bool:
        """Whether `.b.c{` follows."""
        position = self._position
        while self._tokens[position].kind == "." and self._tokens[position + 1].kind == "name":
            position += 2
        return self._tokens[position].kind == "{"

    def _message(self, first: Token, dot: str) -> Node:
        name = dot + first.text
        while self._skip("."):
            name += "." + self._next().text
        identity = self.new(self._expect("{").offset)
        fields: list[MessageField] = []
        expected = _FIELD_OR_END
        while self._tokens[self._position].kind in ("?", "name", "quoted"):
            fields.append(self._message_field())
            expected = "{'}', ','}"
            if not self._skip(","):
                break
            expected = ""
        if not fields and self._skip(","):
            expected = ""
        self._expect("}", expected)
        return MessageLiteral(identity, name, tuple(fields))

    def _message_field(self) -> MessageField:
        optional = self._skip("?")
        name = self._next()
        if name.kind not in ("name", "quoted"):
            self._position -= 1
            self._fail(name, f"mismatched input '{name.text}' expecting {{IDENTIFIER, ESC_IDENTIFIER}}")
        identity = self.new(self._colon().offset)
        field = name.text[1:-1] if name.kind == "quoted" else name.text
        return MessageField(identity, field, self.expression(), optional)

    def _colon(self) -> Token:
        """The colon after a field. Where it is missing, or one word stands before it, cel-go's parser goes on after the error."""
        token, after = self._tokens[self._position], self._tokens[min(self._position + 1, len(self._tokens) - 1)]
        if token.kind != ":" and after.kind == ":":
            self._errors.add(token.offset, f"Syntax error: extraneous input '{token.text}' expecting ':'")
            self._position += 1
        elif token.kind in _BEGINS:
            self._errors.add(token.offset, f"Syntax error: missing ':' at '{token.text}'")
            return token
        return self._expect(":")

    def _list(self, bracket: Token) -> Node:
        identity = self.new(bracket.offset)
        items: list[Node] = []
        optional: set[int] = set()
        if self._is(",") and self._tokens[self._position + 1].kind == "]":
            self._position += 1
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
        if self._is(",") and self._tokens[self._position + 1].kind == "}":
            self._position += 1
        while not self._skip("}"):
            optional = self._skip("?")
            key = self.expression()
            self._expect(":")
            entries.append(MapEntry(key, self.expression(), optional))
            if not self._skip(","):
                self._expect("}")
                break
        return MapOf(identity, tuple(entries))

    def _literal(self, start: Token, token: Token, read: Callable[[str], str | bytes]) -> Node:
        identity = self.new(start.offset)
        try:
            return Literal(identity, read(token.text))
        except CelError as error:
            self._errors.add(start.offset, str(error))
            return Literal(identity, "")

    def _number(self, start: Token, token: Token, sign: str) -> Node:
        identity = self.new(start.offset)
        value, fits = number_value(token, sign)
        if not fits:
            name = {"float": "double"}.get(token.kind, token.kind)
            self._errors.add(start.offset, f"invalid {name} literal")
        return Literal(identity, value)
