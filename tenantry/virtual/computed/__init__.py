"""Views whose objects are computed (`tenantry.tenancy.computed`)."""
