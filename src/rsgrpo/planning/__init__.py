"""What a run will need, before it starts: memory by phase and part, time by stage, and what to turn if it is short."""
