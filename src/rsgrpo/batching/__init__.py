"""Which groups are trained on, how they are dealt into updates, and how sequences are packed into rows."""
