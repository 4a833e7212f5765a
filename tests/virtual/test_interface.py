"""The interface of views has what its version promises."""

from __future__ import annotations

from tenantry.virtual import interface

OF_1_0 = """
    AUTHENTICATED_GROUP OWNER_ANNOTATION READ_VERBS STANDARD_VERBS VERSION AccessChanges Attributes Cache Changed
    ClusterScope ComputedRecord ComputedView CopiedObjects Copy CopyChanged Entry ExportOf Fixture Given GroupResource
    Head Key MayAccess Object Paths Place RangeUrl Record ResourceDefinition Scope Sources Status StatusError TooOld
    User View ViewContext ViewType ViewUrls annotations_of bad_request cluster_of conflict forbidden is_deleting
    labels_of mark_false mark_true name_of namespace_of not_found restricted timestamp too_many_requests unavailable
"""
"""The names of version 1.0: a later 1.x may add some, and removes none."""


def test_no_name_is_removed() -> None:
    assert interface.VERSION.partition(".")[0] == "1"
    assert set(OF_1_0.split()) <= set(interface.__all__)


def test_every_name_is_there_once_and_in_order() -> None:
    assert [name for name in interface.__all__ if not hasattr(interface, name)] == []
    assert len(set(interface.__all__)) == len(interface.__all__)


def test_no_more_names_than_the_version_has() -> None:
    if interface.VERSION == "1.0":
        assert set(interface.__all__) == set(OF_1_0.split()), "a new name takes a new minor version"
