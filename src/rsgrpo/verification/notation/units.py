r"""Units, money, percent: what stands behind or before a number and says what is counted.

A unit may be left out, since the question names it. Two different ones make two answers, unless one converts into the
other. Bare letters are units behind a number and a space only (5 m); 5m, 2 W and 3 N are products.
"""

import re
from fractions import Fraction

from rsgrpo.verification.examples import different, equal
from rsgrpo.verification.notation.vocabulary import vocabulary

EXAMPLES = (
    equal("5", "5cm", "a unit may be left out"),
    equal("5", "5km/h", "a unit may be left out"),
    equal("5", "5 m", "a metre, behind a space"),
    equal("5", r"5\,\mathrm{m}/\mathrm{s}", "a quotient of units"),
    equal("5", r"5\text{ m}\cdot\text{s}^{-1}", "a product of units"),
    equal("5", r"5\,\frac{\text{m}}{\text{s}}", "a fraction of units"),
    equal("10weeks", "10", "a unit may be left out"),
    equal("1\\text{ m}", "100\\text{ cm}", "units are converted"),
    equal(r"2\text{ h }30\text{ min}", r"150\text{ min}", "two units of the same"),
    equal(r"2\text{ hours and }30\text{ minutes}", r"2.5\text{ hours}", "two units of the same"),
    different(r"2\text{ h }30\text{ min}", r"2.3\text{ h}", "an hour has sixty minutes"),
    different("5\\text{ m}", "5\\text{ cm}", "another unit"),
    different(r"3\text{ wins}", r"3\text{ losses}", "another thing"),
    different("4t", "4", "a letter is not an unit"),
    different(r"\frac{k}{2}", r"\frac{k}{2} N", "a letter is not an unit"),
    equal("2 W", "2W", "a product"),
    equal("5", "£5", "money"),
    equal("5", "5€", "money"),
    equal(r"\$0.75", "75¢", "money"),
    equal("5", r"\text{Rs }5", "money"),
    equal("5000000", r"\$5\text{ million}", "money"),
    equal(r"25\%", "25", "a gold with percent: the sign may be left out"),
    equal(r"25\%", "0.25", "a gold with percent, as a number"),
    equal("0.25", r"25\%", "percent are hundredths"),
    equal("25", r"25\%", "a gold above 1 may be meant in percent"),
    different("0.25", r"0.25\%", "percent are hundredths"),
    different("1", r"1\%", "percent are hundredths"),
    equal(r"28\%", "28 pct", "percent in words"),
    equal(r"20\%, 30\%", "0.2, 0.3", "in lists"),
    equal(r"72^\circ", "72", "degrees may be left out"),
    equal(r"60^\circ", r"60\degree", "the same sign"),
    equal(r"60^\circ", r"\frac{\pi}{3}", "a degree is pi/180"),
    equal(r"\sin 50^\circ", r"\cos 40^\circ", "a degree is pi/180"),
    different(r"25^\circ\mathrm{C}", r"25^\circ\mathrm{F}", "another scale"),
)

_LENGTHS = {"m": 1, "cm": Fraction(1, 100), "mm": Fraction(1, 1000), "km": 1000, "dm": Fraction(1, 10),
        "nm": Fraction(1, 10**9),
            "in": Fraction(254, 10**4), "ft": Fraction(3048, 10**4), "yd": Fraction(9144, 10**4),
            "mi": Fraction(1609344, 1000)}  # fmt: skip
