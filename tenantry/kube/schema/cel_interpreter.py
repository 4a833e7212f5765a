"""Evaluates CEL expressions, and stops them when their cost reaches the limit.

An expression is compiled to functions of a `Frame`, one for each node, which call each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tenantry.kube.schema.cel_constructors import LIST_COST, evaluated, new_list, new_map, new_object, type_value
from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_evaluation import CRASHING, Crash, bound, crashing
from tenantry.kube.schema.cel_functions import FUNCTIONS
from tenantry.kube.schema.cel_functions.arguments import Function, fitting
from tenantry.kube.schema.cel_grown import Grown, appended, inserted
from tenantry.kube.schema.cel_library import library
from tenantry.kube.schema.cel_library.maps import insert
from tenantry.kube.schema.cel_literals import require_patterns
from tenantry.kube.schema.cel_names import RESERVED_FIELDS
from tenantry.kube.schema.cel_operators import MEMBERS, OPERATORS, Frame, Run, Scope, has_field, no_field, optional_select
from tenantry.kube.schema.cel_paths import along, path_of
from tenantry.kube.schema.cel_quantifiers import Quantifier, items_of, quantifier, quantify
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
    Unsigned,
    attribute_root,
    constants,
    dotted,
    is_attribute,
    is_bind,
    is_conditional,
)
from tenantry.kube.schema.cel_values import Cost, CostExceeded, LazyFields, Optional, UInt, no_overload, readable
from tenantry.kube.schema.ratchet import ABSENT

_FUNCTIONS: dict[tuple[str, bool], Function] = {**FUNCTIONS, **library.FUNCTIONS}


class Compiled:
    """A compiled expression with named variables."""

    def __init__(self, root: Node, variables: tuple[str, ...], *, patch_types: bool = False) -> None:
        """`patch_types`: it may construct objects and JSON patches. Raises CelError where the expression uses an unknown name."""
        try:
            self._compiler = _Compiler(len(variables), constants(root), patch_types=patch_types)
            self._run = self._compiler.node(root, {name: place for place, name in enumerate(variables)})
        except RecursionError:
            raise CelError("expression is nested too deeply") from None

    def run(self, values: Sequence[Any], cost: Cost) -> Any:
        """Raises CelError, and CostExceeded."""
        frame = Frame([*values, *(None,) * self._compiler.places], cost)
        try:
            return self._run(frame)
        except RecursionError:
            raise CelError("expression is nested too deeply") from None
        except Crash as crash:
            raise CelError(str(crash)) from None
        finally:
            # A stored error that was raised again refers to the stack frames that it passed, and these refer to this frame.
            frame.values.clear()


class _Compiler:
    def __init__(self, given: int, constant: frozenset[int], *, patch_types: bool) -> None:
        self._given = given
        self._patch_types = patch_types
        self._constant = constant
        self.places = 0

    def node(self, node: Node, scope: Scope) -> Run:
        if isinstance(node, Literal):
            value = UInt(node.value) if isinstance(node.value, Unsigned) else node.value
            return lambda frame: value
        run = self._node(node, scope)
        return evaluated(run, isinstance(node, MapOf)) if node.id in self._constant else run

    def _node(self, node: Node, scope: Scope) -> Run:
        match node:
            case Ident():
                return self._ident(node, scope)
            case Select():
                return self._select(node, scope)
            case CallNode():
                return self._call(node, scope)
            case ListOf():
                return self._list(node, scope)
            case MapOf():
                return self._map(node, scope)
            case Comprehension():
                return self._loop(node, scope)
            case MessageLiteral():
                parts = [self.node(field.value, scope) for field in node.fields]
                return new_object(node, parts, patch_types=self._patch_types)
        raise AssertionError(node)

    def branch(self, node: Node, scope: Scope) -> Run:
        """A branch of a conditional. A name in it costs nothing, in contrast to its fields and items."""
        run = self.node(node, scope)
        if not is_attribute(node) or is_conditional(attribute_root(node)):
            return run

        def cheaper(frame: Frame) -> Any:
            frame.cost.left += 1
            return run(frame)

        return cheaper

    def holder(self, node: Node, scope: Scope) -> Run:
        """What has fields or items. It costs one more where it is no name, field or item itself."""
        run = self.node(node, scope)
        if is_attribute(node) or is_conditional(node):
            return run

        def relative(frame: Frame) -> Any:
            value = run(frame)
            frame.cost.charge(1)
            return value

        return relative

    def _ident(self, node: Ident, scope: Scope) -> Run:
        place = scope.get(node.name)
        if place is None:
            return type_value(node.name.removeprefix("."), patch_types=self._patch_types)
        return self._variable(place, node.name)

    def _variable(self, place: int, name: str) -> Run:
        def ident(frame: Frame) -> Any:
            cost = frame.cost
            cost.left -= 1
            if cost.left < 0:
                raise CostExceeded
            value = frame.values[place]
            if isinstance(value, CelError):
                try:
                    raise value
                finally:
                    del value
            if value is ABSENT:
                raise CelError(f"no such attribute(s): {name}")
            return value

        return ident

    def _select(self, node: Select, scope: Scope) -> Run:
        run = self._field(node, scope)
        path = None if node.test else path_of(node, scope)
        return along(*path, run) if path is not None and path[1] else run

    def _field(self, node: Select, scope: Scope) -> Run:
        name = dotted(node)
        if name is not None:
            whole = scope.get(name)
            if whole is not None:
                return self._variable(whole, name)
            if name.partition(".")[0] not in scope:
                return type_value(name, patch_types=self._patch_types)
        operand, field = self.holder(node.operand, scope), node.field
        escaped = RESERVED_FIELDS.get(field, field)
        if node.test:

            def has(frame: Frame) -> Any:
                value = operand(frame)
                if type(value) is Optional:
                    value = value.items[0] if value.items else {}
                if type(value) is not dict:
                    return has_field(value, field)
                found = value.get(field, ABSENT)
                if found is ABSENT:
                    return escaped in value
                return readable(found) is found

            return has

        def select(frame: Frame) -> Any:
            value = operand(frame)
            cost = frame.cost
            cost.left -= 1
            if cost.left < 0:
                raise CostExceeded
            if type(value) is dict:
                found = value.get(field, ABSENT)
                if found is ABSENT:
                    found = value.get(escaped, ABSENT)
                    if found is ABSENT:
                        raise CelError(f"no such key: {field}")
                return readable(found) if type(found) is CelError else found
            if type(value) is Optional:
                # It costs one only where the field is there.
                cost.left += 1
                return optional_select(cost, value, field)
            if isinstance(value, LazyFields):
                return value.field(field)
            raise no_field(value, field)

        return select

    def _call(self, node: CallNode, scope: Scope) -> Run:
        name = node.function
        if node.target is None:
            special = OPERATORS.get(name)
            if special is not None:
                return special(self, node, scope)
            return self._function(name, False, node.arguments, scope)
        prefix = dotted(node.target)
        if prefix is not None and prefix.partition(".")[0] not in scope and (f"{prefix}.{name}", False) in _FUNCTIONS:
            return self._function(f"{prefix}.{name}", False, node.arguments, scope)
        special = MEMBERS.get(name)
        if special is not None and len(node.arguments) == 1:
            return special(self, node, scope)
        return self._function(name, True, (node.target, *node.arguments), scope)

    def _function(self, name: str, member: bool, arguments: tuple[Node, ...], scope: Scope) -> Run:
        function: Function | None = _FUNCTIONS.get((name, member))
        if function is None:
            raise CelError(f"undeclared reference to '{name}' (in container '')")
        require_patterns(name, arguments)
        run = fitting(function, len(arguments))
        parts = [self.node(argument, scope) for argument in arguments]
        if (name, member) in CRASHING:
            parts = [crashing(part) for part in parts]
        if len(parts) == 1:
            [only] = parts

            def unary(frame: Frame) -> Any:
                value = only(frame)
                try:
                    return run(frame.cost, value)
                except NoOverload as error:
                    raise no_overload(error, name, (value,)) from None

            return unary

        if len(parts) == 2:
            left, right = parts

            def binary(frame: Frame) -> Any:
                one, other = left(frame), right(frame)
                try:
                    return run(frame.cost, one, other)
                except NoOverload as error:
                    raise no_overload(error, name, (one, other)) from None

            return binary

        def call(frame: Frame) -> Any:
            values = [part(frame) for part in parts]
            try:
                return run(frame.cost, *values)
            except NoOverload as error:
                raise no_overload(error, name, values) from None

        return call

    def _list(self, node: ListOf, scope: Scope) -> Run:
        return new_list([self.node(item, scope) for item in node.items], node.optional)

    def _map(self, node: MapOf, scope: Scope) -> Run:
        return new_map([(self.node(e.key, scope), self.node(e.value, scope), e.optional) for e in node.entries])

    def _place(self) -> int:
        self.places += 1
        return self._given + self.places - 1

    def _loop(self, node: Comprehension, scope: Scope) -> Run:
        if (quantified := quantifier(node)) is not None:
            return self._quantify(node, quantified, scope)
        start = self.node(node.start, scope)
        kept = self._place()
        inner = scope | {node.result_variable: kept}
        result = self.node(node.result, inner)
        if is_bind(node):
            return bound(start, kept, result)
        items = self.node(node.items, scope)
        inside, first, second = self._variables(node, inner)
        goes_on = self._condition(node, inside)
        step = self._step(node, inside, kept)

        def loop(frame: Frame) -> Any:
            over = items_of(items(frame), pairs=second is not None)
            values = frame.values
            values[kept] = start(frame)
            if type(values[kept]) is list:
                values[kept] = [*values[kept]]
            elif type(values[kept]) is dict:
                values[kept] = {**values[kept]}
            cost = frame.cost
            for item in over:
                if second is not None:
                    values[first], values[second] = item
                else:
                    values[first] = item
                cost.spare -= 1
                if cost.spare < 0:
                    raise CostExceeded
                if not goes_on(frame):
                    break
                step(frame)
            return result(frame)

        return loop

    def _variables(self, node: Comprehension, scope: Scope) -> tuple[Scope, int, int | None]:
        """The names that the parts of a loop can use, and the places of its variables."""
        first = self._place()
        if not node.second:
            return scope | {node.variable: first}, first, None
        second = self._place()
        return scope | {node.variable: first, node.second: second}, first, second

    def _quantify(self, node: Comprehension, quantified: Quantifier, scope: Scope) -> Run:
        items = self.node(node.items, scope)
        inside, first, second = self._variables(node, scope)
        return quantify(items, first, second, self.node(quantified.predicate, inside), quantified.decides)

    def _condition(self, node: Comprehension, inside: Scope) -> Callable[[Frame], bool]:
        condition = node.condition
        if isinstance(condition, Literal) and condition.value is True:
            return lambda frame: True
        run = self.node(condition, inside)
        return lambda frame: run(frame) is True

    def _step(self, node: Comprehension, inside: Scope, kept: int) -> Callable[[Frame], None]:
        """The step of a comprehension for one item: it updates the result, which may be a stored error."""
        grown = appended(node.step, node.result_variable)
        if grown is not None:
            return self._append(grown, inside, kept)
        entry = inserted(node.step, node.result_variable)
        if entry is not None:
            return self._insert(entry, inside, kept)
        run = self.node(node.step, inside)

        def step(frame: Frame) -> None:
            try:
                frame.values[kept] = run(frame)
            except CelError as error:
                frame.values[kept] = error.with_traceback(None)

        return step

    def _append(self, grown: Grown, inside: Scope, kept: int) -> Callable[[Frame], None]:
        """`result + [item]` of map and filter, without copying the result for each item."""
        item = self.node(grown.items[0], inside)
        wanted = self.node(grown.condition, inside) if grown.condition is not None else None
        units = 2 if grown.items[0].id in self._constant else LIST_COST + 2

        def step(frame: Frame) -> None:
            result = frame.values[kept]
            if isinstance(result, CelError):
                return
            try:
                if wanted is not None:
                    chosen = wanted(frame)
                    if chosen is not True:
                        if chosen is False:
                            return
                        raise NoOverload
                frame.cost.charge(units)
                result.append(item(frame))
            except CelError as error:
                frame.values[kept] = error.with_traceback(None)

        return step

    def _insert(self, grown: Grown, inside: Scope, kept: int) -> Callable[[Frame], None]:
        """`cel.@mapInsert(result, …)` of transformMap and transformMapEntry, without copying the result for each item."""
        parts = [self.node(part, inside) for part in grown.items]
        wanted = self.node(grown.condition, inside) if grown.condition is not None else None

        def step(frame: Frame) -> None:
            result = frame.values[kept]
            if isinstance(result, CelError):
                return
            try:
                if wanted is not None:
                    chosen = wanted(frame)
                    if chosen is False:
                        return
                    if chosen is not True:
                        raise NoOverload
                frame.cost.charge(2)
                added = [part(frame) for part in parts]
                insert(frame.cost, result, added)
            except CelError as error:
                frame.values[kept] = error.with_traceback(None)

        return step
