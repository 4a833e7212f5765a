"""Admission of every type, and the chain of all plug-ins."""
