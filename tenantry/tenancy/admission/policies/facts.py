"""What the evaluation of policies needs of memory: answers of the authorizer, parameters, namespaces.

Policies are evaluated on the event loop, where these are looked up at once. An evaluation that takes longer goes on in a thread.
There a fact that is not known yet ends it (`Unknown`); the loop finds the fact, and the evaluation goes on where it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from tenantry.apiserver.deferred import Deferred, at_once
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.schema.cel_library.authorizer import Answer, Question

FACTS_MAX = 256
"""The most facts of one write. An evaluation that needs more fails."""


class Unknown(Exception):
    """A fact that has to be found on the event loop."""

    def __init__(self, need: Hashable) -> None:
        super().__init__()
        self.need = need


class TooManyFacts(Exception):
    """The policies of one write ask for too much."""

    def __init__(self) -> None:
        super().__init__(f"the policies need more than {FACTS_MAX} answers and parameters for one request")


class Facts:
    """The facts of one write. `find` finds one, on the event loop; it may raise LoopBudgetExceeded and Deferred, which send the
    evaluation to a thread."""

    def __init__(self, find: Callable[[Any], Any]) -> None:
        self._find = find
        self._known: dict[Hashable, Any] = {}
        self.is_on_loop = True

    def get(self, need: Hashable) -> Any:
        """Raises Unknown in a thread, and LoopBudgetExceeded on the loop."""
        try:
            return self._known[need]
        except KeyError:
            pass
        if not self.is_on_loop:
            raise Unknown(need)
        if len(self._known) >= FACTS_MAX:
            # It is one too many. The thread says so, without finding it.
            raise LoopBudgetExceeded
        try:
            found = at_once(self._find, need)
        except Deferred:
            raise LoopBudgetExceeded from None
        self.put(need, found)
        return found

    def knows(self, need: Hashable) -> bool:
        return need in self._known

    def put(self, need: Hashable, found: Any) -> None:
        """Raises TooManyFacts."""
        if len(self._known) >= FACTS_MAX:
            raise TooManyFacts
        self._known[need] = found

    def answer(self, question: Question) -> Answer:
        """What the authorizer answers: Facts are the Answers of expressions."""
        found: Answer = self.get(question)
        return found
