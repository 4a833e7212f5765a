"""The CEL environment of admission (k8s.io/apiserver/pkg/admission/plugin/cel): variables, their types, and checks.

Objects and parameters are dyn, except where a policy's types are checked. An expression of a policy may use `variables`, whose
fields have the types of the expressions behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenantry.kube.schema.cel_check import check
from tenantry.kube.schema.cel_declared import Declared
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_interpreter import Compiled
from tenantry.kube.schema.cel_types import BOOL, DYN, INT, NULL, STRING, TIMESTAMP, Type, list_of, map_of

VARIABLES = (
    "object",
    "oldObject",
    "request",
    "params",
    "namespaceObject",
    "variables",
    "authorizer",
    "authorizer.requestResource",
)
"""The names of all variables, in the order in which an evaluation gives their values."""
BOOLEAN, TEXT, TEXT_OR_NULL = (BOOL,), (STRING,), (STRING, NULL)
"""The results that conditions, messages and audit annotations may have."""
_VARIABLES_TYPE = "kubernetes.variables"
_AUTHORIZER = Type("struct", "kubernetes.authorization.Authorizer")
_RESOURCE_CHECK = Type("struct", "kubernetes.authorization.ResourceCheck")
_RUNTIME_NAMES = {
    "null_type": "null_type",
    "duration": "google.protobuf.Duration",
    "timestamp": "google.protobuf.Timestamp",
    "any": "any",
}
_COMPOSED = frozenset(("bool", "bytes", "double", "duration", "int", "null_type", "string", "timestamp", "uint"))


class CompilationError(Exception):
    """An expression that does not compile, or has a result of another type. The text is Kubernetes'."""


class ProgramError(CompilationError):
    """An expression of this type, of which no program can be made, as a constant in it has no value. Kubernetes calls this an
    internal error."""

    def __init__(self, text: str, found: Type) -> None:
        super().__init__(text)
        self.type = found


def _struct(name: str, fields: Mapping[str, Declared]) -> Declared:
    return Declared(Type("struct", f"kubernetes.{name}"), fields=dict(fields))


_TEXT = Declared(STRING)
_TEXTS = Declared(list_of(STRING), items=_TEXT)
_TEXT_MAP = Declared(map_of(STRING, STRING), items=_TEXT)
_TIME = Declared(TIMESTAMP)
_KIND = _struct("GroupVersionKind", dict.fromkeys(("group", "version", "kind"), _TEXT))
_RESOURCE = _struct("GroupVersionResource", dict.fromkeys(("group", "version", "resource"), _TEXT))
_USER = _struct(
    "UserInfo",
    {
        "username": _TEXT,
        "uid": _TEXT,
        "groups": _TEXTS,
        "extra": Declared(map_of(STRING, list_of(STRING)), items=_TEXTS),
    },
)
REQUEST = _struct(
    "AdmissionRequest",
    {
        "kind": _KIND,
        "resource": _RESOURCE,
        "subResource": _TEXT,
        "requestKind": _KIND,
        "requestResource": _RESOURCE,
        "requestSubResource": _TEXT,
        "name": _TEXT,
        "namespace": _TEXT,
        "operation": _TEXT,
        "userInfo": _USER,
        "dryRun": Declared(BOOL),
        "options": Declared(DYN),
    },
)
_CONDITION = _struct(
    "NamespaceCondition", dict.fromkeys(("status", "type", "message", "reason"), _TEXT) | {"lastTransitionTime": _TIME}
)
_NAMESPACE_METADATA = _struct(
    "NamespaceMetadata",
    # It is `UID` in Kubernetes, too.
    dict.fromkeys(("name", "generateName", "namespace", "UID", "resourceVersion"), _TEXT)
    | {"labels": _TEXT_MAP, "annotations": _TEXT_MAP, "finalizers": _TEXTS}
    | {"creationTimestamp": _TIME, "deletionTimestamp": _TIME}
    | {"deletionGracePeriodSeconds": Declared(INT), "generation": Declared(INT)},
)
_NAMESPACE_SPEC = _struct("NamespaceSpec", {"finalizers": _TEXTS})
_NAMESPACE_STATUS = _struct(
    "NamespaceStatus", {"conditions": Declared(list_of(_CONDITION.type), items=_CONDITION), "phase": _TEXT}
)
NAMESPACE = _struct("Namespace", {"metadata": _NAMESPACE_METADATA, "spec": _NAMESPACE_SPEC, "status": _NAMESPACE_STATUS})
_STRUCTS: dict[str, Declared] = {
    each.type.name: each
    for each in (
        _KIND,
        _RESOURCE,
        _USER,
        REQUEST,
        _CONDITION,
        _NAMESPACE_METADATA,
        _NAMESPACE_SPEC,
        _NAMESPACE_STATUS,
        NAMESPACE,
    )
}


