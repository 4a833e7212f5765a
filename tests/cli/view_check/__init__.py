"""The conformance suite of views finds what is wrong with a view."""
