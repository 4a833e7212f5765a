"""RBAC as data: rules compiled and compared, aggregation, and the roles that every cluster has."""
