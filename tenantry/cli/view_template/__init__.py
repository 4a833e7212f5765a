"""The files of a new package with a view. `tenantry views new` fills in its names."""
