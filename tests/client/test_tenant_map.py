"""The map in a client's memory."""

from __future__ import annotations

import pytest

from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb
from tenantry.client.tenant_map import Gap, whole


def test_a_gap_is_noticed() -> None:
    known = whole(pb.MapUpdate(full=True, version=5, cell=1))
    assert known.applied(pb.MapUpdate(from_version=5, version=9, cell=1)).version == 9
    for wrong in (pb.MapUpdate(from_version=4, version=9, cell=1), pb.MapUpdate(from_version=5, version=9, cell=2)):
        with pytest.raises(Gap):
            known.applied(wrong)
