"""Ranges and shards: which shard owns which range, how to reach it, and in which range a tenant lives."""
