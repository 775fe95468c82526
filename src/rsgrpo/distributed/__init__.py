"""Several ranks: how they communicate, how the policy is laid out on them, how they end."""
