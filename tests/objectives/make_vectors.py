"""Writes vectors.json: advantages from their published definitions, in 50 digits, by brute force over all subsets.

    python -m tests.objectives.make_vectors

Nothing of the library is used: sums over subsets are written out, exponentials are mpmath's, and a float is the exact
fraction that it is. Advantages are for the mean over completions, N times what papers print for a sum.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mpmath import binomial, exp, findroot, fsum, log, mp, mpf, quad, sqrt

FILE = Path(__file__).parent / "vectors.json"

GROUPS: dict[str, list[float]] = {
    "spread": [0.0, 0.2, 0.5, 1.0],
    "one of 4": [1.0, 0.0, 0.0, 0.0],
    "two of 4": [0.0, 1.0, 1.0, 0.0],
    "all of 4": [1.0] * 4,
    "none of 4": [0.0] * 4,
    "three of 5": [1.0, 0.0, 1.0, 1.0, 0.0],
    "ties": [0.25, 0.75, 0.25, 0.75, 0.5, 0.0],
    "negative": [-1.5, 0.5, -0.25, -3.0, 0.5],
}
BINARY = [name for name, rewards in GROUPS.items() if set(rewards) <= {0.0, 1.0}]
UNIT = [name for name, rewards in GROUPS.items() if all(0 <= r <= 1 for r in rewards)]

Rewards = Sequence[Any]
Formula = Callable[[Rewards], list[Any]]


def mean(values: Sequence[Any]) -> Any:
    return fsum(values) / len(values)


def without(values: Rewards, i: int) -> list[Any]:
    return [value for j, value in enumerate(values) if j != i]


def deviation(values: Rewards, ddof: int) -> Any:
    return sqrt(fsum((v - mean(values)) ** 2 for v in values) / (len(values) - ddof))


def centred(r: Rewards) -> list[Any]:
    return [x - mean(r) for x in r]


def rloo(r: Rewards) -> list[Any]:
    return [x - mean(without(r, i)) for i, x in enumerate(r)]


def standardised(ddof: int, eps: str) -> Formula:
    def formula(r: Rewards) -> list[Any]:
        scale = deviation(r, ddof) + mpf(eps)
        return [x / scale if scale else mpf(0) for x in centred(r)]

    return formula


def risk(beta: str, estimator: str) -> Formula:
    b = mpf(beta)

    def formula(r: Rewards) -> list[Any]:
        if b == 0:
            return centred(r) if estimator == "plugin" else rloo(r)
        e = [exp(b * x) for x in r]
        others = [mean(without(e, i)) for i in range(len(r))]
        return {
            "plugin": [(x / mean(e) - 1) / b for x in e],
            "loo": [(x / o - 1) / b for x, o in zip(e, others, strict=True)],
            "vimco": [len(r) * log(mean(e) / o) / b for o in others],
            "jackknife": [len(r) * (jackknife(e) - jackknife(without(e, i))) / b for i in range(len(r))],
        }[estimator]

    return formula


def jackknife(e: Rewards) -> Any:
    """n log mean - (n - 1) times the mean of log mean without one: log mean, less its bias of the order 1/n."""
    n = len(e)
    return n * log(mean(e)) - (n - 1) * mean([log(mean(without(e, i))) for i in range(n)])


def subsets_with(r: Rewards, i: int, k: int) -> list[tuple[Any, ...]]:
    return [(r[i], *rest) for rest in itertools.combinations(without(r, i), k - 1)]


def mean_max(r: Rewards, i: int, k: int) -> Any:
    """The mean, over the k-subsets that hold i, of their maximum."""
    return mean([max(subset) for subset in subsets_with(r, i, k)])


def s(r: Rewards, k: int) -> list[Any]:
    """N / C(N, k) times the sum of the maxima of the k-subsets that hold i."""
    n = len(r)
    return [n / binomial(n, k) * fsum(max(subset) for subset in subsets_with(r, i, k)) for i in range(n)]


def s_loo(r: Rewards, k: int) -> list[Any]:
    """s_i minus the mean of the others' s, computed without i; both for a sum over completions, then N times it."""
    n = len(r)
    alone = [mean([x / (n - 1) for x in s(without(r, i), k)]) for i in range(n)]
    return [a - n * b for a, b in zip(s(r, k), alone, strict=True)]


def added(r: Rewards, k: int) -> list[Any]:
    """k times the mean over the (k-1)-subsets of the others of what i adds to their maximum."""
    n = len(r)
    return [k * mean([max(sub) - max(sub[1:]) for sub in subsets_with(r, i, k)]) for i in range(n)]


