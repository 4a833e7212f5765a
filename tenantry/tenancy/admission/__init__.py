"""Admission plugins for objects of every type, and the chain of all plugins."""
