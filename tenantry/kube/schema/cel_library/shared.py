"""What implementations of Kubernetes' CEL functions share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import Function, text_of
from tenantry.kube.schema.cel_values import Cost, Opaque


def opaque(value: Any, *kinds: str) -> Any:
    """The content of a value of one of our types. Raises NoOverload for another value."""
    if type(value) is not Opaque or value.kind not in kinds:
        raise NoOverload
    return value.value


def reads(run: Callable[[Cost, Any], Any]) -> Function:
    """Whether a text can be parsed, for functions that parse one."""

    def succeeds(cost: Cost, text: Any) -> bool:
        text_of(text)
        try:
            run(cost, text)
        except CelError:
            return False
        return True

    return succeeds


def access_to(kind: str, get: Callable[[Any], Any]) -> Function:
    """An attribute of a value of one of our types. It costs one unit."""

    def access(cost: Cost, value: Any) -> Any:
        cost.charge(1)
        return get(opaque(value, kind))

    return access
