r"""What letters and commands are called: functions, constants, letters, and runs of letters.

A run of letters is a word when it is long or looks like one, a name when it has capitals and stands alone (AB, HTH,
IV), and else a product. Letters differ by case, index, primes and alphabet.
"""

import re

from rsgrpo.verification.examples import different, equal
from rsgrpo.verification.notation.vocabulary import vocabulary

EXAMPLES = (
    equal("2ab", "2ba", "a product"),
    different("2ab", "2", "letters are no unit"),
    different("BCA", "CAB", "a name, not a product"),
    different("HTH", "HHT", "a name, not a product"),
    different("IV", "VI", "a name, not a product"),
    different("Na", "an", "capitals are other letters"),
    different("east", "seat", "a word"),
    different(r"\pi(R^2-r^2)", "0", "capitals are other letters"),
    different(r"\frac{A}{a}", "1", "capitals are other letters"),
    different("2x_1", "2x", "an index makes another letter"),
    different("-2f'(0)", "-2f(0)", "a prime makes another function"),
    different("f'(x)=2x", "f(x)=2x", "a prime makes another function"),
    equal(r"\overrightarrow{AB}", r"\vec{AB}", "an arrow over two points"),
    different(r"\overrightarrow{AB}", r"\vec{BA}", "the other way"),
    different(r"\angle ABC", r"\angle ACB", "another angle"),
    equal(r"\angle ABC", r"\angle CBA", "the same angle"),
    equal(r"\gcd(a,b)", r"\gcd(b,a)", "order does not matter to it"),
    equal(r"-2\pi", "-2*pi", "names without a backslash"),
    equal(r"\ln 2", "ln(2)", "names without a backslash"),
    equal(r"\infty", "infinity", "names without a backslash"),
    different(r"\mathbb{Z}_4", r"\mathbb{Z}_5", "an index makes another group"),
)

TRIGONOMETRIC = frozenset(["sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "sech", "csch"])
INVERSE = frozenset(
    vocabulary(
        "arcsin arccos arctan arccot arcsec arccsc arcsinh arccosh arctanh asin acos atan arsinh arcosh artanh",
        "asinh acosh atanh",
    )
)
FUNCTIONS = (
    TRIGONOMETRIC
    | INVERSE
    | frozenset(
        vocabulary(
            "ln log lg exp gcd lcm max min det sgn sign Re Im arg Arg abs floor ceil sqrt cbrt erf erfc Gamma zeta",
            "deg dim rank tr trace ker cis cosec ctg tg arctg hcf GCD LCM lb",
        )
    )
)
"""Known by name, with and without a backslash."""
SAME = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "arsinh": "arcsinh", "arcosh": "arccosh",
        "artanh": "arctanh", "asinh": "arcsinh",
        "acosh": "arccosh", "atanh": "arctanh", "cosec": "csc", "ctg": "cot", "tg": "tan", "arctg": "arctan",
        "hcf": "gcd", "GCD": "gcd", "LCM": "lcm",
        "Arg": "arg", "sign": "sgn", "trace": "tr"}  # fmt: skip
CONSTANTS = {"pi": "pi", "infty": "inf", "infinity": "inf", "inf": "inf", "Infinity": "inf", "oo": "inf"}
GREEK = frozenset(
    vocabulary(
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi",
        "chi psi omega Delta Theta Lambda Xi Pi Sigma Phi Psi Omega Upsilon digamma",
    )
)
LETTERS = GREEK | frozenset(
    vocabulary(
        "ell hbar aleph beth wp partial nabla emptyset bullet star ldots dots cdots dotsc vdots ddots imath",
        "jmath Gamma zeta prime circ top bot complement",
    )
)
"""Commands that stand for one letter or sign."""
_SPELT = sorted(
    (FUNCTIONS | GREEK | {"pi", "infinity", "infty"})
    - {
        "deg",
        "arg",
        "det",
        "Re",
        "Im",
        "tr",
        "ker",
        "dim",
        "rank",
        "nu",
        "mu",
        "xi",
        "eta",
        "psi",
        "chi",
        "rho",
        "sgn",
        "tau",
        "lg",
        "lb",
        "tg",
        "abs",
        "max",
        "min",
        "sign",
        "trace",
    },
    key=len,
    reverse=True,
)
_SPLIT = re.compile(rf"([A-Za-z]{{0,3}}?)({'|'.join(_SPELT)})([A-Za-z]{{0,3}}?)")
WORDS = frozenset(
    vocabulary(
        "no yes odd all on one two six ten red tie win day man men boy god dog cat act tea eat ate tan top pot",
        "not and or even east west none true left right up down in out off an am as at be by do go he if is it",
        "me my of so to us we was saw now won own who how hat bat tab rat tar art ear era are tip pit nap pan",
        "net map",
    )
)
_LIKE_A_WORD = re.compile(r"(?=.*[eou])[a-z]{3}|[b-df-hj-np-tv-z][aeou][b-df-hj-np-tv-z]")


_OTHER_NAMES = {"R": "ℝ", "Z": "ℤ", "N": "ℕ", "Q": "ℚ"}  # noqa: RUF001


def same_names(gold: str, answer: str) -> bool:
    """Whether two letters or names are the same: R is also the set of the real numbers, AB also the segment BA.

    >>> same_names("x", "x"), same_names("x", "X"), same_names("overline(AB)", "BA"), same_names("AB", "BA")
    (True, False, True, False)
    """
    if gold == answer or _OTHER_NAMES.get(gold) == answer or _OTHER_NAMES.get(answer) == gold:
        return True
    for one, other in ((gold, answer), (answer, gold)):
        if one.startswith("overline(") and sorted(one[9:-1]) == sorted(other) and len(other) == 2:
            return True
    return False


def pieces(run: str) -> list[str]:
    r"""The names in a run of letters.

    >>> pieces("sin"), pieces("xcos"), pieces("pir"), pieces("ab"), pieces("theta")
    (['sin'], ['x', 'cos'], ['pi', 'r'], ['a', 'b'], ['theta'])
    """
    if run in FUNCTIONS or run in GREEK or run in CONSTANTS:
        return [run]
    if match := _SPLIT.fullmatch(run):
        return [*match[1], match[2], *match[3]]
    return list(run)


def is_word(run: str) -> bool:
    """Whether a run of letters is one word, wherever it stands."""
    if run in FUNCTIONS or run in GREEK or run in CONSTANTS or _SPLIT.fullmatch(run):
        return False
    return len(run) > 3


def is_word_alone(run: str) -> bool:
    """Whether a run of letters that stands alone is a word or a name, not a product.

    >>> [is_word_alone(run) for run in ("east", "no", "cat", "HTH", "Na", "xyz", "pq", "pi")]
    [True, True, True, True, False, False, False, False]
    """
    if len(run) < 2 or (run in FUNCTIONS or run in GREEK or run in CONSTANTS):
        return False
    return (
        is_word(run)
        or ((run.isupper() or (len(run) > 2 and not run.islower())) and not _SPLIT.fullmatch(run))
        or run.casefold() in WORDS
        or bool(_LIKE_A_WORD.fullmatch(run))
    )