def maxpo(r: Rewards, k: int) -> list[Any]:
    """k times what i adds to k - 1 others in level, minus the mean of what each other adds when i is left out too."""
    n = len(r)
    level = [mean_max(r, i, k) for i in range(n)]
    return [k * (level[i] - mean([mean_max(without(r, i), j, k) for j in range(n - 1)])) for i in range(n)]


def chen(r: Rewards, k: int, eps: str, normalised: bool) -> list[Any]:
    best = [max(subset) for subset in itertools.combinations(r, k)]
    sigma = deviation(best, 0) + mpf(eps) if normalised else mpf(1)
    level = [mean_max(r, i, k) for i in range(len(r))]
    return [(x - mean(level)) / sigma if sigma else mpf(0) for x in level]


def mahdavi(r: Rewards, k: int, eps: str | None) -> list[Any]:
    p = mean(r)
    scale = mpf(1) if eps is None else sqrt(p * (1 - p)) + mpf(eps)
    return [k * (1 - p) ** (k - 1) * (x - p) / scale for x in r]


def best_of_n(r: Rewards) -> list[Any]:
    return [len(r) * (max(r) - max(without(r, i))) for i in range(len(r))]


def maxrl(r: Rewards) -> list[Any]:
    return [x / (mean(r) + mpf("1e-6")) for x in centred(r)]


def focal(r: Rewards) -> list[Any]:
    return [(1 - mean(r)) * x for x in standardised(1, "1e-6")(r)]


def imagined(r: Rewards) -> list[Any]:
    """Standardised together with one more reward of 1."""
    return standardised(1, "1e-6")([*r, mpf(1)])[:-1]


def below_quantile(quantile: str) -> Formula:
    """Less the quantile, between the two ranks that hold it, over the standard deviation."""

    def formula(r: Rewards) -> list[Any]:
        place = mpf(quantile) * (len(r) - 1)
        low = int(place)
        ordered = [*sorted(r), mpf(0)]
        at = ordered[low] + (place - low) * (ordered[low + 1] - ordered[low]) if place > low else ordered[low]
        scale = deviation(r, 1)
        return [(x - at) / (scale + mpf("1e-6")) if scale else mpf(0) for x in r]

    return formula


def gated(k: int, threshold: str) -> Formula:
    """k (1 - p)^(k-1) averaged over the posterior of p, as an integral, times the centred rewards; 0 if it is small."""

    def formula(r: Rewards) -> list[Any]:
        n, c = len(r), int(fsum(r))
        whole: Any = quad(lambda p: p**c * (1 - p) ** (n - c), [0, 1])
        with_weight: Any = quad(lambda p: p**c * (1 - p) ** (n - c) * k * (1 - p) ** (k - 1), [0, 1])
        weight = with_weight / whole
        return [weight * x if weight >= mpf(threshold) * (n + 1) else mpf(0) for x in centred(r)]

    return formula


def beta_of(r: Rewards, kl: Any) -> Any:
    """The beta at which softmax(beta r) is kl nats from uniform."""

    def gap(beta: Any) -> Any:
        e = [exp(beta * x) for x in r]
        q = [x / fsum(e) for x in e]
        return fsum(x * log(x * len(r)) for x in q) - kl

    return findroot(gap, (mpf("0.5"), mpf(20)), solver="anderson")


def entropic(kl: str) -> Formula:
    def formula(r: Rewards) -> list[Any]:
        e = [exp(beta_of(r, mpf(kl)) * x) for x in r]
        return [x / mean(without(e, i)) - 1 for i, x in enumerate(e)]

    return formula


