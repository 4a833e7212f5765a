"""All that a package with views of its own imports of tenantry. docs/virtual-workspaces.md shows how to write one.

`VERSION` is the version of this module, apart from that of tenantry. Within a major version, names stay, and a class that works
keeps working: methods get new parameters only with defaults, and what an overridden method is asked stays. A minor version adds
names. A package says which version it needs in the attribute `interface` of its classes, and a shard that has another major
version, or an older minor one, does not start.
"""

from __future__ import annotations

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.user import AUTHENTICATED_GROUP, User
from tenantry.apiserver.visibility import Changed
from tenantry.base.cache import Cache
from tenantry.kube.definition import STANDARD_VERBS, ResourceDefinition
from tenantry.kube.objects import (
    GroupResource,
    Object,
    annotations_of,
    cluster_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    timestamp,
)
from tenantry.kube.status import (
    StatusError,
    bad_request,
    conflict,
    forbidden,
    not_found,
    too_many_requests,
    unavailable,
)
from tenantry.placement.catalog import Entry
from tenantry.storage.keys import Key
from tenantry.storage.range import TooOld
from tenantry.storage.record import Head, Record
from tenantry.tenancy.authorization.cluster_authorizer import MayAccess
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.computed.sources import Sources
from tenantry.tenancy.exports.conditions import mark_false, mark_true
from tenantry.tenancy.types.view_type import Copy, ExportOf, RangeUrl, Status, ViewType, ViewUrls
from tenantry.tenancy.well_known import OWNER_ANNOTATION
from tenantry.virtual.access_changes import AccessChanges
from tenantry.virtual.computed.computed_view import ComputedView
from tenantry.virtual.copied_objects import CopiedObjects, CopyChanged
from tenantry.virtual.fixture import Fixture, Given
from tenantry.virtual.installed_views import VERSION
from tenantry.virtual.restricted_definitions import restricted
from tenantry.virtual.view import READ_VERBS, Paths, Place, View, ViewContext

__all__ = [
    "AUTHENTICATED_GROUP",
    "OWNER_ANNOTATION",
    "READ_VERBS",
    "STANDARD_VERBS",
    "VERSION",
    "AccessChanges",
    "Attributes",
    "Cache",
    "Changed",
    "ClusterScope",
    "ComputedRecord",
    "ComputedView",
    "CopiedObjects",
    "Copy",
    "CopyChanged",
    "Entry",
    "ExportOf",
    "Fixture",
    "Given",
    "GroupResource",
    "Head",
    "Key",
    "MayAccess",
    "Object",
    "Paths",
    "Place",
    "RangeUrl",
    "Record",
    "ResourceDefinition",
    "Scope",
    "Sources",
    "Status",
    "StatusError",
    "TooOld",
    "User",
    "View",
    "ViewContext",
    "ViewType",
    "ViewUrls",
    "annotations_of",
    "bad_request",
    "cluster_of",
    "conflict",
    "forbidden",
    "is_deleting",
    "labels_of",
    "mark_false",
    "mark_true",
    "name_of",
    "namespace_of",
    "not_found",
    "restricted",
    "timestamp",
    "too_many_requests",
    "unavailable",
]
