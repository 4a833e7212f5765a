"""Admission policies in effect: which apply to a write, their parameters, and what they decide."""