def every_vector() -> list[tuple[str, list[str], Formula, Sequence[str]]]:
    """(yaml, settings, formula, groups)."""
    any_reward, longer = list(GROUPS), [name for name, r in GROUPS.items() if len(r) > 4]
    return [
        ("reinforce", [], list, any_reward),
        ("grpo", [], centred, any_reward),
        ("rloo", [], rloo, any_reward),
        *(
            ("grpo", ["normalize_std=true", f"ddof={d}", f"eps={e}"], standardised(d, e), any_reward)
            for d in (0, 1)
            for e in ("0.0", "1e-6")
        ),
        *(
            ("rs_grpo", [f"beta={b}", f"estimator={e}"], risk(b, e), any_reward)
            for e in ("plugin", "loo", "vimco", "jackknife")
            for b in ("-4", "-2", "0", "0.5", "2", "4")
        ),
        *(("rs_grpo", [f"beta={b}"], risk(b, "plugin"), any_reward) for b in ("8", "64", "-64")),
        ("best_of_n", [], best_of_n, any_reward),
        *(("pkpo", ["estimator=s", f"k={k}"], lambda r, k=k: s(r, k), any_reward) for k in (1, 2, 4)),
        *(("pkpo", ["estimator=s_loo", f"k={k}"], lambda r, k=k: s_loo(r, k), any_reward) for k in (1, 2, 3)),
        *(("pkpo", [f"k={k}"], lambda r, k=k: added(r, k), any_reward) for k in (2, 3, 4)),
        *(("rspo", [f"k={k}"], lambda r, k=k: added(r, k), any_reward) for k in (2, 3)),
        *(("maxpo", [f"k={k}"], lambda r, k=k: maxpo(r, k), any_reward) for k in (1, 2, 3)),
        ("maxpo", ["k=4"], lambda r: maxpo(r, 4), longer),
        *(("chen", [f"k={k}", "eps=1e-6"], lambda r, k=k: chen(r, k, "1e-6", True), any_reward) for k in (2, 3)),
        *(
            ("chen", [f"k={k}", "normalize_std=false"], lambda r, k=k: chen(r, k, "0", False), any_reward)
            for k in (2, 3)
        ),
        *(("mahdavi", [f"k={k}"], lambda r, k=k: mahdavi(r, k, None), BINARY) for k in (2, 4)),
        *(
            ("mahdavi", [f"k={k}", "estimator=grpo", "eps=1e-6"], lambda r, k=k: mahdavi(r, k, "1e-6"), BINARY)
            for k in (2, 4)
        ),
        *(("mahdavi", [f"k={k}", "estimator=unbiased"], lambda r, k=k: added(r, k), BINARY) for k in (2, 4)),
        *(("rspo", [f"k={k}", "metric=pass_at_k"], lambda r, k=k: added(r, k), BINARY) for k in (2, 4)),
        ("maxrl", ["eps=1e-6"], maxrl, UNIT),
        ("focal", ["eps=1e-6"], focal, UNIT),
        ("ngrpo", ["eps=1e-6"], imagined, UNIT),
        *(
            ("qae", [f"quantile={q}", "eps=1e-6"], below_quantile(q), any_reward)
            for q in ("0.25", "0.4", "0.75", "1.0")
        ),
        *(
            ("boundary_gate", [f"k={k}", f"threshold={t}"], gated(k, t), BINARY)
            for k in (1, 4, 16)
            for t in ("0.0", "0.05")
        ),
        ("w_reinforce", [], lambda r: [mpf("0.1") if x else mpf(-1) for x in r], BINARY),
        *(("entropic", [f"kl={kl}"], entropic(kl), ["spread", "one of 4", "ties"]) for kl in ("0.25", "0.6")),
    ]


def pass_at_k(n: int, correct: int, k: int) -> Any:
    return 1 - binomial(n - correct, k) / binomial(n, k)


def number(value: Any) -> float:
    return float(value) + 0.0  # no negative zero


def main() -> None:
    mp.dps = 50
    exact = {name: [mpf(r) for r in rewards] for name, rewards in GROUPS.items()}
    content = {
        "groups": GROUPS,
        "advantages": [
            {"objective": name, "settings": settings, "of": {g: [number(a) for a in formula(exact[g])] for g in groups}}
            for name, settings, formula, groups in every_vector()
        ],
        "pass_at_k": [
            [n, c, k, number(pass_at_k(n, c, k))]
            for n, c in ((4, 1), (16, 0), (16, 3), (16, 12), (16, 16), (256, 5))
            for k in (1, 2, 4, 16, 64)
            if k <= n
        ],
        "beta_of_kl": [
            [kl, name, number(beta_of(exact[name], mpf(kl)))] for kl in ("0.25", "0.6") for name in UNIT[:2]
        ],
        "by_number_correct": {
            beta: [[number(a) for a in (x[0], x[-1])] for c in range(1, 16) if (x := _binary_risk(beta, c, 16))]
            for beta in ("0", "1", "2", "4", "8")
        },
    }
    lines = json.dumps(content, indent=1)
    FILE.write_text(lines + "\n", encoding="utf-8")


def _binary_risk(beta: str, correct: int, n: int) -> list[Any]:
    return risk(beta, "plugin")([mpf(1)] * correct + [mpf(0)] * (n - correct))


if __name__ == "__main__":
    main()
