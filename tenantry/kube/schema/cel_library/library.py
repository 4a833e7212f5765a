"""The functions that Kubernetes adds to CEL (k8s.io/apiserver/pkg/cel/library), for the checker and the interpreter.

Each function is declared with its types, for the checker, and has the implementation for the interpreter. An implementation
charges the `Cost` first, as Kubernetes' library does, and then does the work. Functions with one name share an implementation,
which looks at its arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from cel_expr_python import cel

from tenantry.kube.schema.cel_functions.arguments import Function
from tenantry.kube.schema.cel_library import addresses, lists, quantities, urls
from tenantry.kube.schema.cel_library.declarations import PACKAGE, PLAIN

_FUNCTIONS = (*lists.FUNCTIONS, *urls.FUNCTIONS, *quantities.FUNCTIONS, *addresses.FUNCTIONS)


def running() -> dict[tuple[str, bool], Function]:
    """The implementations: (name, is member) → function. Of a member, the value before the dot is the first argument."""
    return {(function.name, function.member): function.run for function in _FUNCTIONS}


@cache
def for_checking() -> cel.CelExtension:
    """The declarations, for the checker. The messages of `OPAQUE` must be in the environment's pool."""
    return _extension("check", lambda word: PLAIN.get(word) or cel.Type(f"{PACKAGE}.{word}"))


def _extension(purpose: str, type_of: Callable[[str], cel.Type]) -> cel.CelExtension:
    overloads: dict[str, dict[str, cel.Overload]] = {}
    for function in _FUNCTIONS:
        types = [type_of(word) for word in function.parameters]
        identity = f"{function.name}_{'m' if function.member else 'f'}_{'_'.join(t.name() for t in types)}"
        # Overloads with the same types for the engine share one implementation, which looks at the values.
        overloads.setdefault(function.name, {}).setdefault(
            identity,
            cel.Overload(
                f"{PACKAGE}_{identity}",
                return_type=type_of(function.result),
                parameters=types,
                is_member=function.member,
            ),
        )
    for found in overloads.values():
        _drop_covered(found)
    return cel.CelExtension(
        f"{PACKAGE}_{purpose}", [cel.FunctionDecl(name, list(found.values())) for name, found in overloads.items()]
    )


def _drop_covered(found: dict[str, cel.Overload]) -> None:
    """Removes overloads that another one covers: the same types, except that its last parameter is `dyn`. The engine refuses both
    together."""
    for identity in list(found):
        general = identity.rpartition("_")[0] + "_DYN"
        if general != identity and general in found:
            del found[identity]
