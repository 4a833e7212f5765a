"""Flow control objects of logical clusters: the standard ones, what a cluster changes, and what follows for its requests."""
