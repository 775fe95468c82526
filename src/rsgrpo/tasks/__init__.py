"""The composition root: what `python run.py task=...` calls."""
