"""Audit as pure functions: policies and events of audit.k8s.io/v1."""
