"""The admission framework: what admission gets to see of a write, and the base of plugins."""
