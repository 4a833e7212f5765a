"""Structural schemas: parsed once, compiled to functions that validate, prune and default."""
