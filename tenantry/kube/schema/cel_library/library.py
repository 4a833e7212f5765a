"""The functions that Kubernetes adds to CEL (k8s.io/apiserver/pkg/cel/library), and cel-go's extensions of lists, sets and maps.

`cel_declarations.py` has their types, for the checker and the estimate. An implementation charges the `Cost` first, as
Kubernetes' library does, and then does the work. Functions with one name share an implementation, which looks at its arguments.
"""

from __future__ import annotations

from tenantry.kube.schema.cel_functions.arguments import Function
from tenantry.kube.schema.cel_library import (
    authorizer,
    ip_functions,
    list_functions,
    lists,
    maps,
    named_formats,
    quantities,
    url_functions,
    versions,
)

FUNCTIONS: dict[tuple[str, bool], Function] = {
    **lists.FUNCTIONS,
    **list_functions.FUNCTIONS,
    **maps.FUNCTIONS,
    **url_functions.FUNCTIONS,
    **quantities.FUNCTIONS,
    **versions.FUNCTIONS,
    **ip_functions.FUNCTIONS,
    **named_formats.FUNCTIONS,
    **authorizer.FUNCTIONS,
}
"""(name, is member) → function. Of a member, the value before the dot is the first argument."""
