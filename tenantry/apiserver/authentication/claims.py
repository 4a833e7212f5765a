"""Makes a user of the claims of a verified JWT, by the mappings and rules of its issuer's configuration."""

from __future__ import annotations

from typing import Any

from tenantry.apiserver.authentication.authenticator import InvalidToken
from tenantry.apiserver.user import CREDENTIAL_ID_EXTRA, User, make_extra
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.server_configuration.authentication import JwtAuthenticator
from tenantry.kube.server_configuration.authentication_validation import CompiledMappings
from tenantry.kube.server_configuration.expressions import Expression

_JSON_NAMES: dict[type, str] = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_NO_TEXTS = "expression must return a string or a list of strings"


def user_of(configuration: JwtAuthenticator, compiled: CompiledMappings, claims: dict[str, Any], *, limit: int) -> User:
    """The user. `limit`: the most that one expression may cost. Raises InvalidToken, TooCostly."""
    return _Mapping(configuration, compiled, claims, limit).user()


class _Mapping:
    def __init__(self, configuration: JwtAuthenticator, compiled: CompiledMappings, claims: dict[str, Any], limit: int) -> None:
        self._configuration = configuration
        self._compiled = compiled
        self._claims = claims
        self._limit = limit
        self._value = _as_json_of_go(claims) if _has_expressions(compiled) else {}

    def user(self) -> User:
        user = User(self._username(), tuple(self._groups()), self._uid(), make_extra(self._extra()))
        self._check_required()
        for expression, message in self._compiled.claim_rules:
            _check(expression, message, self._run(expression, "claim validation expression"), "claim validation expression")
        for expression, message in self._compiled.user_rules:
            what = "user info validation rule"
            _check(expression, message, self._run(expression, what, _user_value(user)), what)
        return user

    def _run(self, expression: Expression, what: str, value: dict[str, Any] | None = None) -> Any:
        try:
            return expression.run(self._value if value is None else value, self._limit)
        except CelError as error:
            raise InvalidToken(
                f"oidc: error evaluating {what}: expression '{expression.text}' resulted in error: {error}"
            ) from None

    def _text(self, claim: str) -> str:
        """A claim as text. Raises ValueError with Go's text."""
        if claim not in self._claims:
            raise ValueError("claim not present")
        return _unmarshalled(self._claims[claim])

    def _username(self) -> str:
        if (expression := self._compiled.username) is not None:
            found = self._run(expression, "username claim expression")
            if type(found) is not str:
                raise InvalidToken(
                    "oidc: error evaluating username claim expression: username claim expression must return a string"
                )
            if not found:
                raise InvalidToken("oidc: empty username via CEL expression is not allowed")
            return found
        mapping = self._configuration.username
        try:
            name = self._text(mapping.claim)
        except ValueError as error:
            raise InvalidToken(f'oidc: parse username claims "{mapping.claim}": {error}') from None
        if mapping.claim == "email" and "email_verified" in self._claims:
            self._check_email_verified()
        name = (mapping.prefix or "") + name
        if not name:
            raise InvalidToken("oidc: empty username is not allowed")
        return name

    def _check_email_verified(self) -> None:
        verified = self._claims["email_verified"]
        if verified is not None and type(verified) is not bool:
            raise InvalidToken(f"oidc: parse 'email_verified' claim: {_wrong_type(verified, 'bool')}")
        if not verified:
            raise InvalidToken("oidc: email not verified")

    def _groups(self) -> list[str]:
        mapping = self._configuration.groups
        if mapping.claim and mapping.claim in self._claims:
            try:
                return [(mapping.prefix or "") + group for group in _texts(self._claims[mapping.claim])]
            except ValueError as error:
                raise InvalidToken(f'oidc: parse groups claim "{mapping.claim}": {error}') from None
        if (expression := self._compiled.groups) is None:
            return []
        found = _text_list(self._run(expression, "group claim expression"))
        if found is None:
            raise InvalidToken(f"oidc: error evaluating group claim expression: {_NO_TEXTS}")
        return found

    def _uid(self) -> str:
        claim = self._configuration.uid.claim
        if claim:
            try:
                return self._text(claim)
            except ValueError as error:
                raise InvalidToken(f'oidc: parse uid claim "{claim}": {error}') from None
        if (expression := self._compiled.uid) is None:
            return ""
        found = self._run(expression, "uid claim expression")
        if type(found) is not str:
            raise InvalidToken("oidc: error evaluating uid claim expression: uid claim expression must return a string")
        return found

    def _extra(self) -> dict[str, list[str]]:
        extra: dict[str, list[str]] = {}
        token_id = self._claims.get("jti")
        if type(token_id) is str and token_id:
            extra[CREDENTIAL_ID_EXTRA] = [f"JTI={token_id}"]
        for mapping, expression in self._compiled.extra:
            try:
                found = _text_list(expression.run(self._value, self._limit))
            except CelError as error:
                raise InvalidToken(f"expression '{expression.text}' resulted in error: {error}") from None
            if found is None:
                raise InvalidToken(f"oidc: error evaluating extra claim expression: {expression.text}: {_NO_TEXTS}")
            if found:
                extra[mapping.key] = found
        return extra

    def _check_required(self) -> None:
        for rule in self._configuration.claim_rules:
            if not rule.claim:
                continue
            if rule.claim not in self._claims:
                raise InvalidToken(f"oidc: required claim {rule.claim} not present in ID token")
            try:
                found = self._text(rule.claim)
            except ValueError as error:
                raise InvalidToken(f"oidc: parse claim {rule.claim}: {error}") from None
            if found != rule.required_value:
                raise InvalidToken(
                    f"oidc: required claim {rule.claim} value does not match. Got = {found}, want = {rule.required_value}"
                )


def _check(expression: Expression, message: str, result: Any, what: str) -> None:
    if result is True:
        return
    problem = (
        f"validation expression '{expression.text}' failed: {message}"
        if result is False
        else "validation expression must return a boolean"
    )
    raise InvalidToken(f"oidc: error evaluating {what}: {problem}")


def _has_expressions(compiled: CompiledMappings) -> bool:
    return bool(compiled.username or compiled.groups or compiled.uid or compiled.extra or compiled.claim_rules)


def _user_value(user: User) -> dict[str, Any]:
    return {
        "username": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra},
    }


def _as_json_of_go(value: Any) -> Any:
    """The value as Go decodes JSON of no type: all numbers are floats. Raises InvalidToken."""
    try:
        return _floats(value)
    except RecursionError:
        raise InvalidToken("oidc: the claims are nested too deeply") from None


def _floats(value: Any) -> Any:
    if type(value) is dict:
        return {key: _floats(item) for key, item in value.items()}
    if type(value) is list:
        return [_floats(item) for item in value]
    return float(value) if type(value) is int else value


def _unmarshalled(value: Any) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        raise ValueError(_wrong_type(value, "string"))
    return value


def _texts(value: Any) -> list[str]:
    """A list of texts, or one text, or null."""
    if value is None:
        return []
    if type(value) is list and all(item is None or type(item) is str for item in value):
        return [item or "" for item in value]
    return [_unmarshalled(value)]


def _wrong_type(value: Any, wanted: str) -> str:
    return f"json: cannot unmarshal {_JSON_NAMES[type(value)]} into Go value of type {wanted}"


def _text_list(value: Any) -> list[str] | None:
    """The texts in the result of an expression, without empty ones; None where it has others."""
    if value is None:
        return []
    if type(value) is str:
        return [value] if value else []
    if isinstance(value, list) and all(type(item) is str for item in value):
        return [item for item in value if item]
    return None
