"""Checks CEL expressions against the types of a schema, with the rules and texts of cel-go's checker and validators."""

from __future__ import annotations

from collections.abc import Mapping as ReadMapping
from typing import NamedTuple

from tenantry.base.pauses import pause
from tenantry.kube.schema.cel_declarations import Overload, functions
from tenantry.kube.schema.cel_declared import Declared
from tenantry.kube.schema.cel_errors import CelError, CompileErrors
from tenantry.kube.schema.cel_literals import literal_issues
from tenantry.kube.schema.cel_objects import field_type, struct_type
from tenantry.kube.schema.cel_parser import DEPTH_MAX, parse
from tenantry.kube.schema.cel_syntax import (
    CallNode,
    Comprehension,
    Ident,
    ListOf,
    Literal,
    MapOf,
    MessageLiteral,
    Node,
    Select,
    Tree,
    Unsigned,
    dotted,
)
from tenantry.kube.schema.cel_types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    ERROR,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Inference,
    Type,
    is_dyn,
    is_optional,
    list_of,
    map_of,
    most_general,
    optional_of,
    read,
    type_of,
)

_TYPES = {
    "bool": BOOL,
    "bytes": BYTES,
    "double": DOUBLE,
    "int": INT,
    "list": list_of(DYN),
    "map": map_of(DYN, DYN),
    "null_type": NULL,
    "string": STRING,
    "uint": UINT,
    "type": Type("type"),
    "optional_type": optional_of(DYN),
    "net.IP": read("IP"),
    "net.CIDR": read("CIDR"),
    "google.protobuf.Duration": DURATION,
    "google.protobuf.Timestamp": TIMESTAMP,
}
"""The names of types, which are values in expressions."""
_LITERALS = {
    type(None): NULL,
    bool: BOOL,
    int: INT,
    Unsigned: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
}


class CheckedExpression(NamedTuple):
    """A checked expression: its tree, the types of its nodes by their ids, and what its calls mean. A call in `namespaced` has a
    function whose name has dots, as `lists.range`, and no value before the dot."""

    tree: Tree
    type: Type
    types: dict[int, Type]
    overloads: dict[int, tuple[Overload, ...]]
    namespaced: dict[int, str]


def check(
    text: str,
    variables: ReadMapping[str, Type],
    structs: ReadMapping[str, Declared],
    *,
    may_mix: bool = False,
    patch_types: bool = False,
) -> CheckedExpression:
    """Reads and checks an expression over variables. `structs`: the object types by their names. `may_mix`: lists and maps may
    have items of several types. `patch_types`: objects and JSON patches can be constructed. Raises CelError with cel-go's text
    (`ERROR: <input>:1:5: undefined field 'x'…`)."""
    pause()
    tree = parse(text)
    errors = CompileErrors(text)
    checker = _Checker(tree, dict(variables), structs, errors, patch_types=patch_types)
    try:
        checker.check(tree.root)
        errors.end()
        checked = checker.result()
        for node, issue in literal_issues(checked.tree.root, checked.types, may_mix=may_mix):
            errors.add(tree.offsets[node], issue)
    except RecursionError:
        raise CelError(f"ERROR: <input>:-1:0: expression recursion limit exceeded: {DEPTH_MAX}") from None
    errors.end()
    return checked


