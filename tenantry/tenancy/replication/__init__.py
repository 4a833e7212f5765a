"""Replicated resources: objects of a provider that every shard has as copies, so that exports with virtual storage serve them to
consumers on any shard."""
