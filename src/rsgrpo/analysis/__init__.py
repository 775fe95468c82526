"""Finished runs -> tables. Reads run folders and nothing else."""