_TIMES = {"s": 1, "min": 60, "h": 3600, "day": 86400, "week": 604800, "ms": Fraction(1, 1000)}
_MASSES = {
    "g": 1,
    "kg": 1000,
    "mg": Fraction(1, 1000),
    "t": 10**6,
    "lb": Fraction(45359237, 10**5),
    "oz": Fraction(45359237, 16 * 10**5),
}
_VOLUMES = {"L": Fraction(1, 1000), "mL": Fraction(1, 10**6)}
_OTHERS = {"$": 1, "cent": Fraction(1, 100)}
BASES: dict[str, tuple[str, int, Fraction]] = (
    {name: ("length", 1, Fraction(value)) for name, value in _LENGTHS.items()}
    | {name: ("time", 1, Fraction(value)) for name, value in _TIMES.items()}
    | {name: ("mass", 1, Fraction(value)) for name, value in _MASSES.items()}
    | {name: ("length", 3, Fraction(value)) for name, value in _VOLUMES.items()}
    | {name: ("$", 1, Fraction(value)) for name, value in _OTHERS.items()}
)
"""Of each unit that converts: its dimension, the power of it, and its size."""

_ALIASES = {
    "meter": "m", "metre": "m", "centimeter": "cm", "centimetre": "cm", "millimeter": "mm", "millimetre": "mm",
    "kilometer": "km",
    "kilometre": "km", "decimeter": "dm", "inch": "in", "inche": "in", "foot": "ft", "feet": "ft", "yard": "yd",
    "mile": "mi", "second": "s", "sec": "s",
    "minute": "min", "hour": "h", "hr": "h", "gram": "g", "kilogram": "kg", "milligram": "mg", "ton": "t",
    "tonne": "t", "pound": "lb",
    "lbs": "lb", "ounce": "oz", "liter": "L", "litre": "L", "l": "L", "ml": "mL", "milliliter": "mL",
    "millilitre": "mL", "dollar": "$", "usd": "$",
    "buck": "$", "¢": "cent", "degree": "degree", "deg": "degree", "rs": "₹", "rupee": "₹", "inr": "₹", "euro": "€",
    "eur": "€",
    "yuan": "¥", "yen": "¥", "rmb": "¥", "gbp": "£", "kph": "km/h", "kmh": "km/h", "kmph": "km/h", "mph": "mi/h",
    "sq": "square", "cc": "cm^3",
    "newton": "N", "joule": "J", "watt": "W", "volt": "V", "hertz": "Hz", "ampere": "A", "ohm": "Ω", "pascal": "Pa",
    "person": "people", "child": "children",
    "radian": "rad", "point": "point", "celsius": "C", "fahrenheit": "F", "kelvin": "K",
}  # fmt: skip
BARE_WORDS = frozenset(
    vocabulary(
        "cm mm km dm kg mg ft inch inches feet foot yd yard yards mile miles mph meter meters metre metres",
        "second seconds sec secs minute minutes min mins hour hours hr hrs day days week weeks month months",
        "year years degree degrees deg dollar dollars cent cents unit units square sq cubic gram grams",
        "kilogram kilograms liter liters litre litres ml mL people students ways points rad radian radians kmh",
        "kph lb lbs oz pound pounds ounces euro euros rupees yuan usd USD EUR GBP kilometers kilometres",
        "centimeters centimetres millimeters kWh kHz MHz Pa kPa mol kJ kW nm ms apples balls books boys girls",
        "coins cards pairs times integers solutions numbers digits marbles tickets pages cups pieces steps",
        "edges vertices values triangles gallons acres hectares inch^2",
    )
)
"""Words that are units behind a number without being marked as text."""
BARE_LETTERS = frozenset("mghsL")
SYMBOLS = frozenset(
    vocabulary(
        "m s g h L N J W V A K C F Pa Hz cm mm km kg mg mol min ft in mL rad Ω lb",
    )
)
"""Upright letters that are units behind a number."""
_MATTERS = frozenset(
    vocabulary(
        "is are was not no or and more less least most than if when for except mod base pm am north south east",
        "west up down left right even odd prime positive negative only divides times where with without in on",
        "to per-cent must cannot never always both neither nor minus plus percent integer real constant any",
        "all some infinite infinitely many each other profit loss gain increase decrease false true yes ago",
        "later before after above below inside outside clockwise counterclockwise under over maximum minimum",
        "modulo rational irrational at squared cubed factorial doubled tripled quadrupled halved half halves third",
        "thirds quarter quarters tenth tenths hundredth hundredths thousandth thousandths millionth millionths",
        "billionth billionths",
    )
)
"""Words that change what is said, so that no text with one of them is a unit."""
_WORDS_OK = frozenset(["in", "for", "is", "to"])


