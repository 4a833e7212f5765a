"""Generates `tenantry/_proto` from `protos/`: modules, type stubs and gRPC stubs, importable as `tenantry._proto.…`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tenantry" / "_proto"


def main() -> int:
    sources = sorted((ROOT / "protos").rglob("*.proto"))
    OUT.mkdir(parents=True, exist_ok=True)
    code: int = protoc.main(
        [
            "protoc",
            f"--proto_path={ROOT / 'protos'}",
            f"--python_out={OUT}",
            f"--pyi_out={OUT}",
            f"--grpc_python_out={OUT}",
            *map(str, sources),
        ]
    )
    if code:
        return code
    # protoc writes imports relative to its root, which is tenantry._proto here.
    roots = "|".join(re.escape(folder.name) for folder in (ROOT / "protos").iterdir() if folder.is_dir())
    own_import = re.compile(rf"^(from|import) (?!tenantry\._proto\b)({roots})\b", re.MULTILINE)
    for generated in (*OUT.rglob("*.py"), *OUT.rglob("*.pyi")):
        text = generated.read_text()
        generated.write_text(own_import.sub(r"\1 tenantry._proto.\2", text))
    for folder in (OUT, *(p for p in OUT.rglob("*") if p.is_dir() and p.name != "__pycache__")):
        (folder / "__init__.py").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
