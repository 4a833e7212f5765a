"""The functions that Kubernetes adds to CEL (k8s.io/apiserver/pkg/cel/library), for the checker and the interpreter.

Each function is declared with its types, for the checker, and has the implementation for the interpreter. An implementation
charges the `Cost` first, as Kubernetes' library does, and then does the work. Functions with one name share an implementation,
which looks at its arguments.
"""

from __future__ import annotations

from tenantry.kube.schema.cel_functions.arguments import Function
from tenantry.kube.schema.cel_library import ip_functions, lists, quantities, url_functions

FUNCTIONS = (*lists.FUNCTIONS, *url_functions.FUNCTIONS, *quantities.FUNCTIONS, *ip_functions.FUNCTIONS)
"""The declarations."""


def running() -> dict[tuple[str, bool], Function]:
    """The implementations: (name, is member) → function. Of a member, the value before the dot is the first argument."""
    return {(function.name, function.member): function.run for function in FUNCTIONS}
