"""Sweeps: what their jobs are, what starts them, how far they are, and what the same command finds done."""
