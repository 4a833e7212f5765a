"""A chain of admission plugins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tenantry.apiserver.admission.chain import AdmissionChain, PrecededAdmission
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import Review
from tenantry.kube.objects import GroupResource


def of_type(group: str, plural: str) -> Review:
    return cast(Review, SimpleNamespace(definition=SimpleNamespace(group_resource=GroupResource(group, plural))))


REVIEW = of_type("", "configmaps")


class Mutating(Plugin):
    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def mutate(self, review: Review) -> None:
        self.calls.append("mutating")


class Validating(Plugin):
    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def validate(self, review: Review) -> None:
        self.calls.append("validating")


class Inherits(Validating):
    """What a base that is no `Plugin` defines is called, too."""


class NoPlugin:
    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def mutate(self, review: Review) -> None:
        self.calls.append("mutates")

    def validate(self, review: Review) -> None:
        self.calls.append("validates")


def test_every_plugin_is_called_in_order_for_what_it_does() -> None:
    calls: list[str] = []
    plugins: list[Any] = [
        NoPlugin(calls),
        Inherits(calls),
        Mutating(calls),
        Plugin(),
        Validating(calls),
        AdmissionChain([NoPlugin(calls)]),
    ]
    chain = AdmissionChain(plugins)
    chain.mutate(REVIEW)
    assert calls == ["mutates", "mutating", "mutates"]
    calls.clear()
    chain.validate(REVIEW)
    assert calls == ["validates", "validating", "validating", "validates"]


class OfRoles(NoPlugin):
    types = frozenset({GroupResource("rbac.authorization.k8s.io", "roles")})


@pytest.mark.parametrize(
    ("review", "looked"),
    [
        (of_type("rbac.authorization.k8s.io", "roles"), ["mutating", "mutates", "validates", "validating"]),
        (of_type("rbac.authorization.k8s.io", "rolebindings"), ["mutating", "validating"]),
        (of_type("example.com", "roles"), ["mutating", "validating"]),
        (REVIEW, ["mutating", "validating"]),
    ],
)
def test_a_plugin_of_types_is_called_for_these_alone_and_in_its_place(review: Review, looked: list[str]) -> None:
    calls: list[str] = []
    plugins: list[Any] = [Mutating(calls), OfRoles(calls), Validating(calls)]
    for chain in (AdmissionChain(plugins), AdmissionChain([], charging=plugins)):
        calls.clear()
        chain.mutate(review)
        chain.validate(review)
        assert calls == looked


def test_dynamic_admission_is_asked_where_some_is_configured() -> None:
    assert not AdmissionChain([]).configured.mutating(REVIEW)
    assert not AdmissionChain([]).configured.validating(REVIEW)
    configured: Any = object()
    chain = AdmissionChain([], configured=configured)
    assert chain.configured is configured
    assert PrecededAdmission([], chain).configured is configured
