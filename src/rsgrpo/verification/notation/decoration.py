r"""Wrappers and ornaments: what is set around an answer and says nothing about it.

Fonts, sizes, colours, lines, delimiters of mathematics, Markdown, end marks, and words such as "the answer is".
Letters keep what a font says of them: \mathrm{...} is upright, \mathbf{...} bold, \text{...} words.
"""

import re

from rsgrpo.verification.boxes import end_of_group
from rsgrpo.verification.examples import different, equal

EXAMPLES = (
    equal("13", r"=13", "a sign of equality in front"),
    equal("13", r"\Rightarrow 13", "an arrow in front"),
    equal("13", r"\therefore 13", "a conclusion"),
    equal("13", r"{\bf 13}", "a font"),
    equal("13", r"\Large 13", "a size"),
    equal("13", r"\color{red}{13}", "a colour"),
    equal("13", r"\color{blue}13", "a colour without braces"),
    equal("13", r"\underline{\underline{13}}", "lines"),
    equal("13", r"\mathsf{13}", "a font"),
    equal("13", r"\operatorname{13}", "a font"),
    equal(r"\frac{1}{3}", r"\textbf{\frac{1}{3}}", "a font"),
    equal("13", "**13**", "Markdown"),
    equal("13", "`13`", "code"),
    equal("13", r"13\ \blacksquare", "an end mark"),
    equal("13", r"\hspace{2mm}13", "space"),
    equal("13", r"\(13\)", "delimiters"),
    equal("13", r"\begin{array}{c}13\end{array}", "a table of one"),
    equal("12", r"\text{The answer is } 12", "a sentence that ends in the answer"),
    equal("11", r"x\approx11", "about"),
    equal("x+y", r"x+\mathrm{y}", "an upright letter is the letter"),
    equal(r"5\mathbf{v}", "5v", "a bold letter is the letter"),
    different(r"2\mathbf{A}", r"2\mathbf{B}", "another bold letter"),
    different(r"2\mathbf{A}", "2", "a bold letter is not an unit"),
    equal("26!", "26!.", "a full stop"),
    different("5", "5!.", "a factorial before a full stop"),
    equal("no", r"\mathbf{no}", "a word in bold"),
    different("13", r"\text{not }13", "a word that matters"),
)

_TEXT = "text|textrm|textnormal|textup|textbf|textit|textsf|texttt|textsc|textsl|textmd|mbox|hbox|emph|intertext"
_UPRIGHT = "mathrm|operatorname|mathsf|mathtt|mathit|mathop|mathnormal|rm|roman"
_BOLD = "mathbf|boldsymbol|bm|pmb|vec|overrightharpoon|bold|symbf"
_FONTS = re.compile(rf"\\(?:({_TEXT})|({_UPRIGHT})|({_BOLD}))\*?(?![A-Za-z])")
_SWITCHES = re.compile(
    r"\\(?:bf|it|sf|tt|sl|sc|em|bfseries|itshape|rmfamily|sffamily|ttfamily|normalfont|upshape|mdseries|boldmath|"
    r"tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|displaystyle|textstyle|scriptstyle|"
    r"scriptscriptstyle|limits|nolimits|strut|mathstrut|centering|noindent|protect|relax|allowbreak|nobreak|"
    r"hfill|vfill|newline|bigskip|medskip|smallskip|nonumber|notag|null)(?![A-Za-z])"
)
_AROUND = re.compile(
    r"\\(?:underline|underbar|uline|uuline|ensuremath|boxed|fbox|framebox|mathchoice|smash|mathclap|mathord|mathbin|"
    r"mathrel|mathinner|centerline|makebox|raisebox|overbrace|underbrace|hl|bbox|enclose)(?![A-Za-z])\s*(?=[{])"
)
_WITH_ARGUMENT = re.compile(
    r"\\(?:color|textcolor|colorbox|hspace|vspace|hskip|vskip|phantom|hphantom|vphantom|label|tag|fontsize|selectfont|"
    r"definecolor|mathcolor|cssId|class|style|scalebox|kern|mkern|mspace|rule)\*?(?![A-Za-z])\s*(?:\[[^\]]*\]\s*)?"
    r"(?:\{[^{}]*\}|-?[\d.]+\s*(?:pt|mm|cm|em|ex|mu|in)?)?"
)
_BIG = re.compile(r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])\s*(\.(?!\d))?")
_SPACES = re.compile(
    r"(?<!\\)((?:\\\\)*)\\(?:[,;:> !]|"
    r"(?:quad|qquad|enspace|enskip|thinspace|medspace|thickspace|negthinspace|nobreakspace|space)(?![A-Za-z]))"
)
_DELIMITERS = re.compile(r"(?<!\\)(?:\\\(|\\\)|\\\[|\\\](?!\w))")
_TAGS = re.compile(r"</?(?:b|i|u|em|strong|span|sub|mark|font|center|div|p|code|answer|br)(?:\s[^<>]*)?/?>")
_LAYOUT = re.compile(r"\\(?:begin|end)\s*\{(?:equation|equation\*|center|displaymath|math)\}")
_MARKDOWN = re.compile(r"^\s*(?:(\*\*\*|\*\*|\*|__|`+|\"|''|')(?P<inside>.+)\1|#+\s+(?P<heading>.+))\s*$", re.DOTALL)
_END = re.compile(
    r"(?:\\(?:blacksquare|square|Box|qed|qedsymbol|checkmark|blacklozenge|diamond|bigstar|hfill)(?![A-Za-z])|\\\\|[,;:]+\s*$|(?<!\.)\.\s*$|~|\\(?=$))\s*$"
)
_START = re.compile(
    r"^(?:=|:|~|\\\\|\\(?:Rightarrow|rightarrow|implies|therefore|to|longrightarrow|Longrightarrow|approx|approxeq|simeq|because|iff|cong|colon|bullet)(?![A-Za-z])|&)\s*"
)  # fmt: skip
_LEAD_WORDS = (
    r"(?:(?:therefore|thus|hence|so|finally)\b,?\s*)?(?:(?:the|my|our)\s+)?(?:(?:final|correct|required|desired|exact)\s+)?"
    r"(?:answer|result|solution|value|total|option|choice)(?:\s+(?:of\s+\w+\s+)?"
    r"(?:is|are|equals|was|will be|would be))?"
    r"\s*[:=]?|"
    r"(?:therefore|thus|hence|so|there are|there is|it is|it equals|"
    r"we get|we have|this is|approximately|about|exactly|equals|ans\.|ans\b|approx\.|approx\b)\s*[:=,]?"
)
_SENTENCE = re.compile(
    rf"^\\text\s*\{{\s*(?:{_LEAD_WORDS})\s*\}}\s*[:=]?\s*(?=\S)|^(?:{_LEAD_WORDS})\s+(?=\S)|^(?:answer|ans|result)\s*[:=]\s*(?=\S)",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"^\\text\s*\{\s*(?:the\s+)?(?:(?:final|correct)\s+)?(?:answer|option|choice)\s*(?:is|:|=)\s*(?=[^\s}])",
    re.IGNORECASE,
)
_FILLED = re.compile(r"\\text\s*\{((?!\s*\((?![^{}]*\)))[^{}]*[\d$\\(][^{}]*)\}")
_MATHS = re.compile(r"[\\_^]")
_SWITCHED = re.compile(r"\{\s*\\(rm|bf|it|sf|tt|mathrm|mathbf)(?![A-Za-z])\s*([^{}]*)\}")


