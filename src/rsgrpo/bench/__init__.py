"""The exploration bench: arms x tasks x bases x seeds, each arm at its own learning rate, and what came of it."""
