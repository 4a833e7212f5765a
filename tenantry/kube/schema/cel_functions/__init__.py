"""CEL's standard functions and its extensions for strings and optionals.

Each function takes the `Cost` as its first argument and charges it before it does any work: the cost that cel-go charges, and the
size of the result, which cel-go does not charge, on an account of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.kube.schema.cel_functions import arithmetic, conversions, optionals, strings
from tenantry.kube.schema.cel_functions.arguments import Function

FUNCTIONS: Mapping[tuple[str, bool], Function] = {
    **arithmetic.FUNCTIONS,
    **conversions.FUNCTIONS,
    **strings.FUNCTIONS,
    **optionals.FUNCTIONS,
}
"""(name, is member) → function. Of a member, the value before the dot is the first argument."""
