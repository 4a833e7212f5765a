"""Label selectors: their text form (`a=b,c in (d,e),!f`), their object form (metav1.LabelSelector) and matching.

The grammar and the error texts are those of k8s.io/apimachinery/pkg/labels, because clients print them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from sys import getsizeof
from typing import Any

from tenantry.base.cache import cached
from tenantry.kube.go_text import quote
from tenantry.kube.objects import Object
from tenantry.kube.selectors.label_matching import Labels, Predicate, compile_requirements
from tenantry.kube.selectors.label_parser import Parser
from tenantry.kube.selectors.requirements import Requirement, requirement


class LabelSelector:
    """A conjunction of requirements. Immutable, and ordered by key as upstream prints them.

    `nothing` marks the selector that matches no object (a null metav1.LabelSelector).
    """

    __slots__ = ("is_everything", "matches", "nothing", "requirements")

    def __init__(self, requirements: Iterable[Requirement], *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda r: r.key))
        self.nothing = nothing
        self.is_everything = not self.requirements and not nothing
        self.matches: Predicate = _never if nothing else compile_requirements(self.requirements)
        """Whether the labels satisfy every requirement."""

    def __str__(self) -> str:
        return ",".join(str(r) for r in self.requirements)

    def __repr__(self) -> str:
        return f"LabelSelector({'nothing' if self.nothing else str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSelector) and self.requirements == other.requirements and self.nothing == other.nothing

    def __hash__(self) -> int:
        return hash((self.requirements, self.nothing))


def _never(labels: Labels) -> bool:
    return False


def memory_bytes(selector: LabelSelector) -> int:
    """An upper estimate of the memory of a selector. Counting it exactly takes as long as parsing it."""
    size = 320
    for each in selector.requirements:
        size += 640 + getsizeof(each.key)
        for value in each.values:
            size += 160 + getsizeof(value)
    return size


@cached("label_selectors", bytes_max=2 << 20, size=memory_bytes)
def parse(text: str) -> LabelSelector:
    """The selector of a `labelSelector` query parameter. Raises ValueError with upstream's text."""
    return LabelSelector(Parser(text).parse())


EVERYTHING = LabelSelector(())
NOTHING = LabelSelector((), nothing=True)

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def from_object(label_selector: Object | None) -> LabelSelector:
    """The selector of a metav1.LabelSelector: null selects nothing, an empty one everything.

    Raises ValueError with upstream's text for an unknown operator or a bad key or value.
    """
    if label_selector is None:
        return NOTHING
    labels: Mapping[str, str] = label_selector.get("matchLabels") or {}
    expressions: Sequence[Mapping[str, Any]] = label_selector.get("matchExpressions") or ()
    out = [requirement(key, "=", (value,)) for key, value in labels.items()]
    for expression in expressions:
        operator = _OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise ValueError(f"{quote(expression.get('operator', ''))} is not a valid label selector operator")
        out.append(requirement(expression.get("key", ""), operator, expression.get("values") or ()))
    return LabelSelector(out) if out else EVERYTHING
