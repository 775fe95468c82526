"""The words of a command line: read, checked, explained, and kept with a run that is resumed."""
