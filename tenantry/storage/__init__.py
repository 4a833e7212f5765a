"""The store contract, its engines, group commit, and ranges in memory. This package knows bytes and keys, not Kubernetes."""
