"""Leases of etcd. Their time to live is in whole seconds, at least 1."""

from __future__ import annotations

import math

from tenantry._proto.etcd import rpc_pb2 as rpc
from tenantry.storage.etcd.call_errors import LEASE_GONE_TEXT, refusal
from tenantry.storage.etcd.client import CallRefused, EtcdClient
from tenantry.storage.etcd.methods import LEASE_GRANT, LEASE_KEEP_ALIVE, LEASE_REVOKE, LEASE_TIME_TO_LIVE
from tenantry.storage.store import LeaseGone


async def grant(connection: EtcdClient, ttl_seconds: float) -> int:
    """Creates a lease of at least `ttl_seconds`. Raises Unavailable."""
    try:
        return (await connection.call(LEASE_GRANT, rpc.LeaseGrantRequest(TTL=max(1, math.ceil(ttl_seconds))))).ID
    except CallRefused as refused:
        raise refusal(refused.error) from None


async def keep_alive(connection: EtcdClient, lease: int) -> float:
    """Renews a lease. Returns the seconds left. Raises LeaseGone, Unavailable."""
    try:
        answer = await connection.exchange(LEASE_KEEP_ALIVE, rpc.LeaseKeepAliveRequest(ID=lease))
    except CallRefused as refused:
        raise _failure(refused, lease) from None
    if answer.TTL <= 0:
        raise LeaseGone(lease)
    return float(answer.TTL)


async def seconds_left(connection: EtcdClient, lease: int) -> float:
    """Returns the seconds left without renewing the lease. Raises LeaseGone, Unavailable."""
    try:
        answer = await connection.call(LEASE_TIME_TO_LIVE, rpc.LeaseTimeToLiveRequest(ID=lease))
    except CallRefused as refused:
        raise _failure(refused, lease) from None
    if answer.TTL < 0:
        raise LeaseGone(lease)
    return float(answer.TTL)


async def revoke(connection: EtcdClient, lease: int) -> None:
    """Ends a lease. It is no error if it does not exist. Raises Unavailable."""
    try:
        await connection.call(LEASE_REVOKE, rpc.LeaseRevokeRequest(ID=lease))
    except CallRefused as refused:
        if LEASE_GONE_TEXT not in str(refused):
            raise refusal(refused.error) from None


def _failure(refused: CallRefused, lease: int) -> Exception:
    return LeaseGone(lease) if LEASE_GONE_TEXT in str(refused) else refusal(refused.error)
