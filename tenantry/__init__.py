"""A Kubernetes-compatible control plane for very many tenants: the library that service teams and the three processes import."""
