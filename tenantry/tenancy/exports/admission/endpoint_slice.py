"""Admission `apis.kcp.io/APIExportEndpointSlice`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenantry.apiserver.admission.attributes import CREATE, Review
from tenantry.tenancy.exports.admission.api_binding import check_bind
from tenantry.tenancy.exports.admission.refusal import is_main_write

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host


class EndpointSlice:
    """A slice refers to an export that exists and that its creator may bind."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def mutate(self, review: Review) -> None:
        return None

    def validate(self, review: Review) -> None:
        if is_main_write(review) and review.operation == CREATE:
            check_bind(self._host, review, "APIExportEndpointSlice")
