"""The C++ engine of CEL takes 17 MB: a process loads it when the first definition with rules needs it."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import gateway.main, registry.main, shard.main, tenantry.cli.start
from tenantry.kube.schema.structure import schema_errors

def loaded():
    return "cel_expr_python" in sys.modules

plain = {"type": "object", "properties": {"a": {"type": "string"}}}
print(loaded(), schema_errors(plain, "s"), loaded())
print(schema_errors({**plain, "x-kubernetes-validations": [{"rule": "self.a != ''"}]}, "s"), loaded())
"""


def test_without_rules_no_process_has_it() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert (found.stdout, found.stderr) == ("False [] False\n[] True\n", "")
