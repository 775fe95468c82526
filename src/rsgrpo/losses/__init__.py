"""Pure maths: log-probs and advantages -> per-token loss, and the weight of each token in an update."""
