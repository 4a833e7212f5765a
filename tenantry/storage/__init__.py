"""The record: the store contract and its engines, group commit, and ranges in memory. Bytes and keys, no Kubernetes."""
