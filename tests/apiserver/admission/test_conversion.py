"""Objects of a write in the version in which a webhook or a policy is matched."""

from __future__ import annotations

from tenantry.apiserver.admission.conversion import convert, is_converted
from tenantry.kube.admission_matching import MatchedResource, equivalents_of
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.types import BUILTINS


def _types() -> dict[str, ResourceDefinition]:
    return {each.group: each for each in BUILTINS if each.plural == "events"}


def _matched(definition: ResourceDefinition) -> MatchedResource:
    return next(each for each in equivalents_of(definition, "") if each.resource.group == definition.group)


def test_events_are_converted_between_their_groups_and_back() -> None:
    types = _types()
    new, old = types["events.k8s.io"], types[""]
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "note": "text",
        "regarding": {"kind": "Pod"},
    }
    assert is_converted(new, _matched(new), _matched(old))
    seen = convert(event, new, _matched(new), _matched(old))
    assert seen is not None
    assert (seen["apiVersion"], seen["message"], seen["involvedObject"]) == ("v1", "text", {"kind": "Pod"})
    back = convert(seen, new, _matched(old), _matched(new))
    assert back is not None and (back["note"], back["regarding"]) == ("text", {"kind": "Pod"})
