"""The continue token of a list, in upstream's format. It is opaque to clients."""

from __future__ import annotations

import base64
import string
from typing import NamedTuple

import orjson

from tenantry.kube.go_text import quote
from tenantry.kube.status import StatusError, bad_request

_FORMAT = "meta.k8s.io/v1"
_ALPHABET = frozenset(f"{string.ascii_letters}{string.digits}-_")
_JSON_NAMES: dict[type, str] = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_FIELDS = {"v": (str, "string"), "rv": (int, "int64"), "start": (str, "string")}
"""What Go decodes the fields of a token into."""
ANY_VERSION = -1
"""The version in the token of an expired list: the client may continue, but not with the same snapshot."""


class ContinueToken(NamedTuple):
    """`start` is the last place of the page before, relative to what is listed: `<cluster>/<namespace>/<name>` on a wildcard.
    `visible_at` is the version whose visibility the list shows, where it is not `version`: a list at an old version shows what is
    visible when it begins. Upstream's tokens do not have it; 0: none."""

    version: int
    start: str
    visible_at: int = 0

    def encode(self) -> str:
        more = {"visibleAt": self.visible_at} if self.visible_at else {}
        value = orjson.dumps({"v": _FORMAT, "rv": self.version, "start": f"{self.start}\0", **more})
        return base64.urlsafe_b64encode(value).decode().rstrip("=")


def decode(text: str) -> ContinueToken:
    """The token. Raises StatusError 400."""
    wrong = next((at for at, character in enumerate(text) if character not in _ALPHABET), None)
    if wrong is None and len(text) % 4 == 1:
        wrong = len(text) - 1
    if wrong is not None:
        raise _invalid(f"illegal base64 data at input byte {wrong}")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        first = raw[:1].decode("latin-1")
        shown = quote(first)[1:-1].replace("\\x", "\\u00")
        raise _invalid(f"invalid character '{shown}' looking for beginning of value") from None
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise _invalid(f"json: cannot unmarshal {_JSON_NAMES[type(value)]} into Go value of type storage.continueToken")
    for name, (kind, go_type) in _FIELDS.items():
        if (given := value.get(name)) is not None and type(given) is not kind:
            found = _JSON_NAMES[type(given)]
            raise _invalid(f"json: cannot unmarshal {found} into Go struct field continueToken.{name} of type {go_type}")
    if value.get("v") != _FORMAT:
        raise _invalid(f"server does not recognize this encoded version {value.get('v') or ''}")
    version, start = value.get("rv") or 0, value.get("start") or ""
    if version == 0 or version < ANY_VERSION:
        raise _invalid(f"incorrect encoded start resourceVersion (version {_FORMAT})")
    if not start:
        raise _invalid(f"encoded start key empty (version {_FORMAT})")
    visible_at = value.get("visibleAt", 0)
    if not isinstance(visible_at, int) or visible_at < 0:
        raise _invalid(f"incorrect encoded visibility (version {_FORMAT})")
    return ContinueToken(version, start.removesuffix("\0"), visible_at)


def _invalid(why: str) -> StatusError:
    return bad_request(f"invalid continue token: continue key is not valid: {why}")
