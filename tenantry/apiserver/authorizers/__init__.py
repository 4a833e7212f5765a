"""Authorizers beside RBAC, and in which order all are asked."""
