"""Records what kube-apiserver makes of YAML bodies: the table that `tests/kube/codec/test_yaml_table.py` holds ours against.

    .venv/bin/python -m tools.yaml_table        needs Go

Each line of the table is a body and what became of it. For a new case, write a line that has only the body, as
`{"body": "a: 1"}`, or as `{"base64": "/w=="}` where it is no UTF-8, and run this: it asks `tools/yaml_to_json`, the Go program,
about every body again. Its `go.mod` has the versions of Go's libraries that Kubernetes 1.37 has.
"""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "yaml_to_json"
TABLE = Path(__file__).resolve().parent.parent / "tests" / "kube" / "codec" / "yaml_table.jsonl"


def cases() -> list[dict[str, Any]]:
    """The lines of the table: the body, and lists of texts. Go goes through maps in random order, so that there may be several.

    `json` is what the body became, `refusal` why it did not, and `strict` the error where keys are repeated.
    """
    # Not splitlines, which knows ends of lines that JSON leaves as they are.
    return [json.loads(line) for line in TABLE.read_text(encoding="utf-8").split("\n") if line]


def body_of(case: dict[str, Any]) -> bytes:
    return base64.b64decode(case["base64"]) if "base64" in case else case["body"].encode()


def _recorded(program: Path) -> list[dict[str, Any]]:
    known = cases()
    asked = b"".join(base64.b64encode(body_of(case)) + b"\n" for case in known)
    answers = subprocess.run([program], input=asked, stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")
    out = []
    for case, answer in zip(known, answers[:-1], strict=True):
        body = {name: case[name] for name in ("body", "base64") if name in case}
        out.append(body | {name: texts for name, texts in json.loads(answer).items() if texts})
    return out


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "yaml_to_json"
        subprocess.run(["go", "build", "-o", program, "."], cwd=SOURCE, check=True)
        lines = [json.dumps(case) for case in _recorded(program)]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} bodies: {TABLE}")


if __name__ == "__main__":
    main()
