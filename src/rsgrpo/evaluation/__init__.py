"""pass@k, solve rate and the other numbers that callbacks write."""
