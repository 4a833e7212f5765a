"""Keys of the store. Cluster first, so that a range is one contiguous interval and a tenant is one prefix.

/objects/<cluster>/<group|core>/<resource>[:<identity>]/<namespace|->/<name>
/catalog/<group>/<resource>/<cluster>/<name>
/ranges/<name>  /fences/<name>  /ranges-opened
/sessions/<shard uid>  /sessions/<shard uid>/drain  /loads/<shard uid>  /journal/<shard uid>
/reach/<uid of a shard or gateway>
/views/names/<view>  /views/processes/<uid>  /readmark
/election/<service>  /compaction
"""

from __future__ import annotations

from sys import intern
from typing import NamedTuple

OBJECTS = "/objects/"
CATALOG = "/catalog/"
RANGES = "/ranges/"
RANGES_OPENED = "/ranges-opened"
FENCES = "/fences/"
SESSIONS = "/sessions/"
LOADS = "/loads/"
REACH = "/reach/"
JOURNAL = "/journal/"
ELECTION = "/election/"
COMPACTION = "/compaction"
VIEWS = "/views/"
VIEW_NAMES = f"{VIEWS}names/"
VIEW_PROCESSES = f"{VIEWS}processes/"
READ_MARK = "/readmark"
"""A key that is written only to raise the store's revision."""


class Key(NamedTuple):
    """The key of an object. `resource`: `<group|core>/<resource>[:<identity>]`. `namespace`: empty for cluster-scoped objects."""

    cluster: str
    resource: str
    namespace: str
    name: str

    def encode(self) -> bytes:
        return f"{OBJECTS}{self.cluster}/{self.resource}/{self.namespace or '-'}/{self.name}".encode()


def decode_key(raw: bytes) -> Key:
    """The inverse of `Key.encode`. What many keys have in common is one string. Raises ValueError."""
    parts = raw.decode().split("/", 6)
    if len(parts) != 7 or parts[0] or parts[1] != "objects":
        raise ValueError(f"not the key of an object: {raw!r}")
    _, _, cluster, group, resource, namespace, name = parts
    return Key(intern(cluster), intern(f"{group}/{resource}"), intern("" if namespace == "-" else namespace), name)


def catalog_key(resource: str, cluster: str, name: str) -> bytes:
    """The key of a catalog copy. `resource`: `<group|core>/<resource>`, without an identity."""
    return f"{CATALOG}{resource}/{cluster}/{name}".encode()


def fence_name(key: bytes) -> str:
    """The name of a compared key for `CompareFailed`: for the key of a fence the name of its range, else the whole key."""
    return key.decode().removeprefix(FENCES)


def prefix_end(prefix: bytes) -> bytes:
    """The first key after every key with this prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def interval(start: str, end: str) -> tuple[bytes, bytes]:
    """The interval of the keys of all objects of the clusters in `[start, end)`."""
    return f"{OBJECTS}{start}".encode(), f"{OBJECTS}{end}".encode()
