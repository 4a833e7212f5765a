"""Who may do what: kcp's chain of authorizers over compiled RBAC."""
