"""Which alternative of the grammar ANTLR's parser takes, and where it sees that none fits (Parr, Harwell and Fisher: "Adaptive
LL(*) Parsing", 2014). A decision is made without regard to the rules around it, and with it where that leaves a conflict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tenantry.kube.schema.cel_grammar import END, Edge, Grammar, State

STEPS_MAX = 30_000
"""The most steps that all decisions of one expression, and reading it, may take: 15 ms. Where hostile texts would need more, only
the errors found until then are shown."""
STEPS_LEAST, STEPS_OF_CHARACTER = 4_000, 15
"""Short expressions may take fewer, as they are read on the event loop."""


class TooLong(Exception):
    """The steps are used up."""


class Stacks:
    """Stacks of the states to which rules return. Equal ones have the same number; 0 is the empty one."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[State, int], int] = {}
        self.parts: list[tuple[State, int] | None] = [None]

    def push(self, state: State, below: int) -> int:
        part = (state, below)
        number = self._numbers.get(part)
        if number is None:
            number = self._numbers[part] = len(self.parts)
            self.parts.append(part)
        return number


class NoAlternative(NamedTuple):
    """No alternative fits: the words of the error, by their places."""

    start: int
    offending: int


class _Group:
    """All stacks with which an alternative is in a state, and whether it has left the rule of the decision."""

    __slots__ = ("leaves", "stacks")

    def __init__(self) -> None:
        self.stacks: set[int] = set()
        self.leaves = False


_CONFLICT = -1
_Places = dict[tuple[State, int], _Group]
_Key = frozenset[tuple[tuple[State, int], frozenset[int], bool]]
_Place = tuple[State, int, int, bool]


class _Known:
    """Places without regard to the rules around: the alternative that they mean, if they do (`anywhere`: with regard to any rules
    around), and where words lead from them."""

    __slots__ = ("after", "anywhere", "chosen", "places")

    def __init__(self, places: _Places, chosen: int | None, anywhere: int | None) -> None:
        self.places, self.chosen, self.anywhere = places, chosen, anywhere
        self.after: dict[int, _Known | None] = {}


