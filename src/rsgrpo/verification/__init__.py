"""Whether a model's answer equals a gold answer, as mathematics."""
