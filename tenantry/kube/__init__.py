"""Kubernetes' semantics as values and pure functions: no I/O, no event loop, no tenants."""
