"""What `logger=` names, and the files that every run keeps of its metrics."""
