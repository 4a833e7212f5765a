"""Secrets: data with a type. `stringData` is merged into `data` on writes and never stored."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping

from tenantry.kube.codec.json_codec import syntax_error
from tenantry.kube.columns import AGE, NAME, column
from tenantry.kube.definition import ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import IMMUTABLE, invalid, required, too_long
from tenantry.kube.message_tables import kind
from tenantry.kube.objects import Object, annotations_of
from tenantry.kube.status import FieldError
from tenantry.kube.types.config_map import MAX_DATA_BYTES, decoded_size, immutable_errors, key_errors

OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_NAME_ANNOTATION = "kubernetes.io/service-account.name"
TLS = "kubernetes.io/tls"
_PEM = b"-----BEGIN "
_REQUIRED_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    TLS: ("tls.crt", "tls.key"),
}
_JSON_TYPES = frozenset({"kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"})
_BASIC_AUTH, _BASIC_AUTH_KEYS = "kubernetes.io/basic-auth", ("password", "username")

MESSAGE = kind(
    "io.k8s.api.core.v1.Secret",
    """
    5 immutable  *bool
    2 data       map[]bytes
    4 stringData map[]string
    3 type       string(v1.SecretType)
    """,
)


def type_of(secret: Object) -> str:
    return secret.get("type") or ""


class SecretStrategy(Strategy):
    prefix_on_update = "after"

    write_only: Mapping[str, str] = {"stringData": "data"}

    def default(self, obj: Object) -> None:
        obj["type"] = obj.get("type") or OPAQUE
        plain: Mapping[str, str] | None = obj.pop("stringData", None)
        if plain:
            obj["data"] = (obj.get("data") or {}) | {k: b64encode((v or "").encode()).decode() for k, v in plain.items()}

    def prepare_for_create(self, obj: Object) -> None:
        self.default(obj)

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        self.default(obj)

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        data: Mapping[str, str] = obj.get("data") or {}
        errors = key_errors("data", data)
        if sum(map(decoded_size, data.values())) > MAX_DATA_BYTES:
            errors.append(too_long("data", MAX_DATA_BYTES))
        errors += self._type_errors(obj, data)
        if old is not None:
            if old.get("immutable"):
                errors += immutable_errors(obj, old, "data")
            if type_of(obj) != type_of(old):
                errors.append(invalid("type", type_of(obj), IMMUTABLE))
        return errors

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        data = obj.get("data") or {}
        if type_of(obj) != TLS:
            return []
        for key, what in (("tls.crt", "certificate"), ("tls.key", "key")):
            if _PEM not in b64decode(data.get(key) or ""):
                return [f"tls: failed to find any PEM data in {what} input"]
        return []

    @staticmethod
    def _type_errors(obj: Object, data: Mapping[str, str]) -> list[FieldError]:
        of = type_of(obj)
        if of == SERVICE_ACCOUNT_TOKEN and not annotations_of(obj).get(SERVICE_ACCOUNT_NAME_ANNOTATION):
            return [required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME_ANNOTATION}]")]
        if of == _BASIC_AUTH and not any(key in data for key in _BASIC_AUTH_KEYS):
            return [required(f"data[{key}]") for key in _BASIC_AUTH_KEYS]
        errors = []
        for key in _REQUIRED_KEYS.get(of, ()):
            if key not in data:
                errors.append(required(f"data[{key}]"))
            elif of in _JSON_TYPES and (problem := syntax_error(b64decode(data[key]))):
                errors.append(invalid(f"data[{key}]", "<secret contents redacted>", problem))
        return errors


DEFINITION = ResourceDefinition(
    group="",
    plural="secrets",
    singular="secret",
    kind="Secret",
    list_kind="SecretList",
    namespaced=True,
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(
                NAME,
                column(
                    "Type",
                    "Used to facilitate programmatic handling of secret data. More info: "
                    "https://kubernetes.io/docs/concepts/configuration/secret/#secret-types",
                    type_of,
                ),
                column(
                    "Data",
                    "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'. The "
                    "serialized form of the secret data is a base64 encoded string, representing the arbitrary (possibly "
                    "non-string) data value here. Described in https://tools.ietf.org/html/rfc4648#section-4",
                    lambda obj: len(obj.get("data") or ()),
                ),
                AGE,
            ),
            selectable={"type": type_of},
        )
    },
    storage_version="v1",
    strategy=SecretStrategy(),
)
