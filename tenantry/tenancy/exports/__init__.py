"""Exports and bindings: how one workspace's API is served in others, and how its owner finds them."""
