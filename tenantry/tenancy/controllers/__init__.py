"""The controllers of plain Kubernetes."""
