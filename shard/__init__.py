"""One serving process: its ranges, tenants, views and HTTP pipeline."""
