"""Completion text -> score. One reward per file; `base.py` says what each must be."""
