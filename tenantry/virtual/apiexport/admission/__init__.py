"""Admission of a provider's writes to what its consumers let it have."""
