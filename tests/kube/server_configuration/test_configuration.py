"""Configuration files: what kube-apiserver says of wrong ones, and what right ones mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.server_configuration import (
    authentication,
    authentication_validation,
    authorization,
    authorization_validation,
    go_durations,
)
from tenantry.kube.server_configuration.authentication import Anonymous, ClaimRule, Mapping
from tenantry.kube.server_configuration.decoding import BYTES_MAX, ConfigurationError, aggregate
from tenantry.kube.server_configuration.expressions import Expression, TooCostly, unescape

REFUSED: dict[str, Any] = json.loads((Path(__file__).parents[2] / "cases" / "configuration" / "refused.json").read_text())
"""Files, and what kube-apiserver said of them."""
HEAD = "apiVersion: apiserver.config.k8s.io/{}\nkind: {}\n"
PARSER_ONLY = "mismatched input '<EOF>' expecting {"
"""How the list of what the parser expects goes on is its own business."""


def file_problem(path: str) -> str:
    if path == "/tmp":
        return "must be a regular file"
    return f"error loading file: stat {path}: no such file or directory" if path == "/nonexistent" else ""


def said_of_authentication(content: str) -> str:
    try:
        return aggregate(authentication_validation.validate(authentication.read(content.encode()), ()))
    except ConfigurationError as error:
        return str(error)


def said_of_authorization(content: str) -> str:
    try:
        configuration = authorization.read(content.encode())
        errors = authorization_validation.validate(configuration, file_problem)
        if not errors:
            authorization_validation.check_names(configuration)
        return aggregate(errors)
    except ConfigurationError as error:
        return str(error)


def without_expected(text: str) -> str:
    before, found, after = text.partition(PARSER_ONLY)
    return before + found + after.partition("}")[2]


@pytest.mark.parametrize("case", REFUSED["authentication"])
def test_refused_authentication_configurations(case: dict[str, str]) -> None:
    assert without_expected(said_of_authentication(case["file"])) == without_expected(case["error"])


@pytest.mark.parametrize("case", REFUSED["authorization"])
def test_refused_authorization_configurations(case: dict[str, str]) -> None:
    found = said_of_authorization(case["file"])
    # What kube-apiserver has in a cluster, and this server has not.
    assert (
        found.replace(
            ', authorizers[11].connectionInfo.type: Unsupported value: "InClusterConfig": supported values: "KubeConfigFile"', ""
        )
        == case["error"]
    )


@pytest.mark.parametrize("version", ["v1alpha1", "v1beta1", "v1"])
def test_an_authentication_configuration(version: str) -> None:
    content = (
        HEAD.format(version, "AuthenticationConfiguration")
        + """
jwt:
- issuer: {url: https://a.example, audiences: [x, z], audienceMatchPolicy: MatchAny, discoveryURL: https://b.example/d}
  claimValidationRules: [{claim: hd, requiredValue: z}, {expression: claims.x == 'y', message: never}]
  claimMappings:
    username: {claim: sub, prefix: ""}
    groups: {expression: claims.groups}
    uid: {claim: uid}
    extra: [{key: a.io/b, valueExpression: claims.b}]
  userValidationRules: [{expression: user.username != '', message: empty}]
anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}]}
"""
    )
    found = authentication.read(content.encode())
    assert authentication_validation.validate(found, ["https://kcp.default.svc"]) == []
    assert found.anonymous == Anonymous(enabled=True, paths=("/livez", "/readyz"))
    (jwt,) = found.jwt
    assert (jwt.issuer.discovery_url, jwt.issuer.audiences) == ("https://b.example/d", ("x", "z"))
    assert jwt.claim_rules[0] == ClaimRule(claim="hd", required_value="z")
    assert (jwt.username, jwt.groups) == (Mapping(claim="sub", prefix=""), Mapping(expression="claims.groups"))
    reserved = authentication_validation.validate(found, ["https://a.example"])
    assert aggregate(reserved) == (
        'jwt[0].issuer.url: Invalid value: "https://a.example": URL must not overlap with disallowed issuers: [https://a.example]'
    )


def test_too_many_issuers_and_too_large_files() -> None:
    jwt = "jwt:\n" + "- {}\n" * 65
    content = HEAD.format("v1", "AuthenticationConfiguration") + jwt
    assert said_of_authentication(content) == "jwt: Too many: 65: must have at most 64 items"
    assert "cannot unmarshal number" in said_of_authentication(
        HEAD.format("v1", "AuthenticationConfiguration") + f"jwt: {1 << 80}"
    )
    assert said_of_authentication("#" * (BYTES_MAX + 1)) == f"the file has more than {BYTES_MAX} bytes"


def test_defaults_of_an_authorization_configuration() -> None:
    content = (
        HEAD.format("v1", "AuthorizationConfiguration")
        + """
