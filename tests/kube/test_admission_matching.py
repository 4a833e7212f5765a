"""Rules, scopes, equivalent versions and selectors of webhooks and policies."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.admission_matching import (
    AdmissionRequest,
    GroupVersionKind,
    GroupVersionResource,
    MatchedResource,
    Matcher,
    NamespaceMissing,
    equivalents_of,
    is_exempt,
)
from tenantry.kube.objects import Object
from tenantry.kube.types import BUILTINS, events, namespace, reviews, webhook_configuration
from tests.support.webhooks import rule

V1 = MatchedResource(GroupVersionResource("x.example", "v1", "things"), GroupVersionKind("x.example", "v1", "Thing"))
V2 = MatchedResource(GroupVersionResource("x.example", "v2", "things"), GroupVersionKind("x.example", "v2", "Thing"))
NAMESPACE = MatchedResource(GroupVersionResource("", "v1", "namespaces"), GroupVersionKind("", "v1", "Namespace"))


def request(
    operation: str = "CREATE", subresource: str = "", namespace: str = "default", name: str = "one", of: MatchedResource = V1
) -> AdmissionRequest:
    return AdmissionRequest(operation, of, subresource, namespace, name, (V1, V2))


def things(**fields: Any) -> Object:
    return rule("things", group="x.example") | fields


def no_labels(name: str) -> Object:
    raise AssertionError("no rule needs the labels of a namespace")


@pytest.mark.parametrize(
    ("given", "asked", "matches"),
    [
        ({}, request(), True),
        ({"operations": ["UPDATE"]}, request(), False),
        ({"operations": ["*"]}, request("DELETE"), True),
        ({"apiGroups": ["*"]}, request(), True),
        ({"apiGroups": ["y.example"]}, request(), False),
        ({"apiVersions": ["*"]}, request(), True),
        ({"resources": ["*"]}, request(), True),
        ({"resources": ["*"]}, request(subresource="status"), False),
        ({"resources": ["*/*"]}, request(subresource="status"), True),
        ({"resources": ["*/*"]}, request(), True),
        ({"resources": ["things/*"]}, request(), True),
        ({"resources": ["*/status"]}, request(subresource="status"), True),
        ({"resources": ["things/scale"]}, request(subresource="status"), False),
        ({"scope": "Namespaced"}, request(), True),
        ({"scope": "Namespaced"}, request(namespace=""), False),
        ({"scope": "Cluster"}, request(namespace=""), True),
        ({"scope": "Cluster"}, request(), False),
        ({"resourceNames": ["one", "two"]}, request(), True),
        ({"resourceNames": ["two"]}, request(), False),
    ],
)
def test_rules(given: Object, asked: AdmissionRequest, matches: bool) -> None:
    assert (Matcher([things(**given)]).match(asked, {}, None, no_labels) is not None) == matches


def test_a_namespace_is_cluster_scoped_and_has_its_own_labels() -> None:
    asked = AdmissionRequest("CREATE", NAMESPACE, "", "one", "one", (NAMESPACE,))
    namespaces = rule("namespaces")
    assert Matcher([namespaces | {"scope": "Cluster"}]).match(asked, {}, None, no_labels) == NAMESPACE
    assert Matcher([namespaces | {"scope": "Namespaced"}]).match(asked, {}, None, no_labels) is None
    red = Matcher([namespaces], namespace_selector={"matchLabels": {"color": "red"}})
    assert red.match(asked, {"metadata": {"labels": {"color": "red"}}}, None, no_labels) == NAMESPACE
    deletion = asked._replace(operation="DELETE")
    assert red.match(deletion, None, {}, lambda name: {"color": name}) is None
    assert red.match(deletion, None, {}, lambda name: {"color": "red"}) == NAMESPACE


def test_an_equivalent_version_is_asked_in_its_own_kind() -> None:
    rules = [things(apiVersions=["v2"])]
    assert Matcher(rules).match(request(), {}, None, no_labels) == V2
    assert Matcher(rules, match_policy="Exact").match(request(), {}, None, no_labels) is None
    assert Matcher([*rules, things(apiVersions=["v1"])]).match(request(), {}, None, no_labels) == V1


def test_selectors_look_at_the_old_object_too() -> None:
    red = {"metadata": {"labels": {"color": "red"}}}
    matcher = Matcher([things()], object_selector={"matchLabels": {"color": "red"}})
    assert matcher.match(request("UPDATE"), {}, red, no_labels) == V1
    assert matcher.match(request("UPDATE"), red, {}, no_labels) == V1
    assert matcher.match(request("UPDATE"), {}, {}, no_labels) is None
    absent = Matcher([things()], object_selector={"matchExpressions": [{"key": "color", "operator": "DoesNotExist"}]})
    assert absent.match(request("DELETE"), None, {}, no_labels) == V1


def test_a_missing_namespace_matters_where_the_rules_match() -> None:
    def missing(name: str) -> Object:
        raise NamespaceMissing(name)

    selector = {"matchLabels": {"color": "red"}}
    with pytest.raises(NamespaceMissing, match="default"):
        Matcher([things()], namespace_selector=selector).match(request(), {}, None, missing)
    assert Matcher([rule("others")], namespace_selector=selector).match(request(), {}, None, missing) is None
    assert Matcher([things()], namespace_selector=selector).match(request(namespace=""), {}, None, missing) == V1


def test_match_resources_exclude_and_match_all_without_rules() -> None:
    excluding = Matcher.of_resources({"excludeResourceRules": [things(resourceNames=["one"])]})
    assert excluding.match(request(), {}, None, no_labels) is None
    assert excluding.match(request(name="two"), {}, None, no_labels) == V1
    assert Matcher.of_resources(None).match(request(), {}, None, no_labels) == V1
    assert Matcher([]).match(request(), {}, None, no_labels) is None


def test_types_that_share_their_storage_are_equivalent() -> None:
    for definition in (events.CORE_EVENTS, events.EVENTS):
        found = [(each.resource.group, each.kind.kind) for each in equivalents_of(definition, "")]
        assert found == [("", "Event"), ("events.k8s.io", "Event")]
    assert [each.resource.version for each in equivalents_of(namespace.DEFINITION, "status")] == ["v1"]
    assert list(equivalents_of(events.EVENTS, "status")) == []


def test_no_webhook_is_asked_about_the_types_that_configure_it_and_about_access_reviews() -> None:
    exempt = {definition.kind for definition in BUILTINS if is_exempt(definition)}
    assert webhook_configuration.MUTATING.kind in exempt and "ValidatingAdmissionPolicyBinding" in exempt
    assert reviews.SUBJECT_ACCESS_REVIEWS.kind in exempt and "Namespace" not in exempt
