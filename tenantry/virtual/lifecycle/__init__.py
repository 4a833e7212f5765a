"""Views for the controllers of workspace types: initializers and terminators."""