def plain(text: str) -> str:
    r"""The text without its ornaments.

    >>> plain(r"$\textcolor{red}{\mathbf{13}}\ \blacksquare$"), plain(r"\left(\dfrac12,\,3\right].")
    ('13', '(\\dfrac12, 3]')
    """
    text = _TAGS.sub(" ", _LAYOUT.sub(" ", text))
    text = re.sub(r"\\left\s*<", r"\\langle ", re.sub(r"\\right\s*>", r"\\rangle ", text))
    text = re.sub(r"\\(?:under|over)brace\s*(\{[^{}]*\})\s*[_^]\s*\{(?:[^{}]|\{[^{}]*\})*\}", r"\1", text)
    text = _DELIMITERS.sub(" ", text)
    text = re.sub(r"(?<!\\)\$", "", text)
    text = re.sub(r"\\fcolorbox\s*\{[^{}]*\}\s*\{[^{}]*\}", " ", text)
    text = _WITH_ARGUMENT.sub(" ", text)
    text = _SWITCHED.sub(lambda m: rf"{{\{_switched(m[1])}{{{m[2]}}}}}", text)
    text = re.sub(r"\\vec\s*(?=\{\s*[A-Z]{2}\s*\})", r"\\overrightarrow", text)
    text = _FONTS.sub(lambda m: r"\text" if m[1] else r"\mathrm" if m[2] else r"\mathbf", text)
    text = re.sub(r"\\mathrm(?![A-Za-z])\s*(?!\s*[{])", " ", text)
    text = _SWITCHES.sub(" ", text)
    text = re.sub(r"\\f?boxed(?![A-Za-z])|\\fbox(?![A-Za-z])", " ", _AROUND.sub("", text))
    text = _BIG.sub("", text)
    text = _SPACES.sub(lambda m: m[1] + ("" if m[0].endswith("!") else " "), text)
    text = text.replace("~", " ")
    text = _FILLED.sub(lambda m: f" {m[1]} ", text)
    before = None
    while before != text:
        before = text
        text = _bare(text)
    return re.sub(r"\s+", " ", text).strip()


def _switched(font: str) -> str:
    return {"rm": "mathrm", "bf": "mathbf", "mathbf": "mathbf"}.get(font, "mathrm")


def _bare(text: str) -> str:
    """One layer less around the whole text."""
    text = text.strip()
    if marked := _MARKDOWN.match(text):
        text = marked["inside"] or marked["heading"]
    text = _END.sub("", text).strip()
    text = _START.sub("", text)
    text = _SENTENCE.sub("", _SAID.sub(r"\\text{", text))
    if text.startswith("{") and end_of_group(text, 0) == len(text):
        text = text[1:-1]
    if text.startswith(r"\text{") and end_of_group(text, 5) == len(text) and _MATHS.search(text, 6):
        text = text[6:-1]
    for font in (r"\mathbf", r"\mathrm"):
        if (
            text.startswith(font + "{")
            and end_of_group(text, len(font)) == len(text)
            and not (text[len(font) + 1 : -1].isalpha() and len(text) == len(font) + 3)
        ):
            text = text[len(font) + 1 : -1]
    return text.strip()
