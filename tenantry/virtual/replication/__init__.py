"""The view of replicated objects."""
