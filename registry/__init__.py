"""The registry: decides which shard owns which range, and writes it into the store."""
