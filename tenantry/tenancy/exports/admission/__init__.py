"""Admission of exports, bindings and schemas."""
