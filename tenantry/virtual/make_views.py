"""Makes the views of a process that serves tenants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tenantry.apiserver.hub import Hubs
from tenantry.storage.cell import Cell
from tenantry.tenancy.wiring import Tenancy
from tenantry.virtual.access_changes import AccessChanges
from tenantry.virtual.builtin_views import builtin_views
from tenantry.virtual.computed.collections import Collections
from tenantry.virtual.copied_objects import CopiedObjects
from tenantry.virtual.services_resolver import load_views
from tenantry.virtual.view import View, ViewContext


class Views(NamedTuple):
    """All installed views, by name, and the objects of those that are computed."""

    named: dict[str, View]
    collections: Collections


def make_views(tenancy: Tenancy, cell: Cell, hubs: Hubs, classes: Iterable[type[View]]) -> Views:
    """`cell`, `hubs`: those of `tenancy`. `classes`: of views beside the built-in ones. Raises ValueError and
    TypeError as `load_views`."""
    collections = Collections(cell=cell, catalog=tenancy.catalog, hubs=hubs, local_ranges=tenancy.local_ranges)
    context = ViewContext(
        authorizer=tenancy.authorizer,
        definitions=tenancy.definitions,
        directory=tenancy.directory,
        access_changes=AccessChanges(tenancy.catalog, tenancy.directory, tenancy.local_ranges),
        collections=collections,
        copies=CopiedObjects(tenancy.catalog),
        exported=tenancy.apis.exported,
    )
    builtin = builtin_views(context, catalog=tenancy.catalog, exports=tenancy.exports, apis=tenancy.apis)
    return Views(load_views(builtin, context, classes), collections)
