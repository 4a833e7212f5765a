"""RBAC as data: compiling and comparing rules, aggregation, and the roles that every cluster has."""
