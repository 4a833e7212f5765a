"""Ranges and shards: which shard owns which range, and how to reach it. `paths`: which range a logical cluster is in."""
