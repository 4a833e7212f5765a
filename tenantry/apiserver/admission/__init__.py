"""What admission sees of a write, and what its plug-ins have in common."""
