"""A failure of validation before its texts are joined."""

from __future__ import annotations

from typing import NamedTuple

from tenantry.kube.schema.ratchet import Path

NO_FIELD = "<nil>"
"""What Go prints for a missing path."""


class Problem(NamedTuple):
    """`kind` is that of FieldError. `node` is the value that breaks the rule (ratcheting looks at it), `field` the place
    that is named, NO_FIELD where none is."""

    kind: str
    node: Path
    field: Path | str
    text: str
