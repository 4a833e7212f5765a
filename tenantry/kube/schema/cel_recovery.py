"""Reads an expression with syntax errors as cel-go's parser does: ANTLR's default error strategy over the grammar of CEL."""

from __future__ import annotations

import re
from typing import NoReturn

from tenantry.kube.schema.cel_errors import CompileErrors
from tenantry.kube.schema.cel_grammar import BITS, END, LEAVES, State, grammar, shown
from tenantry.kube.schema.cel_prediction import NoAlternative, Prediction, Stacks, TooLong
from tenantry.kube.schema.cel_tokens import Token, readable

_ATTEMPTS_MAX = 30
"""How often cel-go's parser goes on after an error."""
_SKIPPED_MAX = 256
"""How many words it skips to do so."""
_RESERVED = re.compile("no viable alternative at input '.(true|false|null)'", re.DOTALL)


class Branch:
    """A rule that was read, perhaps in part. `alternative` counts from 1; 0 where none fits."""

    __slots__ = ("alternative", "parts", "rule", "start")

    def __init__(self, rule: str, start: Token) -> None:
        self.rule, self.start = rule, start
        self.alternative = 0
        self.parts: list[Branch | Token] = []


class _Frame:
    """A rule that is being read."""

    __slots__ = ("after", "branch", "chain", "stack", "strength")

    def __init__(self, branch: Branch, after: State | None, strength: int, stack: int) -> None:
        self.branch, self.after, self.strength, self.stack = branch, after, strength, stack
        self.chain = 0


class _RuleError(Exception):
    """The rule that is read cannot go on."""


class _GaveUp(Exception):
    """No more is read."""


