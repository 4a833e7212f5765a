"""The controllers of exports and bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenantry.controllers.controller import Controller
from tenantry.tenancy.exports.bind import BindController
from tenantry.tenancy.exports.claims import claims_for
from tenantry.tenancy.exports.consumers import ConsumersController
from tenantry.tenancy.exports.endpoints import EndpointsController, SliceCreator
from tenantry.tenancy.exports.identity import IdentityController
from tenantry.tenancy.exports.index import BindingIndex
from tenantry.tenancy.exports.relabel import RelabelController
from tenantry.tenancy.exports.unbind import UnbindController
from tenantry.tenancy.retained_schemas import RetainedSchemasController

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host


def build(host: Host, *, publish_on_exports: bool = False) -> list[Controller[Any]]:
    """All of them. `publish_on_exports`: fill the deprecated `APIExport.status.virtualWorkspaces`."""
    index = BindingIndex(host)
    return [
        IdentityController(host, publish_on_exports=publish_on_exports),
        SliceCreator(host),
        ConsumersController(host, index),
        EndpointsController(host),
        BindController(host, index),
        UnbindController(host),
        RelabelController(host, claims_for(host), index),
        RetainedSchemasController(host, index),
    ]
