"""Service account issuer discovery (OpenID Connect Discovery 1.0): where other systems find the keys for our tokens."""

from __future__ import annotations

from typing import Protocol

import orjson

from tenantry.apiserver.endpoints.plain import method_not_allowed, page_not_found
from tenantry.apiserver.request import Request
from tenantry.http.messages import Response
from tenantry.kube.status import StatusError

CONFIGURATION_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"
KEY_SET = "application/jwk-set+json"


class Issuer(Protocol):
    """The part of `authentication.service_account.TokenIssuer` that this endpoint needs."""

    issuer: str

    def key_set(self) -> dict[str, object]: ...


class IssuerEndpoint:
    """`external_url` is the address of the server that clients see, without a trailing slash; the keys are found below it."""

    def __init__(self, issuer: Issuer, external_url: str) -> None:
        self._configuration = orjson.dumps(
            {
                "issuer": issuer.issuer,
                "jwks_uri": external_url + KEYS_PATH,
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )
        self._keys = orjson.dumps(issuer.key_set())

    def serve(self, request: Request, path: str) -> Response:
        # Published OpenAPI documents had a slash at the end once (upstream).
        path = path.removesuffix("/")
        if path in (CONFIGURATION_PATH, KEYS_PATH) and request.method != "GET":
            raise method_not_allowed()
        if path == CONFIGURATION_PATH:
            return Response(200, self._configuration, headers={"Cache-Control": "public, max-age=3600"})
        if path != KEYS_PATH:
            return page_not_found()
        accept = request.header("accept")
        if accept and "*/*" not in accept and KEY_SET not in accept and "application/*" not in accept:
            raise StatusError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {KEY_SET}", details={})
        return Response(200, self._keys, KEY_SET, {"Cache-Control": "public, max-age=3600"})