class Prediction:
    """Decides for one expression. `kinds` are the words' kinds as bits, `length` that of its text."""

    def __init__(self, grammar: Grammar, kinds: list[int], length: int, stacks: Stacks) -> None:
        self._grammar = grammar
        self._kinds = kinds
        self._stacks = stacks
        self._steps = min(STEPS_LEAST + STEPS_OF_CHARACTER * length, STEPS_MAX)
        self._starts: dict[State, _Known] = {}
        self._known: dict[tuple[_Key, int | None], _Known] = {}
        self._closures: dict[tuple[State, int, bool, bool], list[tuple[State, int, bool]]] = {}

    def spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise TooLong

    def choose(self, decision: State, position: int, stack: int) -> int | NoAlternative:
        """The number of an alternative, from 0."""
        kind = self._kinds[position]
        fitting = [number for number, look in enumerate(decision.look) if look & kind]
        if len(fitting) == 1:
            return fitting[0]
        known = self._starts.get(decision)
        if known is None:
            first = self._closed(((edge.target, number, 0, False) for number, edge in enumerate(decision.edges)), False, False)
            known = self._starts[decision] = _Known(first, None, None)
        at, anywhere = position, None
        while True:
            self.spend(1)
            kind = self._kinds[at]
            if kind not in known.after:
                known.after[kind] = self._learn(known.places, kind)
            reached = known.after[kind]
            if reached is None:
                chosen = _leaving(known.places)
                return NoAlternative(position, at) if chosen is None else chosen
            anywhere = reached.anywhere if anywhere is None else anywhere
            if reached.chosen == _CONFLICT:
                return self._choose_in_context(decision, position, stack) if anywhere is None else anywhere
            if reached.chosen is not None:
                return reached.chosen
            known = reached
            at = min(at + 1, len(self._kinds) - 1)

    def _learn(self, places: _Places, kind: int) -> _Known | None:
        """Where a word leads to. Places that are the same are one object, so that what is learned of them serves again."""
        reached = self._reached(places, kind, False)
        if not reached:
            return None
        anywhere = self._anywhere(places, reached, kind)
        groups = frozenset((place, frozenset(group.stacks), group.leaves) for place, group in reached.items())
        key = (groups, anywhere)
        known = self._known.get(key)
        if known is None:
            alternatives = {number for _, number in reached}
            chosen = alternatives.pop() if len(alternatives) == 1 else _CONFLICT if self._is_conflict(reached) else None
            known = self._known[key] = _Known(reached, chosen, anywhere)
        return known

    def _anywhere(self, places: _Places, reached: _Places, kind: int) -> int | None:
        """What the decision would be with regard to the rules around it, whatever they are, if that can be told: as long as no
        alternative has left the rule, they do not matter."""
        if any(group.leaves or state.kind == "stop" for (state, _), group in places.items()):
            return None
        moved: dict[int, set[tuple[State, int]]] = {}
        for (state, number), group in places.items():
            if any(edge.words & kind for edge in state.edges):
                moved.setdefault(number, set()).update((state.edges[0].target, stack) for stack in group.stacks)
        alternatives = list(moved.values())
        if all(each == alternatives[0] for each in alternatives):
            return min(moved)
        if any(group.leaves for group in reached.values()):
            return None
        viable = {min(numbers) for numbers in self._conflicts(reached, True)}
        return viable.pop() if len(viable) == 1 else None

    def _choose_in_context(self, decision: State, position: int, stack: int) -> int | NoAlternative:
        places = self._closed(((edge.target, number, stack, False) for number, edge in enumerate(decision.edges)), True, False)
        at = position
        while True:
            reached = self._reached(places, self._kinds[at], True)
            if not reached:
                chosen = _leaving(places)
                return NoAlternative(position, position) if chosen is None else chosen
            alternatives = {number for _, number in reached}
            if len(alternatives) == 1:
                return alternatives.pop()
            viable = {min(numbers) for numbers in self._conflicts(reached, True)}
            if len(viable) == 1:
                return viable.pop()
            places = reached
            at = min(at + 1, len(self._kinds) - 1)

    def _reached(self, places: _Places, kind: int, in_context: bool) -> _Places:
        moved: list[_Place] = []
        ended: list[_Place] = []
        for (state, number), group in places.items():
            if state.kind == "stop":
                if in_context or kind == END:
                    ended += ((state, number, stack, group.leaves) for stack in group.stacks)
                continue
            for edge in state.edges:
                if edge.words & kind:
                    moved += ((edge.target, number, stack, group.leaves) for stack in group.stacks)
        if not ended and kind != END and len({place[1] for place in moved}) == 1:
            return _grouped(moved)
        reached = self._closed(moved, in_context, kind == END)
        if kind == END:
            reached = {place: group for place, group in reached.items() if place[0].kind == "stop"}
        if ended and not (in_context and any(state.kind == "stop" for state, _ in reached)):
            for (state, number), group in _grouped(ended).items():
                into = reached.setdefault((state, number), _Group())
                into.stacks |= group.stacks
                into.leaves |= group.leaves
        return reached

    def _closed(self, places: Iterable[_Place], in_context: bool, at_end: bool) -> _Places:
        """All that is reached from places without a word."""
        found: list[_Place] = []
        for state, number, stack, leaves in places:
            key = (state, stack, in_context, at_end)
            closure = self._closures.get(key)
            if closure is None:
                closure = self._closures[key] = self._closure(state, stack, in_context, at_end)
            self.spend(len(closure))
            found += ((after, number, deeper, leaves or left) for after, deeper, left in closure)
        return _grouped(found)

    def _closure(self, state: State, stack: int, in_context: bool, at_end: bool) -> list[tuple[State, int, bool]]:
        found: list[tuple[State, int, bool]] = []
        todo = [(state, stack, False)]
        seen: set[tuple[State, int]] = set()
        while todo:
            place = todo.pop()
            state, stack, leaves = place
            if (state, stack) in seen:
                continue
            seen.add((state, stack))
            self.spend(1)
            if state.kind == "stop":
                part = self._stacks.parts[stack]
                if part is not None:
                    todo.append((*part, leaves))
                elif in_context or not self._grammar.returns[state.rule]:
                    found.append(place)
                else:
                    todo += ((after, 0, True) for after in self._grammar.returns[state.rule])
                continue
            if state.edges[0].words:
                found.append(place)
            for edge in self._edges(state, stack):
                if edge.rule:
                    todo.append((self._grammar.first[edge.rule], self._stacks.push(edge.target, stack), leaves))
                elif not edge.words or (at_end and edge.words & END):
                    todo.append((edge.target, stack, leaves))
        return found

    def _edges(self, state: State, stack: int) -> list[Edge]:
        """The ways from a state. Inside an operand the loop of operators is not entered: that around it is the same."""
        part = self._stacks.parts[stack]
        inside = state.binds is not None and state.kind == "entry" and part is not None and part[0].rule == state.rule
        return state.edges[1:] if inside else state.edges

    def _is_conflict(self, places: _Places) -> bool:
        if all(state.kind == "stop" for state, _ in places):
            return True
        of_states: dict[State, int] = {}
        for state, _ in places:
            of_states[state] = of_states.get(state, 0) + 1
        return 1 not in of_states.values() and any(len(numbers) > 1 for numbers in self._conflicts(places, False))

    def _conflicts(self, places: _Places, in_context: bool) -> list[set[int]]:
        """The alternatives that are in the same state with the same stacks."""
        found: dict[tuple[State, frozenset[int]], set[int]] = {}
        for (state, number), group in places.items():
            stacks = group.stacks if in_context else self._shortest(group.stacks)
            found.setdefault((state, frozenset(stacks)), set()).add(number)
        return list(found.values())

    def _shortest(self, stacks: set[int]) -> set[int]:
        """Stacks without those that go on below the bottom of another: below it anything may be."""
        if len(stacks) == 1:
            return stacks
        unrolled = {self._unrolled(stack): stack for stack in stacks}
        return {
            stack for states, stack in unrolled.items() if not any(states[:length] in unrolled for length in range(len(states)))
        }

    def _unrolled(self, stack: int) -> tuple[int, ...]:
        states = []
        while (part := self._stacks.parts[stack]) is not None:
            states.append(part[0].number)
            stack = part[1]
        return tuple(states)


def _grouped(places: Iterable[_Place]) -> _Places:
    groups: _Places = {}
    for state, number, stack, leaves in places:
        group = groups.setdefault((state, number), _Group())
        group.stacks.add(stack)
        group.leaves |= leaves
    return groups


def _leaving(places: _Places) -> int | None:
    """The first alternative that has come to the end of the decision's rule."""
    ended = (number for (state, number), group in places.items() if group.leaves or (state.kind == "stop" and 0 in group.stacks))
    return min(ended, default=None)
