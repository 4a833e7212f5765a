"""Who is calling: one file for each way of proving it."""
