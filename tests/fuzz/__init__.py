"""Targets of coverage-guided fuzzing (`make fuzz`), and what it found, which `make test` tries again."""
