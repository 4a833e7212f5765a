"""Admission of writes through declared views."""
