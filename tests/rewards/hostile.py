"""Responses that hang a symbolic checker, fill its memory or its stack, or are hardly text. None is an answer of 5."""

HOSTILE: dict[str, str] = {
    "a tower": r"\boxed{8^{8^{8^{8}}}}",
    "a tower under a fraction": r"\boxed{\frac{1}{7^{7^{7^{7}}}}}",
    "a factorial of a factorial": r"\boxed{((3!)!)!!!}",
    "a factorial of a tower": r"\boxed{3^{3^{90}}!}",
    "powers without braces": r"\boxed{3" + "^3" * 100 + "}",
    "5,000 nested brackets": r"\boxed{" + "(" * 5_000 + "1" + ")" * 5_000 + "}",
    "30 nested roots": r"\boxed{" + r"\sqrt{2+" * 30 + "2" + "}" * 30 + "}",
    "30 nested fractions": r"\boxed{" + r"\frac{1}{1+" * 30 + "x" + "}" * 30 + "}",
    "100,000 digits": r"\boxed{" + "3" * 100_000 + "}",
    "an exponent of 400 digits": r"\boxed{2^{" + "9" * 400 + "}}",
    "a binomial coefficient of large numbers": r"\boxed{\binom{10^{9}}{5\cdot 10^{8}}}",
    "an empty box": r"\boxed{}",
    "20,000 opening braces": r"\boxed" + "{" * 20_000,
    "3,000 boxes": r"\boxed{4}" * 3_000,
    "50,000 dollars": "$" * 50_000,
    "a sum of a billion terms": r"\boxed{\sum_{k=1}^{10^{9}} \frac{1}{k^{3}}}",
    "a product of a billion factors": r"\boxed{\prod_{k=2}^{10^{9}} \left(1-\frac{1}{k^{2}}\right)}",
    "an integral without a closed form": r"\boxed{\int_0^{1} e^{\sin(x^{x^{x}})}\,dx}",
    "a remainder of a tower": r"\boxed{7^{7^{7^{7}}} \bmod 1000}",
    "a floor of a tower": r"\boxed{\lfloor 9^{9^{9}}e\rfloor}",
    "a sine of a tower": r"\boxed{\sin(9^{9^{9}})}",
    "40 intervals": r"\boxed{" + r"\cup".join(f"({3 * k},{3 * k + 1})" for k in range(40)) + "}",
    "300 intervals": r"\boxed{" + r"\cup".join(f"({3 * k},{3 * k + 1})" for k in range(300)) + "}",
    "a polynomial of a high power": r"\boxed{(x+y+z+1)^{200}-(x+y+z+1)^{199}}",
    "a large matrix": r"\boxed{\begin{pmatrix}"
    + r"\\".join("&".join(f"x^{{{i * j}}}" for j in range(6)) for i in range(6))
    + r"\end{pmatrix}^{-1}}",
    "other scripts and directions": "答えは\\boxed{六} \u202e",
    "half of a character": "\\boxed{\ud800}",
}
"""What is hostile about it, and the response."""
