"""Problems by split, their tokens, and the order in which they are visited. One source per file."""
