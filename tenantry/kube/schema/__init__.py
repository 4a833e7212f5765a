"""Structural schemas: parsed once, and compiled to functions that validate, prune and default."""
