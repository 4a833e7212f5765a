"""Admission policies as values: the environment of their expressions, and what they decide about a write."""
