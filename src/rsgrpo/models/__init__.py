"""The policy: weights, tokenizer, log-probs and entropy over packed rows. The only room that knows an architecture."""
