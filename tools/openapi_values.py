"""Writes `tenantry/kube/openapi/values.txt`: which texts fields of built-in types may have, from Kubernetes' Go module.

It takes names and values, and no sentences. The published OpenAPI documents leave the values out that kube-apiserver serves, so
they are read from the Go source that it serves them from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tools.workload_types import VERSION, directories

OUT = Path(__file__).resolve().parent.parent / "tenantry" / "kube" / "openapi" / "values.txt"
_SOURCE = Path("pkg") / "generated" / "openapi" / "zz_generated.openapi.go"
_COMPONENT = re.compile(r"^func schema_\w*?(?:k8sio_api|apis)_(\w+)_(v[12])_(\w+)\(")
_FIELD = re.compile(r'^\t{5}"([^"]+)": \{')
_VALUES = re.compile(r"^(\t+)Enum: +\[\]interface\{\}\{(.*)\},$")
_OF_FIELD = "\t" * 7
_NOT_SERVED = ("resource",)
"""Groups of which no workspace has types."""
_HEADER = f"""\
# What fields of built-in types may say. A component by the end of its name, and a field; `[]`: the items or values below it.
# Source: k8s.io/kubernetes v{VERSION}, {_SOURCE}, by tools/openapi_values.py.

"""


def lines(source: str) -> Iterator[str]:
    """A line for each field of a stable version that has one of several texts."""
    component = field = ""
    for line in source.splitlines():
        if line.startswith("func "):
            found = _COMPONENT.match(line)
            component = ".".join(found.groups()) if found else ""
        elif match := _FIELD.match(line):
            field = match[1]
        elif component and component.split(".")[0] not in _NOT_SERVED and (match := _VALUES.match(line)):
            yield f"{component}.{field}{'' if match[1] == _OF_FIELD else '[]'}: [{match[2]}]"


def write() -> None:
    *_, kubernetes = directories()
    source = (kubernetes / _SOURCE).read_text()
    OUT.write_text(_HEADER + "".join(f"{line}\n" for line in sorted(set(lines(source)))))


if __name__ == "__main__":
    write()
