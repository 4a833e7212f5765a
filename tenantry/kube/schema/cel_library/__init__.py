"""The functions that Kubernetes adds to CEL."""
