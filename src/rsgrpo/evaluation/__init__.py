"""Sampling a split of problems and counting what is right."""
