"""Several ranks: what they say to one another, how the policy is laid out on them, how they end."""
