"""cel-expr-python, Google's C++ implementation of CEL: it parses expressions, and checks them against types (`cel_check.py`).

Loading it takes 17 MB, so nothing that every process needs imports this module: `cel.Program` does for the first expression, and
`structure.schema_errors` for the first definition with rules.
"""

from __future__ import annotations

from functools import cache

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings

from tenantry.kube.schema.cel_library import library
from tenantry.kube.schema.cel_library.declarations import PACKAGE

_TYPES = {
    "string": cel.Type.STRING,
    "int": cel.Type.INT,
    "bool": cel.Type.BOOL,
    "double": cel.Type.DOUBLE,
    "dyn": cel.Type.DYN,
    "list": cel.Type.List(cel.Type.DYN),
    "strings": cel.Type.List(cel.Type.STRING),
    "query": cel.Type.Map(cel.Type.STRING, cel.Type.List(cel.Type.STRING)),
}
"""The types that declarations of functions name; other names are those of `OPAQUE`."""


def standard_extensions() -> list[cel.CelExtensionBase]:
    return [
        ext_optional.ExtOptional(),
        ext_strings.ExtStrings(),
        ext_math.ExtMath(),
        ext_bindings.ExtBindings(),
        ext_encoders.ExtEncoders(),
    ]


@cache
def _reader() -> cel.Env:
    """The engine for parsing. Types and functions do not matter for it."""
    return cel.NewEnv(extensions=standard_extensions())


def parse(expression: str) -> bytes:
    """The serialized syntax tree of an expression, with macros expanded. Raises RuntimeError with the engine's message."""
    serialized: bytes = _reader().compile(expression, disable_check=True).serialize()
    return serialized


@cache
def kubernetes_library() -> cel.CelExtension:
    """The declarations of `cel_library`, for the checker. The messages of `OPAQUE` must be in the environment's pool."""
    overloads: dict[str, dict[str, cel.Overload]] = {}
    for function in library.FUNCTIONS:
        types = [_type_of(word) for word in function.parameters]
        identity = f"{function.name}_{'m' if function.member else 'f'}_{'_'.join(t.name() for t in types)}"
        # Overloads with the same types for the engine share one implementation, which looks at the values.
        overloads.setdefault(function.name, {}).setdefault(
            identity,
            cel.Overload(
                f"{PACKAGE}_{identity}",
                return_type=_type_of(function.result),
                parameters=types,
                is_member=function.member,
            ),
        )
    for found in overloads.values():
        _drop_covered(found)
    return cel.CelExtension(
        f"{PACKAGE}_check", [cel.FunctionDecl(name, list(found.values())) for name, found in overloads.items()]
    )


def _type_of(word: str) -> cel.Type:
    return _TYPES.get(word) or cel.Type(f"{PACKAGE}.{word}")


def _drop_covered(found: dict[str, cel.Overload]) -> None:
    """Removes overloads that another one covers: the same types, except that its last parameter is `dyn`. The engine refuses both
    together."""
    for identity in list(found):
        general = identity.rpartition("_")[0] + "_DYN"
        if general != identity and general in found:
            del found[identity]
