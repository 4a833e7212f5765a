"""Clients of the gRPC services."""
