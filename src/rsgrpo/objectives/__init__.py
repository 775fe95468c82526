"""Pure maths: rewards [P, N] -> advantages [P, N]. One objective per file; `base.py` says what each must be."""
