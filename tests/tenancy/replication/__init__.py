"""Tests of replicated resources."""
