"""Spans of time as people say them."""


def in_words(seconds: float) -> str:
    """A span of time, rounded to what one plans with.

    >>> in_words(42), in_words(90), in_words(3600), in_words(8000)
    ('1 min', '2 min', '1 h', '2 h 13 min')
    """
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
