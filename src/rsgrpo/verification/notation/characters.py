r"""Characters that stand for a LaTeX command: ² for ^{2}, ½ for \frac{1}{2}, √ for \sqrt, － for -.

Pure functions on text, without any package.
"""

# ruff: noqa: RUF001  (these look like other characters: that is why they are here)

import re
import unicodedata

from rsgrpo.verification.examples import different, equal
from rsgrpo.verification.notation.vocabulary import vocabulary

EXAMPLES = (
    equal("x^{2}", "x²", "a superscript is a power"),
    equal("1000", "10³", "also of a number"),
    equal(r"\frac{1}{2}", "½", "a fraction in one character"),
    equal("3.5", "3½", "a mixed number with one"),
    equal("15.5", "31⁄2", "the fraction slash"),
    equal("2", "∛8", "roots"),
    equal(r"\sqrt{6}", "√6", "roots"),
    equal(r"2\theta", "2θ", "Greek letters"),
    equal("13", "１３", "full-width digits"),
    equal("13", "\N{ZERO WIDTH SPACE}13", "characters without width"),
    equal(r"\phi", "φ", "variants of a letter are the letter"),
    equal(r"\epsilon", r"\varepsilon", "variants of a letter are the letter"),
    equal(r"\emptyset", r"\varnothing", "variants of a sign are the sign"),
    equal("x_1", "x₁", "a subscript"),
    different("x_1", "x₂", "another subscript"),
    different("100", "10³", "another power"),
)

_MARKS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "‒": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ",
    "∙": r"\cdot ",
    "•": r"\cdot ", "÷": r"\div ", "∕": "/", "⁄": "/", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ",
    "⩾": r"\ge ",
    "≠": r"\ne ", "≈": r"\approx ", "≃": r"\approx ", "°": r"\degree ", "º": r"\degree ", "∪": r"\cup ",
    "∩": r"\cap ", "∖": r"\setminus ",
    "∈": r"\in ", "∉": r"\notin ", "±": r"\pm ", "∓": r"\mp ", "≡": r"\equiv ", "∅": r"\emptyset ",
    "⌀": r"\emptyset ", "Ø": r"\emptyset ",
    "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ", "〉": r"\rangle ", "⌊": r"\lfloor ", "⌋": r"\rfloor ",
    "⌈": r"\lceil ", "⌉": r"\rceil ",
    "′": "'", "’": "'", "″": "''", "“": '"', "”": '"', "…": r"\ldots ", "⋯": r"\ldots ", "∨": r"\lor ", "∧": r"\land ",
    "→": r"\to ", "⇒": r"\Rightarrow ", "⟹": r"\Rightarrow ", "∴": r"\therefore ", "∠": r"\angle ",
    "△": r"\triangle ", "∑": r"\sum ",
    "∏": r"\prod ", "∫": r"\int ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}",
    "ℂ": r"\mathbb{C}",
    "■": r"\blacksquare ", "□": r"\square ", "∎": r"\blacksquare ", "✓": r"\checkmark ", "✔": r"\checkmark ",
    "✅": r"\checkmark ",
    "，": ", ", "、": ", ", "。": ".", "；": ";", "：": ":", "ı": "i", "∣": "|", "‖": r"\|", "∂": r"\partial ",
    "⊆": r"\subseteq ", "⊂": r"\subset ",
}  # fmt: skip
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
        vocabulary(
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi",
            "chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega",
        ),
        strict=True,
    )
) | {"ϕ": "phi", "ϵ": "epsilon", "ϑ": "theta", "ς": "sigma", "µ": "mu"}
_TRANSLATION = str.maketrans(_MARKS | {letter: rf"\{name} " for letter, name in _GREEK.items()})
_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣ", "0123456789+-()nix", strict=True))
_SUB = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙᵢₓₖ", "0123456789+-()nixk", strict=True))
_SUPERS, _SUBS = re.compile(f"[{''.join(_SUPER)}]+"), re.compile(f"[{''.join(_SUB)}]+")
_WITHOUT_WIDTH = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff\u202a-\u202e\ufe0f]")
_WIDE = re.compile("[\uff01-\uff5e\u2000-\u200a\u00a0\u202f\u205f\u3000\U0001d400-\U0001d7ff]")
_ROOT = re.compile(r"([√∛∜])\s*(?:\(([^()]*)\)|(\\[A-Za-z]+|[0-9.]+|[A-Za-z]))?")
_INDEX = {"√": "", "∛": "[3]", "∜": "[4]"}
_OVER = re.compile("(\\d)([\u0305\u0304\u0307])")
_VARIANTS = re.compile(
    r"\\var(epsilon|phi|theta|rho|sigma|pi|kappa|nothing)(?![A-Za-z])|\\(leqslant|leq|geqslant|geq|neq)(?![A-Za-z])"
)
_NAMES = {"nothing": "emptyset", "leqslant": "le", "leq": "le", "geqslant": "ge", "geq": "ge", "neq": "ne"}


def as_commands(text: str) -> str:
    r"""The text in plain characters and LaTeX commands.

    >>> as_commands("2√3x² ≤ ½"), as_commands(r"\varphi")
    ('2\\sqrt{3}x^{2} \\le  \\frac{1}{2}', '\\phi')
    """
    if not text.isascii():
        text = _WITHOUT_WIDTH.sub("", text)
        text = _WIDE.sub(lambda m: unicodedata.normalize("NFKC", m[0]), text)
        text = _SUPERS.sub(lambda m: f"^{{{''.join(_SUPER[c] for c in m[0])}}}", text)
        text = _SUBS.sub(lambda m: f"_{{{''.join(_SUB[c] for c in m[0])}}}", text)
        text = _ROOT.sub(_root, text)
        text = _OVER.sub(lambda m: (r"\dot{%s}" if m[2] == "\u0307" else r"\overline{%s}") % m[1], text)
        text = text.translate(_TRANSLATION)
        text = "".join(_fraction(c) for c in text)
    return _VARIANTS.sub(lambda m: "\\" + _NAMES.get(m[1] or m[2], m[1] or m[2]), text)


def _root(match: re.Match[str]) -> str:
    inside = match[2] or match[3]
    return rf"\sqrt{_INDEX[match[1]]}" + (f"{{{inside}}}" if inside else "")


def _fraction(character: str) -> str:
    """½ as a fraction of two numbers; any other character as it is."""
    if character.isascii() or not unicodedata.decomposition(character).startswith("<fraction>"):
        return character
    top, _, bottom = unicodedata.normalize("NFKC", character).partition("⁄")
    return rf"\frac{{{top}}}{{{bottom}}}" if bottom else character
