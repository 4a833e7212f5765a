"""The rules of webhook configurations, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.kube.types.webhook_client_validation import parse_url
from tenantry.kube.types.webhook_configuration import MUTATING, VALIDATING
from tests.support.webhooks import rule

SMALLEST = {
    "name": "a.hooks.example",
    "clientConfig": {"url": "https://example.com/x"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}


def errors(change: Object, old: Object | None = None, **more: Any) -> list[str]:
    obj: Object = {"metadata": {"name": "x"}, "webhooks": [SMALLEST | change]}
    before = None if old is None else {"metadata": {"name": "x"}, "webhooks": [SMALLEST | old]}
    return [error.message for error in VALIDATING.strategy.validate(obj, before, "")]


def test_defaults() -> None:
    obj: Object = {"webhooks": [{**SMALLEST, "rules": [rule()], "clientConfig": {"service": {"name": "s", "namespace": "n"}}}]}
    MUTATING.strategy.default(obj)
    (webhook,) = obj["webhooks"]
    assert (webhook["failurePolicy"], webhook["matchPolicy"], webhook["timeoutSeconds"]) == ("Fail", "Equivalent", 10)
    assert (webhook["reinvocationPolicy"], webhook["namespaceSelector"], webhook["objectSelector"]) == ("Never", {}, {})
    assert webhook["rules"][0]["scope"] == "*" and webhook["clientConfig"]["service"]["port"] == 443
    obj = {"webhooks": [dict(SMALLEST)]}
    VALIDATING.strategy.default(obj)
    assert "reinvocationPolicy" not in obj["webhooks"][0]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"name": ""}, ["webhooks[0].name: Required value"]),
        (
            {"name": "a.b"},
            [
                'webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by dots',
            ],
        ),
        ({"sideEffects": None}, ["webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"]),
        (
            {"sideEffects": "Some"},
            ['webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'],
        ),
        (
            {"timeoutSeconds": 31},
            ["webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
        ),
        ({"admissionReviewVersions": ["v2", "v1"]}, []),
        (
            {"admissionReviewVersions": ["v2"]},
            ['webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1'],
        ),
        ({"clientConfig": {}}, ["webhooks[0].clientConfig: Required value: exactly one of url or service is required"]),
        (
            {"clientConfig": {"url": "https://u@example.com/x?a=b"}},
            [
                'webhooks[0].clientConfig.url: Invalid value: "u": user information is not permitted in the URL',
                'webhooks[0].clientConfig.url: Invalid value: "a=b": query parameters are not permitted in the URL',
            ],
        ),
        (
            {"clientConfig": {"service": {"name": "s", "namespace": "n", "path": "/a//b"}}},
            ['webhooks[0].clientConfig.service.path: Invalid value: "/a//b": segment[1] may not be empty'],
        ),
    ],
)
def test_refusals(change: Object, found: list[str]) -> None:
    assert errors(change) == found


def test_what_is_stored_already_may_stay() -> None:
    assert errors({"sideEffects": "Some"}, {"sideEffects": "Some"}) == []
    assert errors({"sideEffects": "Frob"}, {"sideEffects": "Some"}) != []
    assert errors({"admissionReviewVersions": ["v2"]}, {"admissionReviewVersions": ["v3"]}) == []
    wrong = {"matchConditions": [{"name": "x", "expression": "1"}]}
    assert errors(wrong) != [] and errors(wrong, wrong) == []


def test_rules_about_access_reviews_have_no_effect() -> None:
    reviews = rule("subjectaccessreviews,pods", group="authorization.k8s.io")
    obj: Object = {"metadata": {"name": "x"}, "webhooks": [SMALLEST | {"rules": [reviews, rule("*")]}]}
    assert VALIDATING.strategy.warnings(obj, None) == [
        "webhooks[0].rules[0]: subjectaccessreviews.authorization.k8s.io is excluded from admission webhooks; "
        "this rule will have no effect"
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://a b/x", 'invalid character " " in host name'),
        ("https://a:b/x", 'invalid port ":b" after host'),
        ("https://[::1/x", "missing ']' in host"),
        ("https://a/%zz", 'invalid URL escape "%zz"'),
        ("://a", "missing protocol scheme"),
        ("https://a/\n", "net/url: invalid control character in URL"),
    ],
)
def test_urls_that_go_cannot_parse(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^parse ") as raised:
        parse_url(text)
    assert str(raised.value).endswith(why)


def test_a_url_in_its_parts() -> None:
    found = parse_url("HTTPS://[::1]:8443/a%20b?c#d")
    assert found == ("https", "[::1]:8443", None, "/a%20b", "c", "d")
