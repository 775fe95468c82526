"""Sampling engines behind the one protocol of `engine.py`."""
