"""The methods of etcd's gRPC API, typed. Their paths are from etcd's `rpc.proto`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from tenantry._proto.etcd import rpc_pb2 as rpc

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class Method(Generic[Request, Response]):
    """A method of gRPC, unary or bidirectional streaming."""

    def __init__(self, path: str, request: type[Request], response: type[Response]) -> None:
        self.path = f"/etcdserverpb.{path}"
        self.serialize: Callable[[Any], bytes] = request.SerializeToString
        self.parse: Callable[[bytes], Any] = response.FromString


RANGE = Method("KV/Range", rpc.RangeRequest, rpc.RangeResponse)
TXN = Method("KV/Txn", rpc.TxnRequest, rpc.TxnResponse)
COMPACT = Method("KV/Compact", rpc.CompactionRequest, rpc.CompactionResponse)
WATCH = Method("Watch/Watch", rpc.WatchRequest, rpc.WatchResponse)
LEASE_GRANT = Method("Lease/LeaseGrant", rpc.LeaseGrantRequest, rpc.LeaseGrantResponse)
LEASE_REVOKE = Method("Lease/LeaseRevoke", rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse)
LEASE_KEEP_ALIVE = Method("Lease/LeaseKeepAlive", rpc.LeaseKeepAliveRequest, rpc.LeaseKeepAliveResponse)
LEASE_TIME_TO_LIVE = Method("Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest, rpc.LeaseTimeToLiveResponse)
STATUS = Method("Maintenance/Status", rpc.StatusRequest, rpc.StatusResponse)
AUTHENTICATE = Method("Auth/Authenticate", rpc.AuthenticateRequest, rpc.AuthenticateResponse)
