"""Validating admission policies, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.people import Person
from tests.e2e.provider import COWBOYS, GROUP, Provider, cowboy, schema
from tests.support.api import CONFIG_MAPS, Api, Object, config_map
from tests.support.waiting import wait_for

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{ADMISSION}/validatingadmissionpolicies", f"{ADMISSION}/validatingadmissionpolicybindings"


def install(
    place: Api, name: str, validation: Object, *actions: str, resource: str = "configmaps", group: str = "", **spec: Any
) -> None:
    """`spec`: of the policy; its `paramRef` is of the binding."""
    reference = {"paramRef": spec.pop("paramRef")} if "paramRef" in spec else {}
    rule = {"apiGroups": [group], "apiVersions": ["*" if group else "v1"], "operations": ["*"], "resources": [resource]}
    whole: Object = {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}
    for collection, kind, content in (
        (POLICIES, "ValidatingAdmissionPolicy", whole | spec),
        (BINDINGS, "ValidatingAdmissionPolicyBinding", {"policyName": name, "validationActions": list(actions)} | reference),
    ):
        api = "admissionregistration.k8s.io/v1"
        place.create(collection, {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": content})


def test_a_policy_is_in_effect_as_soon_as_it_is_bound(place: Api) -> None:
    short = {"expression": "size(object.metadata.name) < 5", "messageExpression": "object.metadata.name + ' is long'"}
    install(place, "short", short, "Deny", matchConditions=[{"name": "c", "expression": "request.operation == 'CREATE'"}])
    place.create(CONFIG_MAPS, config_map("abcd"))
    refused = place.request("POST", CONFIG_MAPS, config_map("abcde")).expect(422)
    denied = "ValidatingAdmissionPolicy 'short' with binding 'short' denied request: abcde is long"
    assert refused["message"] == f'configmaps "abcde" is forbidden: {denied}'
    assert refused["details"]["causes"] == [{"message": denied}]
    place.patch(f"{BINDINGS}/short", {"spec": {"validationActions": ["Warn"]}})
    place.create(CONFIG_MAPS, config_map("abcde"))
    place.delete(f"{BINDINGS}/short")
    place.create(CONFIG_MAPS, config_map("abcdef"))


def test_what_takes_long_is_decided_too(place: Api) -> None:
    """An evaluation of about 300,000 units, with a question to the authorizer."""
    long = "object.data.all(a, object.data.all(b, object.data.all(c, a + b + c != '')))"
    may = "authorizer.group('').resource('configmaps').namespace('default').check('get').allowed()"
    install(place, "long", {"expression": f"{long} && !{may}", "message": "may read"}, "Deny")
    data = {f"k{number:02}": "v" for number in range(40)}
    refused = place.request("POST", CONFIG_MAPS, config_map("one", data=data)).expect(422)
    assert refused["message"].endswith("denied request: may read")


def test_types_are_checked(place: Api) -> None:
    install(place, "typed", {"expression": "object.data.k > 3"}, "Audit")

    def checked() -> bool:
        return place.get(f"{POLICIES}/typed")["status"].get("observedGeneration") == 1

    wait_for(checked, "the controller has looked at the policy")
    [warning] = place.get(f"{POLICIES}/typed")["status"]["typeChecking"]["expressionWarnings"]
    assert "found no matching overload for '_>_' applied to '(string, int)'" in warning["warning"]


@pytest.mark.views
def test_a_providers_policies_are_for_what_its_consumers_bind(
    root: Api, unique: Callable[[str], str], person: Callable[[], Person]
) -> None:
    provider = Provider.install(root.workspace(unique("provider")), schema(), by=person())
    place = provider.api
    place.create(CONFIG_MAPS, config_map("allowed", data={"intent": "sleep"}))
    install(
        place,
        "quiet",
        {"expression": "object.spec.intent == params.data.intent", "messageExpression": "'only ' + params.data.intent"},
        "Deny",
        resource="cowboys",
        group=GROUP,
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        paramRef={"name": "allowed", "namespace": "default", "parameterNotFoundAction": "Deny"},
    )
    for consumer in [provider.bind(root.workspace(unique("consumer"))) for _ in range(3)]:

        def denied(consumer: Api = consumer) -> bool:
            answer = consumer.request("POST", f"{COWBOYS}?dryRun=All", cowboy("one", "riot"))
            return answer.status == 422 and "denied request: only sleep" in answer.text

        wait_for(denied, "the policy of the provider is in effect")
        consumer.create(COWBOYS, cowboy("one", "sleep"))
