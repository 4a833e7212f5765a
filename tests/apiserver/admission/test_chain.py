"""A chain of admission plugins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tenantry.apiserver.admission.chain import AdmissionChain, PrecededAdmission
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import Review


def about(group: str) -> Review:
    return cast(Review, SimpleNamespace(definition=SimpleNamespace(group=group)))


REVIEW = about("")


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


class OfGroups(NoPlugin):
    def __init__(self, calls: list[str], *groups: str) -> None:
        super().__init__(calls)
        self.groups = groups

    def validate(self, review: Review) -> None:
        self.calls.append(f"of {', '.join(self.groups)}")


def test_a_plugin_is_called_about_the_groups_that_it_names_in_its_place() -> None:
    calls: list[str] = []
    plugins: list[Any] = [OfGroups(calls, "b"), Validating(calls), OfGroups(calls, "a", ""), OfGroups(calls)]
    for charging in (False, True):
        chain = AdmissionChain([], charging=plugins) if charging else AdmissionChain(plugins)
        for group, called in (
            ("", ["validating", "of a, "]),
            ("a", ["validating", "of a, "]),
            ("b", ["of b", "validating"]),
            ("c", ["validating"]),
        ):
            calls.clear()
            chain.validate(about(group))
            assert calls == called
            calls.clear()
            chain.mutate(about(group))
            assert len(calls) == sum(group in each.groups for each in plugins if isinstance(each, OfGroups))


def test_dynamic_admission_is_asked_where_some_is_configured() -> None:
    assert not AdmissionChain([]).configured.mutating(REVIEW)
    assert not AdmissionChain([]).configured.validating(REVIEW)
    configured: Any = object()
    chain = AdmissionChain([], configured=configured)
    assert chain.configured is configured
    assert PrecededAdmission([], chain).configured is configured
