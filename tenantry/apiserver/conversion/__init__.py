"""Conversion of custom resources between their versions by webhooks of tenants."""
