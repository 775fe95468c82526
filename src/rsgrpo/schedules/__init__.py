"""How an objective's `beta` or `k` changes over a run or from prompt to prompt. One schedule per file."""
