"""The controllers of Kubernetes' own types."""
