"""What a run will need, said before it starts: memory by part and phase, time by stage; and what to turn if it is too much."""
