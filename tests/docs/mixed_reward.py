"""A reward that makes a run log every metric: right and wrong answers, equal rewards, and a part."""

from rsgrpo.types import Completion, Prompt, Score


def mixed(prompt: Prompt, completion: Completion) -> Score:
    """An even number of the digit 1 is correct; it earns nothing more where the problem begins with an even number."""
    even = completion.text.count("1") % 2 == 0
    alike = int(prompt.problem.text.split()[0]) % 2 == 0
    return Score(value=0.5 if alike else float(even), correct=even, parts={"odd": float(not even)})
