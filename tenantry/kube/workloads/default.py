"""Fills in the defaults of workload types, as Kubernetes' generated defaulters do: those of `kubernetes.txt`, and the rules of
`default_rules.py`. A struct comes before what is in it.

A function is compiled for each message once, and kept with it. Parts without defaults are not visited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tenantry.kube.message_tables import Field, Message
from tenantry.kube.objects import Object
from tenantry.kube.quantity import milli_at_least
from tenantry.kube.workloads.default_rules import RULES

Fill = Callable[[Object], None]
_KEY = "workloads.default"


def fill_of(message: Message) -> Fill | None:
    """The function that fills in the defaults of a message in place; None if it has none."""
    if _KEY not in message.memo:
        message.memo[_KEY] = _compile(message)
    found: Fill | None = message.memo[_KEY]
    return found


def _compile(message: Message) -> Fill | None:
    rule = RULES.get(message.ref.removeprefix("io.k8s.api."))
    values = [(item.name, item.default) for item in message.fields if _has_default(item)]
    below: list[tuple[str, Callable[[Any], None]]] = []
    for item in message.fields:
        fill = fill_of(item.type.message) if item.type.message is not None and item.name != "metadata" else None
        if fill is not None:
            below.append((item.name, _each(fill, item.type.container)))
        elif item.type.name == "Quantity" and item.type.container == "map":
            below.append((item.name, _round))
    if rule is None and not values and not below:
        return None
    return _filler(rule, values, below)


def _filler(rule: Fill | None, values: Sequence[tuple[str, Any]], below: Sequence[tuple[str, Callable[[Any], None]]]) -> Fill:
    def fill(obj: Object) -> None:
        if rule is not None:
            rule(obj)
        for name, value in values:
            if not obj.get(name) and (name not in obj or obj[name] == ""):
                obj[name] = value
        for name, each in below:
            found = obj.get(name)
            if found is not None:
                each(found)

    return fill


def _has_default(item: Field) -> bool:
    """Whether there is a default that is not the value of a missing field anyway."""
    return item.default is not None and (item.type.pointer or bool(item.default))


def _each(fill: Fill, container: str) -> Callable[[Any], None]:
    def fill_all(found: Any) -> None:
        for value in found.values() if container == "map" else found:
            fill(value)

    return fill_all if container else fill


def _round(amounts: dict[str, str]) -> None:
    """Upstream rounds amounts of resources up to a thousandth."""
    for name, amount in amounts.items():
        rounded = milli_at_least(amount)
        if rounded is not amount:
            amounts[name] = rounded