class Environment:
    """Checks the expressions of one policy, or of one webhook.

    `has_params`: the policy has a paramKind. `composes`: `variables` can be named. `object_type` and `params_type` are given
    where the types of a policy are checked, with the object types that they name in `structs`.
    """

    def __init__(
        self,
        *,
        has_params: bool = False,
        composes: bool = False,
        object_type: Type = DYN,
        params_type: Type = DYN,
        structs: Mapping[str, Declared] | None = None,
        request_resource: bool = True,
    ) -> None:
        self._composed: dict[str, Declared] = {}
        self._structs = {**_STRUCTS, **(structs or {})}
        self._types: dict[str, Type] = {
            "object": object_type,
            "oldObject": object_type,
            "namespaceObject": NAMESPACE.type,
            "request": REQUEST.type,
        }
        if has_params:
            self._types["params"] = params_type
        if composes:
            self._types["variables"] = Type("struct", _VARIABLES_TYPE)
            self._structs[_VARIABLES_TYPE] = Declared(self._types["variables"], fields=self._composed)
        self._authorizer = {"authorizer": _AUTHORIZER}
        if request_resource:
            self._authorizer["authorizer.requestResource"] = _RESOURCE_CHECK

    def add_variable(self, name: str, text: str) -> None:
        """Adds a variable, which later expressions may use: as dyn where its expression does not compile. Raises
        CompilationError then."""
        found = DYN
        try:
            found = _declared(self.type_of(text))
        finally:
            # Its own expression does not know it.
            self._composed[name] = Declared(found)

    def type_of(self, text: str, *, authorizer: bool = True, patch_types: bool = False) -> Type:
        """The type of an expression. `authorizer`: it may use the authorizer. `patch_types`: it is a mutation, and may construct
        objects and JSON patches. Raises CompilationError, whose text is that of the compiler alone."""
        types = self._types | self._authorizer if authorizer else self._types
        return compiled_type(text, types, self._structs, patch_types=patch_types)

    def require(self, text: str, results: Sequence[Type] = (), *, authorizer: bool = True, patch_types: bool = False) -> None:
        """Raises CompilationError where an expression does not compile, or its type is none of `results`, if some are given."""
        try:
            found = self.type_of(text, authorizer=authorizer, patch_types=patch_types)
        except ProgramError as error:
            require_type(error.type, results)
            raise
        except CompilationError as error:
            raise CompilationError(f"compilation failed: {error}") from None
        require_type(found, results)


def compiled_type(
    text: str, variables: Mapping[str, Type], structs: Mapping[str, Declared], *, patch_types: bool = False
) -> Type:
    """The type of an expression over variables with given types. `patch_types`: it may construct objects and JSON patches.
    Raises CompilationError."""
    try:
        checked = check(text, variables, structs, patch_types=patch_types)
    except CelError as error:
        raise CompilationError(str(error)) from None
    try:
        Compiled(checked.tree.root, tuple(variables), patch_types=patch_types)
    except CelError as error:
        raise ProgramError(f"program instantiation failed: {error}", checked.type) from None
    return checked.type


def require_type(found: Type, results: Sequence[Type]) -> None:
    """Raises CompilationError where a type is none of `results`."""
    if not results or found in results:
        return
    if len(results) == 1:
        raise CompilationError(f"must evaluate to {type_text(results[0])} but got {type_text(found)}")
    wanted = " ".join(type_text(each) for each in results)
    raise CompilationError(f"must evaluate to one of [{wanted}] but got {type_text(found)}")


def type_text(found: Type) -> str:
    """A type as cel-go prints it outside of its checker."""
    if found.kind == "param":
        return f"<{found.name}>"
    word = _RUNTIME_NAMES.get(found.kind) or found.name or found.kind
    return f"{word}({', '.join(map(type_text, found.parameters))})" if found.parameters else word


def _declared(found: Type) -> Type:
    """The type that a variable has in other expressions: objects and what Kubernetes adds to CEL are dyn there."""
    if found.kind == "list":
        return list_of(_declared(found.parameters[0]))
    if found.kind == "map":
        return map_of(_declared(found.parameters[0]), _declared(found.parameters[1]))
    return found if found.kind in _COMPOSED else DYN
