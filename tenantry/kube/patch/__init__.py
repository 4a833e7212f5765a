"""The patches that a client may send: JSON patch, merge patch, strategic merge patch."""
