"""How an answer is written: characters, ornaments, numbers, names, units and words in one notation."""