authorizers:
- type: Webhook
  name: w
  webhook:
    timeout: 1.5s
    cacheUnauthorizedRequests: false
    subjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: /x}
- {type: RBAC, name: rbac}
"""
    )
    found = authorization.read(content.encode())
    webhook = found.authorizers[0].webhook
    assert webhook is not None
    second = go_durations.SECOND
    assert (webhook.timeout, webhook.authorized_ttl, webhook.unauthorized_ttl) == (1.5 * second, 300 * second, 30 * second)
    assert (webhook.caches_authorized, webhook.caches_unauthorized) == (True, False)
    assert found.authorizers[1].webhook is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("90m", "1h30m0s"),
        ("1.5s", "1.5s"),
        ("100ms", "100ms"),
        ("0", "0s"),
        ("-2m", "-2m0s"),
        ("1500us", "1.5ms"),
        ("3ns", "3ns"),
    ],
)
def test_go_durations(text: str, written: str) -> None:
    assert go_durations.written(go_durations.parsed(text)) == written


def test_a_wrong_duration() -> None:
    with pytest.raises(ValueError, match='time: invalid duration "abc"'):
        go_durations.parsed("abc")


@pytest.mark.parametrize(
    ("escaped", "name"),
    [
        ("a__dot__b", "a.b"),
        ("a__dash__b__slash__c", "a-b/c"),
        ("a__underscores__b", "a__b"),
        ("__namespace__", "namespace"),
        ("plain_name", "plain_name"),
    ],
)
def test_escaped_names(escaped: str, name: str) -> None:
    assert unescape(escaped) == name


def test_match_conditions_read_the_whole_spec() -> None:
    condition = authorization_validation.condition(
        "has(request.resourceAttributes) && request.resourceAttributes.namespace == 'a' && 'dev' in request.groups "
        "&& request.extra['example.com/x'][0] == 'y' && request.resourceAttributes.?labelSelector.hasValue() == false"
    )
    spec = {"user": "u", "groups": ["dev"], "extra": {"example.com/x": ["y"]}, "resourceAttributes": {"namespace": "a"}}
    assert condition.run(authorization_validation.request_value(spec)) is True
    path = authorization_validation.request_value({"user": "u", "nonResourceAttributes": {"path": "/x", "verb": "get"}})
    assert condition.run(path) is False
    with pytest.raises(CelError, match="no such key: resourceAttributes"):
        authorization_validation.condition("request.resourceAttributes.verb == 'get'").run(path)


def test_an_expression_ends_at_its_limit() -> None:
    rule = Expression("dyn(claims.l).map(a, a).size() > 0", authentication_validation.CLAIMS)
    assert rule.run({"l": [1.0]}) is True
    with pytest.raises(TooCostly):
        rule.run({"l": [1.0] * 1000}, limit=100)


def test_the_examples_of_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "authentication.md").read_text()
    blocks = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    examples = [block for block in blocks if block.startswith("apiVersion: apiserver.config.k8s.io/")]
    assert len(examples) == 2
    said = {said_of_authentication(text) for text in examples if "kind: AuthenticationConfiguration" in text}
    said |= {said_of_authorization(text) for text in examples if "kind: AuthorizationConfiguration" in text}
    assert said == {"[]"}
