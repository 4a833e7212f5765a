"""x-kubernetes-validations."""

from __future__ import annotations

from typing import Any

from tenantry.kube.schema.structural import Schema


def compile_rules(schema: Schema) -> Any:
    return None
