"""Admission of replicated resources."""
