"""What a machine has to have, and what to do where it has not."""
