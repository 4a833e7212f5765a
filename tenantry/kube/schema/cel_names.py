"""The names of fields in CEL expressions: what is no identifier is escaped (k8s.io/apiserver/pkg/cel/escaping.go)."""

from __future__ import annotations

import re

from tenantry.base.cache import cached

RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
RESERVED_FIELDS = {name: f"__{name}__" for name in RESERVED}
"""Words of the language as fields: the names under which CEL values have them."""
_ESCAPES = re.compile(r"__|\.|-|/")
_ESCAPED = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@cached("cel_names", bytes_max=1024 * 1024)
def escape(name: str) -> str | None:
    """A field name as a CEL identifier (`a-b` → `a__dash__b`). None where it cannot be one."""
    if name in RESERVED:
        return f"__{name}__"
    escaped = _ESCAPES.sub(lambda m: _ESCAPED[m.group()], name)
    return escaped if _IDENTIFIER.fullmatch(escaped) else None
