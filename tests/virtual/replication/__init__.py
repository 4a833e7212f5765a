"""Tests of the view of replicated objects."""
