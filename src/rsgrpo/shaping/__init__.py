"""What makes the advantages of tokens out of the advantage of their completion."""
