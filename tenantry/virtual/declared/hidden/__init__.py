"""Fields that a declared view does not show: found, taken out of what is shown, and carried over when a client writes."""
