"""What Kubernetes means, as values and pure functions: no I/O, no event loop, no tenants."""
