"""Makes the views of a process that serves tenants."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.tenancy.wiring import Tenancy
from tenantry.virtual.access_changes import AccessChanges
from tenantry.virtual.builtin_views import builtin_views
from tenantry.virtual.copied_objects import CopiedObjects
from tenantry.virtual.services_resolver import load_views
from tenantry.virtual.view import View, ViewContext


def make_views(tenancy: Tenancy, classes: Iterable[type[View]]) -> dict[str, View]:
    """The views by name: the built-in ones, and one of each of `classes`. Raises ValueError and TypeError as `load_views`."""
    context = ViewContext(
        authorizer=tenancy.authorizer,
        definitions=tenancy.definitions,
        directory=tenancy.directory,
        access_changes=AccessChanges(tenancy.catalog, tenancy.directory, tenancy.local_ranges),
        collections=tenancy.collections,
        copies=CopiedObjects(tenancy.catalog),
        exported=tenancy.apis.exported,
    )
    builtin = builtin_views(
        context, catalog=tenancy.catalog, exports=tenancy.exports, apis=tenancy.apis, replication=tenancy.replication
    )
    return load_views(builtin, context, classes)
