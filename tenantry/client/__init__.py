"""Clients of the gRPC services. `Client` and `SyncClient` locate tenants. See docs/client.md."""

from tenantry.client.aio import Client
from tenantry.client.channels import Credentials
from tenantry.client.errors import ClientError, Closed, InvalidArgument, NoOwner, NotFound, Refused, Unreachable
from tenantry.client.sync import SyncClient
from tenantry.client.tenant_map import Location, Range, Shard, TenantMap

__all__ = [
    "Client",
    "ClientError",
    "Closed",
    "Credentials",
    "InvalidArgument",
    "Location",
    "NoOwner",
    "NotFound",
    "Range",
    "Refused",
    "Shard",
    "SyncClient",
    "TenantMap",
    "Unreachable",
]
