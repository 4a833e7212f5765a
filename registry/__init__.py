"""Which range belongs to which shard."""