class Recovery:
    """Reads one expression. `limits`: how deep it may be nested, and how long chains of operators, fields and calls may be."""

    def __init__(self, source: str, found: list[Token], errors: CompileErrors, limits: tuple[int, int]) -> None:
        self._grammar = grammar()
        self._source = source
        self._tokens = found
        self._errors = errors
        self._depth_max, self._chain_max = limits
        self._kinds = [BITS[token.kind] for token in found]
        self._stacks = Stacks()
        self._prediction = Prediction(self._grammar, self._kinds, len(source), self._stacks)
        self._position = 0
        self._state = self._grammar.first["start"]
        self._frames: list[_Frame] = []
        self._depth = 0
        self._recovering = False
        self._error_position = -1
        self._error_states: set[int] = set()
        self._attempts = 0

    def read(self) -> Branch | None:
        """Adds the syntax errors. The tree that remains, if the parser came to the end."""
        root = self._enter("start", None, 0)
        try:
            state = self._grammar.first["start"]
            while self._frames:
                try:
                    state = self._step(state)
                except _RuleError:
                    self._recover()
                    state = self._grammar.stop[self._frames[-1].branch.rule]
        except (_GaveUp, TooLong):
            return None
        return root

    def _step(self, state: State) -> State:
        """Goes on from a state to the next."""
        self._prediction.spend(1)
        frame = self._frames[-1]
        if state.kind == "stop":
            self._leave()
            return frame.after or state
        if state.kind == "again":
            self._sync(state)
            self._state = state
            return self._choose(state.edges[0].target, frame)
        if state.kind == "more":
            self._sync(state)
            chosen = self._choose(state, frame)
            return state.body if chosen.kind == "plus" and state.body else chosen
        if state.kind == "plus" or len(state.edges) > 1:
            self._sync(state)
            return self._choose(state, frame) if len(state.edges) > 1 else state.edges[0].target
        edge = state.edges[0]
        if edge.rule:
            self._enter(edge.rule, edge.target, edge.strength)
            return self._grammar.first[edge.rule]
        if edge.words:
            self._state = state
            self._match(state, edge.words)
        return edge.target

    def _enter(self, rule: str, after: State | None, strength: int) -> Branch:
        self._depth += rule == "expr"
        if self._depth > self._depth_max:
            self._too_deep(self._depth_max)
        branch = Branch(rule, self._tokens[self._position])
        stack = 0
        if after is not None:
            above = self._frames[-1]
            above.branch.parts.append(branch)
            stack = self._stacks.push(after, above.stack)
        self._frames.append(_Frame(branch, after, strength, stack))
        return branch

    def _leave(self) -> None:
        frame = self._frames.pop()
        self._depth -= frame.branch.rule == "expr"

    def _choose(self, state: State, frame: _Frame) -> State:
        number = self._number(state, frame)
        if state.kind == "block" and len(state.edges) > 1 and state.binds is not None:
            self._wrap(frame, number + 1)
        elif state.kind == "entry" and state.binds is not None and number == 0:
            if len(state.edges[0].target.edges) == 1:
                self._wrap(frame, 1)
        elif state is self._grammar.block(state.rule):
            frame.branch.alternative = number + 1
        return state.edges[number].target

    def _number(self, state: State, frame: _Frame) -> int:
        """The alternative that a decision takes."""
        kind = self._kinds[self._position]
        if state.binds is not None and state.kind == "entry":
            return 0 if any(words & kind and strength >= frame.strength for words, strength in state.binds) else 1
        if not state.ll1:
            chosen = self._prediction.choose(state, self._position, frame.stack)
            if isinstance(chosen, NoAlternative):
                self._no_alternative(chosen)
            return chosen
        for number, look in enumerate(state.look):
            if look & kind:
                return number
        if state is self._grammar.block(state.rule):
            self._no_alternative(NoAlternative(self._position, self._position))
        return len(state.edges) - 1

    def _too_deep(self, limit: int) -> NoReturn:
        self._errors.add(-1, f"expression recursion limit exceeded: {limit}")
        raise _GaveUp

    def _wrap(self, frame: _Frame, alternative: int) -> None:
        """What was read of the rule becomes the left operand."""
        frame.chain += 1
        if frame.chain > self._chain_max:
            self._too_deep(self._chain_max)
        whole = frame.branch
        operand = Branch(whole.rule, whole.start)
        operand.alternative, operand.parts = whole.alternative, whole.parts
        whole.alternative, whole.parts = alternative, [operand]

    # Words

    def _match(self, state: State, words: int) -> None:
        if self._kinds[self._position] & words:
            self._matched()
            self._read_word()
            return
        self._count_attempt()
        if self._delete_one():
            self._read_word()
            return
        if self._in_context(state.edges[0].target.within) & self._kinds[self._position]:
            token = self._tokens[self._position]
            expected = self._expected()
            self._report(f"missing {shown(expected)} at {_quoted(token.text)}", token)
            self._frames[-1].branch.parts.append(self._missing(token, expected))
            return
        self._mismatch()

    def _read_word(self) -> None:
        self._frames[-1].branch.parts.append(self._tokens[self._position])
        self._skip()

    def _skip(self) -> None:
        self._position = min(self._position + 1, len(self._tokens) - 1)

    def _missing(self, token: Token, expected: int) -> Token:
        kind = next(kind for kind, bit in BITS.items() if bit & expected)
        place = self._tokens[self._position - 1] if token.kind == "end" and self._position else token
        return Token(kind, "", place.offset)

    # What may follow

    def _expected(self) -> int:
        return self._in_context(self._state.within)

    def _in_context(self, words: int) -> int:
        """What may follow where the rule may end, too."""
        for frame in reversed(self._frames):
            if not words & LEAVES:
                break
            words = words & ~LEAVES | (END if frame.after is None else frame.after.within)
        return words

    # Errors

    def _report(self, text: str, token: Token) -> None:
        """Adds an error, unless nothing was read since the last."""
        if not self._recovering:
            self._recovering = True
            self._errors.add(token.offset, f"Syntax error: {text}")

    def _unwanted(self) -> None:
        token = self._tokens[self._position]
        self._report(f"extraneous input {_quoted(token.text)} expecting {shown(self._expected())}", token)

    def _mismatch(self) -> NoReturn:
        token = self._tokens[self._position]
        self._report(f"mismatched input {_quoted(token.text)} expecting {shown(self._expected())}", token)
        raise _RuleError

    def _no_alternative(self, found: NoAlternative) -> NoReturn:
        start, offending = self._tokens[found.start], self._tokens[found.offending]
        end = len(self._source) if offending.kind == "end" else offending.offset + len(offending.text)
        text = "<EOF>" if start.kind == "end" else readable(self._source, start.offset, end)
        message = f"no viable alternative at input {_quoted(text)}"
        self._report(_RESERVED.sub(r"mismatched input '\1' expecting IDENTIFIER", message), offending)
        raise _RuleError

    def _matched(self) -> None:
        self._recovering = False
        self._error_position = -1
        self._error_states.clear()

    def _sync(self, state: State) -> None:
        """Sees at a decision whether the next word fits, and where one word is too many, goes on without it."""
        self._state = state
        if self._recovering or state.within & (LEAVES | self._kinds[self._position]):
            return
        if state.kind in ("again", "more"):
            self._unwanted()
            self._skip_until(self._expected() | self._follow())
        elif not self._delete_one():
            self._mismatch()

    def _delete_one(self) -> bool:
        following = self._kinds[min(self._position + 1, len(self._kinds) - 1)]
        if not self._expected() & following:
            return False
        self._unwanted()
        self._skip()
        self._matched()
        return True

    def _count_attempt(self) -> None:
        if self._attempts == _ATTEMPTS_MAX:
            text = f"Syntax error: error recovery attempt limit exceeded: {_ATTEMPTS_MAX}"
            self._errors.add(self._tokens[self._position].offset, text)
            raise _GaveUp
        self._attempts += 1

    def _recover(self) -> None:
        """Skips what follows, up to a word with which one of the rules that are being read goes on."""
        self._count_attempt()
        skipped = 0
        if self._error_position == self._position and self._state.number in self._error_states:
            # Nothing was skipped for the last error.
            self._skip()
            skipped = 1
        self._error_position = self._position
        self._error_states.add(self._state.number)
        self._skip_until(self._follow(), _SKIPPED_MAX - skipped)

    def _follow(self) -> int:
        found = 0
        for frame in self._frames:
            if frame.after is not None:
                found |= frame.after.within
        return found & ~LEAVES

    def _skip_until(self, words: int, most: int = 1 << 30) -> None:
        words |= END
        while not self._kinds[self._position] & words:
            if most <= 0:
                self._errors.add(-1, f"error recovery token lookahead limit exceeded: {_SKIPPED_MAX}")
                raise _GaveUp
            most -= 1
            self._skip()


def _quoted(text: str) -> str:
    escaped = text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"
