"""From a tidy answer to a tree of what it says."""
