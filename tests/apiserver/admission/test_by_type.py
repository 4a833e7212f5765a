"""Plug-ins for single types, and chains of plug-ins: who is asked, in which order, and what a refusal ends."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.apiserver.admission.attributes import CREATE, Review
from tenantry.apiserver.admission.by_type import ByType
from tenantry.apiserver.admission.chain import AdmissionChain
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.user import User
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.status import StatusError
from tenantry.kube.types import config_map, lease


class Noting(Plugin):
    """Notes what it is asked; refuses names that begin with `bad`."""

    def __init__(self, name: str, asked: list[tuple[str, str]]) -> None:
        self._name = name
        self._asked = asked

    def mutate(self, review: Review) -> None:
        self._asked.append((self._name, "mutate"))

    def validate(self, review: Review) -> None:
        self._asked.append((self._name, "validate"))
        if review.name.startswith("bad"):
            raise StatusError(403, "Forbidden", self._name)


def review(definition: ResourceDefinition, name: str = "good") -> Review:
    scope: Any = None
    return Review(
        operation=CREATE,
        scope=scope,
        definition=definition,
        version=definition.versions[definition.storage_version],
        cluster="root",
        namespace="default",
        name=name,
        subresource="",
        user=User("ada", ()),
        object={"metadata": {"name": name}},
        old_object=None,
    )


def test_only_the_plugins_of_a_type_are_asked_in_order() -> None:
    asked: list[tuple[str, str]] = []
    admission = ByType({("", "configmaps"): [Noting("first", asked), Noting("second", asked)]})
    for call in (admission.mutate, admission.validate):
        call(review(lease.DEFINITION))
    assert asked == []
    for call in (admission.mutate, admission.validate):
        call(review(config_map.DEFINITION))
    assert asked == [("first", "mutate"), ("second", "mutate"), ("first", "validate"), ("second", "validate")]


def test_types_of_one_plural_in_two_groups_are_two() -> None:
    asked: list[tuple[str, str]] = []
    ByType({("other.example", "configmaps"): [Noting("other", asked)]}).mutate(review(config_map.DEFINITION))
    assert asked == []


def test_the_first_refusal_ends_a_chain() -> None:
    asked: list[tuple[str, str]] = []
    by_type = ByType({("", "configmaps"): [Noting("second", asked)]})
    chain = AdmissionChain([Noting("first", asked), by_type, Plugin()])
    with pytest.raises(StatusError, match="first"):
        chain.validate(review(config_map.DEFINITION, "bad"))
    assert asked == [("first", "validate")]
    chain.validate(review(config_map.DEFINITION))
    assert asked[1:] == [("first", "validate"), ("second", "validate")]
