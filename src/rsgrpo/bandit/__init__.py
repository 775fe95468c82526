"""The bandit laboratory: the paper's Section 5 with the very objectives that train language models, and no model."""
