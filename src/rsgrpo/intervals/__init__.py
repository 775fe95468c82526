"""How sure a number is: over problems, over seeds, over several comparisons at once."""
