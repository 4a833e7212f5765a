"""Followers of the map in Python, for machines without Go.

`python -m benchmarks.map_followers … follow COUNT` has the arguments and the output of `tests/clients/resolve … follow COUNT`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import grpc

from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2_grpc as stubs
from tenantry.client import Credentials
from tenantry.client.tenant_map import whole


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.map_followers", description=__doc__)
    for name in ("address", "ca", "cert", "key"):
        parser.add_argument(f"-{name}")
    parser.add_argument("what", choices=["follow"])
    parser.add_argument("count", type=int)
    options = parser.parse_args()
    asyncio.run(_follow(options.address, Credentials.read(options.ca, options.cert, options.key), options.count))
    return 0


async def _follow(address: str, who: Credentials, count: int) -> None:
    arrived: dict[int, list[float]] = {}
    ready = 0

    async def client(stub: Any) -> None:
        nonlocal ready
        call = stub.WatchMap(pb.WatchMapRequest())
        known = whole(await call.read())
        ready += 1
        if ready == count:
            print(json.dumps({"ready": count}), flush=True)
        while (update := await call.read()) is not grpc.aio.EOF:
            known = known.applied(update)
            if update.ranges:
                moments = arrived.setdefault(known.version, [])
                moments.append(time.time())
                if len(moments) == count:
                    print(json.dumps({"version": known.version, "moments": arrived.pop(known.version)}), flush=True)

    tls = grpc.ssl_channel_credentials(who.ca, who.key, who.certificate)
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)]
    channels = [grpc.aio.secure_channel(address, tls, options) for _ in range(count)]
    await asyncio.gather(*(client(stubs.GatewayStub(channel)) for channel in channels))  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    sys.exit(main())
