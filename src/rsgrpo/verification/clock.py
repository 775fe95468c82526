r"""Times of day and dates, which are not calculated."""

import re
from math import gcd

from rsgrpo.verification.examples import different, equal
from rsgrpo.verification.notation.words import in_plain_words

EXAMPLES = (
    different("12:30", "6:15", "a time is not a ratio"),
    different("10:20", "1:2", "a gold that no ratio would be written as is a time"),
    different("7:05", "7:5", "minutes have two digits"),
    equal("1:2", "10:20", "a ratio"),
    equal("3:45", "03:45", "a zero that says nothing"),
    different(r"9\text{ a.m.}", r"9\text{ p.m.}", "another half of the day"),
    equal(r"9\text{ a.m.}", "9:00 AM", "a time of day"),
    equal("12:30", r"12\!:\!30\text{ PM}", "the half of the day may be left out"),
    equal("21:00", "9 p.m.", "a time of day"),
    equal("3:4", r"\frac34", "a ratio"),
    equal("3:4", "6:8", "a ratio"),
    different("1/2/2020", r"\frac{1}{4040}", "a date is not a quotient"),
    equal(r"\text{June 20}", "20 June", "a date"),
)

_TIME = re.compile(
    r"(\d{1,2})(?:[:.](\d{2}))?(?::(\d{2}))?([ap])\.?m\.?(?:\(.*\))?|(\d{1,2}):(\d{2})(?::(\d{2}))?(?:h|hrs?|hours?|o'?clock)?|(\d{1,2})o'?clock|(noon|midnight)"
)
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH = "|".join(f"{month}|{month[:3]}" for month in _MONTHS)
_DATE = re.compile(
    rf"(?P<m1>{_MONTH})\.?(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?,?(?P<y1>\d{{4}})?|(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?(?:of)?(?P<m2>{_MONTH})\.?,?(?P<y2>\d{{4}})?|"
    r"(?P<slashed>\d{1,2}/\d{1,2}/(?:\d{4}|\d{2}))|(?P<y3>[12]\d{3})-(?P<m3>\d{2})-(?P<d3>\d{2})"
)


def _flat(text: str) -> str:
    return re.sub(r"[\s{}$\\]", "", in_plain_words(text)).casefold()


def time_of_day(text: str) -> tuple[int, int, int, str] | None:
    """(hour, minute, second, half): the half is a, p, or empty where it is not said.

    >>> time_of_day("9 p.m."), time_of_day("21:00"), time_of_day("3:45"), time_of_day("3:4")
    ((9, 0, 0, 'p'), (9, 0, 0, 'p'), (3, 45, 0, ''), None)
    """
    match = _TIME.fullmatch(_flat(text))
    if match is None:
        return None
    if match[9]:
        return 0, 0, 0, "p" if match[9] == "noon" else "a"
    hour, minute, second = (
        int(match[1] or match[5] or match[8]),
        int(match[2] or match[6] or 0),
        int(match[3] or match[7] or 0),
    )
    if hour > 24 or minute > 59 or second > 59:
        return None
    half = match[4] or ("p" if 12 < hour < 24 else "a" if hour in (0, 24) else "")
    return hour % 12, minute, second, half


def date(text: str) -> tuple[str, ...] | None:
    """(year, month, day), the year empty where it is not said; a date with slashes as it is.

    >>> date("June 20"), date("20 June 2020"), date("1/2/2020"), date("1/2")
    (('', '6', '20'), ('2020', '6', '20'), ('1/2/2020',), None)
    """
    match = _DATE.fullmatch(_flat(text))
    if match is None:
        return None
    if match["slashed"]:
        return ("/".join(part.lstrip("0") for part in match["slashed"].split("/")),)
    month = match["m1"] or match["m2"]
    number = next(i for i, name in enumerate(_MONTHS, start=1) if name[:3] == month[:3]) if month else int(match["m3"])
    return (
        match["y1"] or match["y2"] or match["y3"] or "",
        str(number),
        str(int(match["d1"] or match["d2"] or match["d3"])),
    )


def _only_a_time(text: str) -> bool:
    """Whether two numbers with a colon are no ratio that a gold would be: 7:05, and 10:20, which is 1:2."""
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", _flat(text))
    return match is not None and (match[2][0] == "0" or gcd(int(match[1]), int(match[2])) > 1)


def same_time(gold: str, answer: str) -> bool | None:
    """The verdict where one is a time or a date; None where none is."""
    dates = date(gold), date(answer)
    if any(dates):
        first, second = dates
        if first is None or second is None:
            return False
        return first == second or (
            len(first) == len(second) == 3 and first[1:] == second[1:] and "" in (first[0], second[0])
        )
    times = time_of_day(gold), time_of_day(answer)
    if times[0] and times[1]:
        halves = {times[0][3], times[1][3]} - {""}
        return times[0][:3] == times[1][:3] and len(halves) < 2
    for time, other in ((times[0], answer), (times[1], gold)):
        if time is not None:
            said = gold if other is answer else answer
            if re.fullmatch(r"\d{1,2}", other.strip()) and re.search("m", _flat(said)):
                return time[1:3] == (0, 0) and int(other) % 12 == time[0]
            a_ratio = ":" in other and not (other is answer and _only_a_time(gold))
            return None if a_ratio else False
    return None