class _Checker:
    def __init__(
        self,
        tree: Tree,
        scope: dict[str, Type],
        structs: ReadMapping[str, Declared],
        errors: CompileErrors,
        *,
        patch_types: bool,
    ) -> None:
        self._tree = tree
        self._globals = scope
        self._locals: list[dict[str, Type]] = []
        self._structs = structs
        self._patch_types = patch_types
        self._errors = errors
        self._inference = Inference()
        self._types: dict[int, Type] = {}
        self._overloads: dict[int, tuple[Overload, ...]] = {}
        self._namespaced: dict[int, str] = {}
        self._parameters = 0

    def result(self) -> CheckedExpression:
        known: dict[int, Type] = {}
        types = {key: self._inference.resolve(found, known) for key, found in self._types.items()}
        root = self._tree.root
        return CheckedExpression(self._tree, types[root.id], types, self._overloads, self._namespaced)

    def check(self, node: Node) -> Type:
        match node:
            case Literal():
                found = _LITERALS[type(node.value)]
            case Ident():
                found = self._ident(node)
            case Select():
                found = self._select(node)
            case CallNode():
                found = self._call(node)
            case ListOf():
                found = self._list(node)
            case MapOf():
                found = self._map(node)
            case MessageLiteral():
                found = self._message(node)
            case Comprehension():
                found = self._loop(node)
        self._types[node.id] = found
        return found

    def _wrong(self, node: Node, text: str) -> Type:
        self._errors.add(self._tree.offsets[node.id], text)
        return ERROR

    def _mismatch(self, node: Node, wanted: Type, found: Type) -> None:
        self._wrong(node, f"expected type '{wanted}' but found '{found}'")

    def _assign(self, given: tuple[Type, ...], wanted: tuple[Type, ...]) -> bool:
        return self._inference.assign(given, wanted)

    def _new_parameters(self, count: int) -> int:
        """The first of so many new type parameters."""
        self._parameters += count
        return self._parameters - count

    def _new_parameter(self) -> Type:
        return Type("param", f"_var{self._new_parameters(1)}")

    # Names and fields

    def _ident(self, node: Ident) -> Type:
        found = self._named(node.name)
        return self._wrong(node, f"undeclared reference to '{node.name}' (in container '')") if found is None else found

    def _named(self, name: str) -> Type | None:
        if not name.startswith("."):
            for scope in reversed(self._locals):
                if name in scope:
                    return scope[name]
        name = name.removeprefix(".")
        return self._globals.get(name) or self._type_named(name)

    def _type_named(self, name: str) -> Type | None:
        """The type of a type's name, as `int` and `Object.spec`."""
        found = _TYPES.get(name) or (struct_type(name) if self._patch_types else None)
        return None if found is None else type_of(found)

    def _is_local(self, name: str) -> bool:
        return any(name in scope for scope in self._locals)

    def _select(self, node: Select) -> Type:
        if not node.test:
            name = dotted(node)
            if name is not None and not self._is_local(name.partition(".")[0]):
                variable = self._globals.get(name)
                if variable is not None:
                    return variable
                named = self._type_named(name.removeprefix("."))
                if named is not None:
                    return named
        found = self._field(node, node.operand, node.field, optional=False)
        return BOOL if node.test else self._inference.substitute(found)

    def _field(self, node: Node, operand: Node, field: str, *, optional: bool) -> Type:
        holder = self._inference.substitute(self.check(operand))
        if is_optional(holder):
            holder, optional = holder.parameters[0], True
        match holder.kind:
            case "map":
                found = holder.parameters[1]
            case "struct":
                found = self._struct_field(node, holder.name, field)
            case "param":
                self._assign((DYN,), (holder,))
                found = DYN
            case _:
                if not is_dyn(holder) and holder.kind != "error":
                    self._wrong(node, f"type '{holder}' does not support field selection")
                found = DYN
        return optional_of(found) if optional else found

    def _struct_field(self, node: Node, name: str, field: str) -> Type:
        if self._patch_types and struct_type(name) is not None:
            return field_type(name, field)
        declared = self._structs.get(name)
        if declared is None:
            return self._wrong(node, f"unexpected failed resolution of '{name}'")
        found = declared.field(field)
        return self._wrong(node, f"undefined field '{field}'") if found is None else found.type

    def _message(self, node: MessageLiteral) -> Type:
        named = self._type_named(node.name.removeprefix("."))
        if named is None:
            return self._wrong(node, f"undeclared reference to '{node.name}' (in container '')")
        [found] = named.parameters
        is_struct = found.kind == "struct"
        if not is_struct:
            self._wrong(node, f"'{found.name or found.kind}' is not a message type")
        for field in node.fields:
            given = self.check(field.value)
            wanted = field_type(found.name, field.name) if is_struct else ERROR
            if field.optional:
                given = self._unwrapped(field.value, given)
            if not self._assign((wanted,), (given,)):
                shown = self._inference.substitute(given, to_dyn=True)
                text = f"expected type of field '{field.name}' is '{wanted}' but provided type is '{shown}'"
                self._errors.add(self._tree.offsets[field.id], text)
        return found if is_struct else ERROR

    # Calls

    def _call(self, node: CallNode) -> Type:
        if node.function == "_?._":
            operand, field = node.arguments
            assert isinstance(field, Literal)
            self._types[field.id] = STRING
            return self._inference.substitute(self._field(node, operand, str(field.value), optional=True))
        for argument in node.arguments:
            self.check(argument)
        name, target = node.function, node.target
        if target is not None:
            prefix = dotted(target)
            if prefix is not None and self._is_function(f"{prefix}.{name}"):
                self._namespaced[node.id] = name = f"{prefix}.{name}"
                target = None
        if target is not None:
            self.check(target)
        overloads = functions().get(name)
        if overloads is None:
            return self._wrong(node, f"undeclared reference to '{name}' (in container '')")
        return self._resolve(node, name, overloads, target)

    def _is_function(self, name: str) -> bool:
        return name in functions() and (self._patch_types or not name.startswith("jsonpatch."))

    def _resolve(self, node: CallNode, name: str, overloads: tuple[Overload, ...], target: Node | None) -> Type:
        arguments = node.arguments if target is None else (target, *node.arguments)
        given = tuple(self._types[argument.id] for argument in arguments)
        if name in ("_&&_", "_||_"):
            self._overloads[node.id] = overloads
            wrong = [place for place, each in enumerate(given) if not self._assign((each,), (BOOL,))]
            for place in wrong:
                self._mismatch(arguments[place], BOOL, given[place])
            return ERROR if wrong else BOOL
        result: Type | None = None
        fitting: list[Overload] = []
        for overload in overloads:
            if overload.is_member != (target is not None) or len(overload.parameters) != len(given):
                continue
            parameters, made = overload.fresh(self._new_parameters(len(overload.type_parameters)))
            if not self._assign(given, parameters):
                continue
            fitting.append(overload)
            made = self._inference.substitute(made)
            if result is None:
                result = made
            elif not is_dyn(result) and made != result:
                result = DYN
        if result is None:
            return self._no_overload(node, name, given, target is not None)
        self._overloads[node.id] = tuple(fitting)
        return result

    def _no_overload(self, node: CallNode, name: str, given: tuple[Type, ...], is_member: bool) -> Type:
        shown = [str(self._inference.substitute(each, to_dyn=True)) for each in given]
        before = f"{shown.pop(0)}." if is_member else ""
        return self._wrong(node, f"found no matching overload for '{name}' applied to '{before}({', '.join(shown)})'")

    # Lists, maps and loops

    def _list(self, node: ListOf) -> Type:
        items: Type | None = None
        for place, item in enumerate(node.items):
            found = self.check(item)
            if place in node.optional:
                found = self._unwrapped(item, found)
            items = self._join(items, found)
        return list_of(items or self._new_parameter())

    def _map(self, node: MapOf) -> Type:
        keys: Type | None = None
        values: Type | None = None
        for entry in node.entries:
            keys = self._join(keys, self.check(entry.key))
            found = self.check(entry.value)
            if entry.optional:
                found = self._unwrapped(entry.value, found)
            values = self._join(values, found)
        return map_of(keys or self._new_parameter(), values or self._new_parameter())

    def _unwrapped(self, node: Node, found: Type) -> Type:
        if is_optional(found):
            return found.parameters[0]
        if not is_dyn(found):
            self._mismatch(node, optional_of(found), found)
        return found

    def _join(self, before: Type | None, found: Type) -> Type:
        """The type of items of both types. That they are of one type is looked at when all is checked (`literal_issues`)."""
        if before is None:
            return found
        return most_general(before, found) if self._assign((before,), (found,)) else DYN

    def _loop(self, node: Comprehension) -> Type:
        self.check(node.items)
        kept = self.check(node.start)
        over = self._inference.substitute(self._types[node.items.id])
        self._locals.append({node.result_variable: kept})
        self._locals.append(self._variables(node, over))
        self._must_be(node.condition, BOOL)
        self._must_be(node.step, kept)
        self._locals.pop()
        result = self.check(node.result)
        self._locals.pop()
        return self._inference.substitute(result)

    def _variables(self, node: Comprehension, over: Type) -> dict[str, Type]:
        if over.kind == "list":
            first, second = over.parameters[0], over.parameters[0]
            first = INT if node.second else first
        elif over.kind == "map":
            first, second = over.parameters
        elif over.kind in ("dyn", "error", "param"):
            self._assign((DYN,), (over,))
            first = second = DYN
        else:
            text = f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
            first = second = self._wrong(node.items, text)
        return {node.variable: first} | ({node.second: second} if node.second else {})

    def _must_be(self, node: Node, wanted: Type) -> None:
        found = self.check(node)
        if not self._assign((wanted,), (found,)):
            self._mismatch(node, wanted, found)