def unit_of(text: str) -> str | None:
    r"""The unit that a text behind a number says, in one spelling; None when it says more than a unit.

    >>> unit_of("square inches"), unit_of("km/h"), unit_of("wins"), unit_of("is even"), unit_of("m^2")
    ('in^2', 'km/h', 'win', None, 'm^2')
    """
    text = re.sub(r"\\text|\\mathrm|[{}()]|\\cdot|\*|\.(?!\d)", " ", text.replace("²", "^2")).replace("^ ", "^")
    text = re.sub(r"\s+", " ", text).strip().replace("\\%", "%")
    over = [part.strip() for part in re.split(r"\s*/\s*|\bper\b", text)]
    if len(over) > 3 or not all(over):
        return None
    parts = [_product(part) for part in over]
    return None if None in parts else "/".join(part for part in parts if part)


def _product(text: str) -> str | None:
    text = re.sub(r"\bright (?=triangle|angle)", "", text)
    words = re.split(r"\s+|(?<=[A-Za-z])-(?=[A-Za-z])", text)
    if len(words) > 5 or (any(word.casefold() in _MATTERS for word in words) and words != ["in"]):
        return None
    named, power = [], 1
    for word in words:
        match = re.fullmatch(r"([^\W\d_]+|[$€£¥₹%¢Ω])(?:\^\s*(-?\d)|(\d))?", word)
        if match is None:
            return None
        name = singular(match[1])
        if name in ("square", "sq", "squared") and len(words) > 1:
            power = 2
        elif name in ("cubic", "cubed") and len(words) > 1:
            power = 3
        elif name not in ("of", "the", "a", "distinct", "different", "total", "possible"):
            by = match[2] or match[3]
            named.append(name + (f"^{by}" if by and by != "1" else ""))
    if not named:
        return None
    return (" ".join(named) if power == 1 else f"{' '.join(named)}^{power}").strip()


def singular(word: str) -> str:
    """One spelling for a unit's name, its plural and its short forms."""
    small = word.casefold()
    for candidate in (word, small, small.rstrip("s"), small.removesuffix("es")):
        if candidate in BASES:
            return candidate
        if candidate in _ALIASES:
            return _ALIASES[candidate]
    return (
        small[:-1]
        if len(small) > 3 and small.endswith("s") and not small.endswith("ss")
        else (word if len(word) < 3 else small)
    )


def ratio(a: str, b: str) -> Fraction | None:
    """How many of `b` one `a` is; None when they measure different things.

    >>> ratio("m", "cm"), ratio("km/h", "m/s"), ratio("win", "loss")
    (Fraction(100, 1), Fraction(5, 18), None)
    """
    if a == b or any(re.fullmatch(r"unit(\^[23])?", unit) for unit in (a, b)):
        return Fraction(1)
    sizes = _size(a), _size(b)
    if sizes[0] is None or sizes[1] is None or sizes[0][0] != sizes[1][0]:
        return None
    return sizes[0][1] / sizes[1][1]


def _size(unit: str) -> tuple[dict[str, int], Fraction] | None:
    dimension: dict[str, int] = {}
    size = Fraction(1)
    for side, part in enumerate(unit.split("/")):
        for factor in part.split():
            name, _, power = factor.partition("^")
            if name not in BASES:
                return None
            what, exponent, value = BASES[name]
            by = int(power or 1) * (1 if side == 0 else -1)
            dimension[what] = dimension.get(what, 0) + exponent * by
            size *= value**by
    return {what: power for what, power in dimension.items() if power}, size
