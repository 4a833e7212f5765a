"""Authorization: kcp's chain of authorizers, on compiled RBAC."""
