"""What weighs a token when the engine samples from a slightly different policy than the trainer computes."""
