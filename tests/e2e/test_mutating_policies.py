"""Mutating admission policies, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.people import Person
from tests.e2e.provider import COWBOYS, GROUP, Provider, cowboy, schema
from tests.support.api import CONFIG_MAPS, Api, Object, config_map
from tests.support.waiting import wait_for

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{ADMISSION}/mutatingadmissionpolicies", f"{ADMISSION}/mutatingadmissionpolicybindings"


def install(place: Api, name: str, expression: str, resource: str = "configmaps", group: str = "", **spec: Any) -> None:
    rule = {"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    whole: Object = {"matchConstraints": {"resourceRules": [rule]}, "reinvocationPolicy": "Never", "mutations": [mutation]}
    place.create(
        POLICIES,
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": whole | spec,
        },
    )
    place.create(
        BINDINGS,
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name},
        },
    )


def test_a_policy_is_in_effect_as_soon_as_it_is_bound(place: Api) -> None:
    install(place, "adds", "Object{data: {'by': namespaceObject.metadata.name}}")
    assert place.create(CONFIG_MAPS, config_map("one"))["data"] == {"by": "default"}
    place.delete(f"{BINDINGS}/adds")
    assert "by" not in (place.create(CONFIG_MAPS, config_map("two")).get("data") or {})


def test_one_that_fails_refuses_the_write(place: Api) -> None:
    install(place, "fails", "Object{zzz: 'x'}")
    refused = place.request("POST", CONFIG_MAPS, config_map("one")).expect(403)
    why = "failed to convert patch object to typed object: .zzz: field not declared in schema"
    assert refused["message"] == f"policy 'fails' with binding 'fails' denied request: error applying patch: {why}"


@pytest.mark.views
def test_a_providers_policies_are_for_what_its_consumers_bind(
    root: Api, unique: Callable[[str], str], person: Callable[[], Person]
) -> None:
    provider = Provider.install(root.workspace(unique("provider")), schema(), by=person())
    place = provider.api
    place.create(CONFIG_MAPS, config_map("brand", data={"brand": "circle-d"}))
    install(
        place,
        "brands",
        "Object{spec: Object.spec{intent: params.data.brand + ' ' + object.spec.intent}}",
        "cowboys",
        GROUP,
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
    )
    reference = {"name": "brand", "namespace": "default", "parameterNotFoundAction": "Deny"}
    place.patch(f"{BINDINGS}/brands", {"spec": {"paramRef": reference}})
    consumers = [provider.bind(root.workspace(unique("consumer"))) for _ in range(3)]
    for consumer in consumers:
        # The provider's is in effect as soon as this shard knows it. That of the consumer is for its own types.
        install(consumer, "own", "Object{spec: Object.spec{intent: 'own'}}", "cowboys", GROUP)
        made: list[Object] = []

        def branded(consumer: Api = consumer, made: list[Object] = made) -> bool:
            made.append(consumer.create(COWBOYS, cowboy(f"c{len(made)}")))
            return bool(made[-1]["spec"]["intent"] == "circle-d ride")

        wait_for(branded, "the provider's policy changes what a consumer makes")
        assert all(each["spec"]["intent"] != "own" for each in made)
        assert "brand" not in (consumer.create(CONFIG_MAPS, config_map("x")).get("data") or {})
