"""What tests run on, in layers. Each is made of the one before; a test uses the lowest that shows what it is about.

| layer | module | what it is |
| --- | --- | --- |
| store | `stores` | each storage engine, with ways to break it; fixtures `engine` and `store` |
| range | `ranges` | a cell and its ranges over a store |
| map | `maps` | a map of ranges that the test changes at will |
| shard in memory | `shards` | registries and shards over one store: sessions and ownership, without tenancy |
| | `tenancies`, `clusters` | shards that own what a map says: tenancy and views, without HTTP; one with a logical cluster |
| gRPC | `rpc`, `lookups` | a gRPC server on a socket; a gateway's look-ups on one |
| one process | `one_process` | all of `tenantry start` but sockets and SQLite |
| processes | `forms`, `fleet` | `tenantry start` on SQLite, or processes of their own on etcd; `etcd` is a real etcd |

`waiting` waits, `clock` and `certificates` let time pass, `running` starts and closes, `logs` shows what processes logged in the
report of a failure, `people` are callers, `api` is a client of a cluster, `sinks` of streams in memory, `webhooks` answers
reviews, and `upstream` is a fake process that is asked. Harnesses of single folders are views of these:
`tests/apiserver/range_server.py` of a range, `tests/tenancy/open_platform.py` of shards, `tests/gateway/door.py` of a map,
`tests/growth/served.py` of one process, `tests/faults/breakable_fleet.py` of a fleet.
"""
