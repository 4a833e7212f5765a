"""The grammar of CEL (CEL.g4 of cel-go) as a network of states, as ANTLR makes it: what its error texts follow from."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_GRAMMAR = """
start: expr end
expr: or ( '?' or ':' expr )?
or: and ( '||' and )*
and: relation ( '&&' relation )*
relation: calc ( 1 {< <= >= > == != in} relation[2] )*
calc: unary ( 2 {* / %} calc[3] | 1 {+ -} calc[2] )*
unary: member | ( '!' )+ member | ( '-' )+ member
member: primary ( 0 '.' ( '?' )? field | 0 '.' name '(' ( arguments )? ')' | 0 '[' ( '?' )? expr ']' )*
primary: ( '.' )? name | ( '.' )? name '(' ( arguments )? ')' | '(' expr ')' | '[' ( items )? ( ',' )? ']'
  | '{' ( entries )? ( ',' )? '}' | ( '.' )? name ( '.' name )* '{' ( fields )? ( ',' )? '}' | literal
arguments: expr ( ',' expr )*
items: item ( ',' item )*
fields: named ':' expr ( ',' named ':' expr )*
named: ( '?' )? field
entries: item ':' expr ( ',' item ':' expr )*
field: name | quoted
item: ( '?' )? expr
literal: ( '-' )? int | uint | ( '-' )? float | string | bytes | true | false | null
"""
"""A number before an alternative of a loop is how strong its operator binds, one after a rule how strong it has to bind there."""
_WORD = re.compile(r"'([^']+)'|\{([^}]+)\}|(\w+)(?:\[(\d)\])?|([()|?*+])")
_OPERATORS = "== != in < <= >= > && || [ ] { } ( ) . , - ! ? : + * / % true false null"
_KINDS: Final = {
    "end": "<EOF>",
    **{operator: f"'{operator}'" for operator in _OPERATORS.split()},
    "float": "NUM_FLOAT",
    "int": "NUM_INT",
    "uint": "NUM_UINT",
    "string": "STRING",
    "bytes": "BYTES",
    "name": "IDENTIFIER",
    "quoted": "ESC_IDENTIFIER",
}
"""The kinds of words with their names in errors, in the order in which errors list them."""
BITS: Final = {kind: 1 << place for place, kind in enumerate(_KINDS)}
"""Sets of kinds are numbers with these bits."""
END: Final = BITS["end"]
LEAVES: Final = 1 << len(_KINDS)
"""In a set of what may follow: the end of the rule."""


class State:
    """A place in a rule. `kind` is `block`, `entry` (of a loop of any length), `again` (at the end of one), `plus` (the start of
    a loop of at least one), `more` (at the end of one), `stop` (the end of the rule) or empty."""

    __slots__ = ("binds", "body", "edges", "kind", "ll1", "look", "number", "rule", "within")

    def __init__(self, number: int, rule: str, kind: str) -> None:
        self.number, self.rule, self.kind = number, rule, kind
        self.edges: list[Edge] = []
        self.body: State | None = None
        """Where the body of the loop begins, at `plus` and `more`."""
        self.binds: list[tuple[int, int]] | None = None
        """Sets of operators and how strong they bind, at the `entry` of a loop of operators."""
        self.within = 0
        """What may follow in this rule."""
        self.look: list[int] = []
        """What the alternatives of a decision may begin with, wherever the rule is used."""
        self.ll1 = False
        """Whether one word decides here."""


class Edge:
    """A way from a state: by a word of `words`, through `rule`, or for nothing."""

    __slots__ = ("rule", "strength", "target", "words")

    def __init__(self, target: State, words: int = 0, rule: str = "", strength: int = 0) -> None:
        self.target, self.words, self.rule, self.strength = target, words, rule, strength


class Grammar:
    """The network: the first and the last state of each rule, and the states to which each rule returns."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.first: dict[str, State] = {}
        self.stop: dict[str, State] = {}
        self.returns: dict[str, list[State]] = {}
        rules = [line.partition(":") for line in _GRAMMAR.replace("\n  ", " ").strip().split("\n")]
        for name, _, _ in rules:
            self.first[name], self.stop[name] = self._state(name), self._state(name, "stop")
            self.returns[name] = []
        for name, _, text in rules:
            words = [match.groups() for match in _WORD.finditer(text)]
            words.reverse()
            self._alternatives(name, words, self.first[name], self.stop[name], "block")
        for state in self.states:
            state.within = self._within(state, set())
            if len(state.edges) > 1:
                state.look = [self._anywhere(edge, set()) for edge in state.edges]
                overlap = any(one & other for i, one in enumerate(state.look) for other in state.look[:i])
                state.ll1 = not overlap and state.binds is None

    def block(self, rule: str) -> State:
        """The state of a rule where its alternatives part."""
        return self.first[rule].edges[0].target

    def _state(self, rule: str, kind: str = "") -> State:
        self.states.append(State(len(self.states), rule, kind))
        return self.states[-1]

    def _alternatives(self, rule: str, words: list[tuple[str, ...]], start: State, end: State, kind: str) -> State:
        """Reads alternatives up to a closing parenthesis or the end. Returns the state where they begin."""
        block = self._state(rule, kind)
        start.edges.append(Edge(block))
        while True:
            at = self._state(rule)
            block.edges.append(Edge(at))
            before = at
            while words and words[-1][4] not in (")", "|"):
                before, at = at, self._element(rule, words, at, block)
            at.edges.append(Edge(end))
            self._shorten(before, at, end)
            if not words or words.pop()[4] == ")":
                break
        return block

    def _shorten(self, before: State, last: State, end: State) -> None:
        """Leaves out the last state of an alternative, as ANTLR does: those that end with the same rule return to one state."""
        for edge in before.edges:
            if edge.target is last and (edge.rule or edge.words):
                edge.target = end
                if edge.rule:
                    returns = self.returns[edge.rule]
                    returns[returns.index(last)] = end

    def _element(self, rule: str, words: list[tuple[str, ...]], at: State, block: State) -> State:
        quoted, several, word, strength, mark = words.pop()
        after = self._state(rule)
        if mark == "(":
            self._repeated(rule, words, at, after)
        elif word and word.isdigit():
            block.binds = block.binds or []
            block.binds.append((_bits(words[-1][1] or words[-1][0]), int(word)))
            return at
        elif word in self.first:
            at.edges.append(Edge(after, 0, word, int(strength or 0)))
            self.returns[word].append(after)
        else:
            at.edges.append(Edge(after, _bits(several or quoted or word)))
        return after

    def _repeated(self, rule: str, words: list[tuple[str, ...]], at: State, after: State) -> None:
        inner = self._state(rule)
        end = self._state(rule)
        block = self._alternatives(rule, words, inner, end, "block")
        match words.pop()[4]:
            case "?":
                at.edges.append(Edge(block))
                block.edges.append(Edge(end))
                end.edges.append(Edge(after))
            case "*":
                entry, again = self._state(rule, "entry"), self._state(rule, "again")
                at.edges.append(Edge(entry))
                entry.edges += [Edge(block), Edge(after)]
                entry.binds = block.binds
                end.edges.append(Edge(again))
                again.edges.append(Edge(entry))
            case "+":
                more = self._state(rule, "more")
                block.kind = "plus"
                block.body = more.body = block.edges[0].target
                at.edges.append(Edge(block))
                end.edges.append(Edge(more))
                more.edges += [Edge(block), Edge(after)]

    def _within(self, state: State, seen: set[int]) -> int:
        """What may follow in the rule of a state, and LEAVES if the rule may end."""
        if state.kind == "stop":
            return LEAVES
        if state.number in seen:
            return 0
        seen.add(state.number)
        found = 0
        for edge in state.edges:
            # No rule is empty, so that none is left by what it begins with.
            found |= edge.words or self._within(self.first[edge.rule] if edge.rule else edge.target, seen)
        return found

    def _anywhere(self, edge: Edge, seen: set[int]) -> int:
        """What may follow by a way, also after the end of its rule."""
        if edge.words:
            return edge.words
        state = self.first[edge.rule] if edge.rule else edge.target
        if state.number in seen:
            return 0
        seen.add(state.number)
        found = 0
        for each in [Edge(state) for state in self.returns[state.rule]] if state.kind == "stop" else state.edges:
            found |= self._anywhere(each, seen)
        return found


def _bits(kinds: str) -> int:
    found = 0
    for kind in kinds.split():
        found |= BITS[kind]
    return found


@cache
def grammar() -> Grammar:
    return Grammar()


def shown(kinds: int) -> str:
    """A set of kinds, as errors show it."""
    names = [name for kind, name in _KINDS.items() if BITS[kind] & kinds]
    return names[0] if len(names) == 1 else f"{{{', '.join(names)}}}"
