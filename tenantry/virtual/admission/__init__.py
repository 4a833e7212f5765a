"""Admission of every view."""
