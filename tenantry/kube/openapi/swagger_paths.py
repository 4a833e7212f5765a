"""The paths of a type in Swagger 2.0, made from those in OpenAPI 3.0. Parameters are shared by all operations of the document."""

from __future__ import annotations

from tenantry.kube.objects import Object
from tenantry.kube.openapi.components import V2, V3
from tenantry.kube.openapi.paths import PARAMETERS

_METHODS = ("get", "put", "post", "delete", "patch")
_ANY = ["*/*"]


def swagger_parameters() -> Object:
    """The section `parameters` of a document."""
    found: Object = {}
    for parameter in PARAMETERS:
        shown = {key: value for key, value in parameter.items() if key != "schema"}
        found[parameter["name"]] = shown | parameter["schema"]
    return found


def swagger_item(item: Object) -> Object:
    """A path item."""
    made: Object = {method: _operation(item[method]) for method in _METHODS if method in item}
    made["parameters"] = _references(item["parameters"])
    return made


def _operation(operation: Object) -> Object:
    parameters = _references(operation.get("parameters", []))
    consumes, body = _ANY, operation.get("requestBody")
    if body is not None:
        content = body["content"]
        shape = next(iter(content.values()))["schema"]
        shown: Object = {"in": "body", "name": "body", "schema": _definition(shape)}
        parameters = [*parameters, shown | {"required": True} if body.get("required") else shown]
        if operation["x-kubernetes-action"] == "patch":
            consumes = list(content)
    produces: dict[str, None] = {}
    responses: Object = {}
    for code, response in operation["responses"].items():
        responses[code] = {"description": response["description"]}
        for media_type, of in response.get("content", {}).items():
            produces[media_type] = None
            responses[code]["schema"] = _definition(of["schema"])
    same = {key: operation[key] for key in ("operationId", "tags", "x-kubernetes-action", "x-kubernetes-group-version-kind")}
    made = same | {"consumes": consumes, "produces": list(produces), "schemes": ["https"], "responses": responses}
    return made | {"parameters": parameters} if parameters else made


def _references(parameters: list[Object]) -> list[Object]:
    return [{"$ref": f"#/parameters/{parameter['name']}"} for parameter in parameters]


def _definition(schema: Object) -> Object:
    return {"$ref": V2.prefix + schema["$ref"].removeprefix(V3.prefix)}
