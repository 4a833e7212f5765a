"""JSON schemas of the Kubernetes types in `deploy/kubernetes`, as strict as `kubectl create --validate=strict`.

`kubernetes_schemas.json` is cut out of the OpenAPI document in the Go module k8s.io/kubernetes:
`python -m tests.deploy.kubernetes_schemas` writes it anew (it needs Go).
"""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

VERSION = "v1.30.14"
"""The oldest Kubernetes for which the manifests are meant; what is in it is in all later ones."""
KINDS = {
    ("v1", "ConfigMap"): "io.k8s.api.core.v1.ConfigMap",
    ("v1", "Namespace"): "io.k8s.api.core.v1.Namespace",
    ("v1", "PersistentVolumeClaim"): "io.k8s.api.core.v1.PersistentVolumeClaim",
    ("v1", "Service"): "io.k8s.api.core.v1.Service",
    ("v1", "ServiceAccount"): "io.k8s.api.core.v1.ServiceAccount",
    ("apps/v1", "Deployment"): "io.k8s.api.apps.v1.Deployment",
    ("networking.k8s.io/v1", "NetworkPolicy"): "io.k8s.api.networking.v1.NetworkPolicy",
    ("policy/v1", "PodDisruptionBudget"): "io.k8s.api.policy.v1.PodDisruptionBudget",
}
PATH = Path(__file__).with_name("kubernetes_schemas.json")
_PREFIX = "#/definitions/"


def errors(manifest: dict[str, Any]) -> list[str]:
    """What is wrong with a manifest; raises KeyError for a type that is none of `KINDS`."""
    definition = KINDS[manifest["apiVersion"], manifest["kind"]]
    return [f"{'.'.join(map(str, e.instance_path))}: {e.message}" for e in _validator(definition).iter_errors(manifest)]


@cache
def _validator(definition: str) -> jsonschema_rs.Draft202012Validator:
    definitions = json.loads(PATH.read_text())["definitions"]
    return jsonschema_rs.Draft202012Validator({"$ref": _PREFIX + definition, "definitions": definitions})


def _write() -> None:
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"k8s.io/kubernetes@{VERSION}"], check=True, capture_output=True, cwd=PATH.parent
    )
    document = json.loads((Path(json.loads(done.stdout)["Dir"]) / "api" / "openapi-spec" / "swagger.json").read_text())
    wanted, found = list(KINDS.values()), {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _strict(document["definitions"][name], wanted)
    text = json.dumps({"version": VERSION, "definitions": found}, sort_keys=True, indent=1)
    PATH.write_text(text + "\n")


def _strict(schema: Any, references: list[str]) -> Any:
    """Without prose, and refusing unknown fields, which OpenAPI lets pass."""
    if isinstance(schema, list):
        return [_strict(item, references) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or (
        schema.get("type") == "string" and "Quantity" in schema.get("description", "")
    ):
        return {"type": ["string", "number"]}
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _strict(field, references) for name, field in value.items()}
            kept["additionalProperties"] = False
        elif key == "$ref":
            references.append(value.removeprefix(_PREFIX))
            kept[key] = value
        elif key in ("type", "items", "additionalProperties", "required", "enum", "allOf"):
            kept[key] = _strict(value, references)
    return kept


if __name__ == "__main__":
    _write()
