"""Priority and fairness (KEP-1040) as pure functions: which level a request belongs to, and what a level may use."""
