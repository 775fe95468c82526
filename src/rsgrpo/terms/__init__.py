"""What an update minimises beside the surrogate, or what is taken off a reward: KL to the base policy, entropy."""
