"""Helpers for building, testing and measuring. They are not installed."""
