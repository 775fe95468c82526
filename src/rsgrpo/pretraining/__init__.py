"""Base policies of the built-in tasks: the recipe, its corpus, and where a base is kept."""
