"""Which problems a policy solves at all: what training keeps, gains and loses, beside a placebo.

A problem counts as solved at k when one of k samples is right. Two policies are compared on k samples each, drawn
without replacement from the samples at hand and independently of one another. All counts are exact expectations over
those draws: with n = k samples they are the usual counts of sets, with more they vary less.
"""

from dataclasses import dataclass

import numpy as np

from rsgrpo.measures.pass_at_k import Counts, ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """Expected numbers of problems by who solves them at k, and the ratios of arXiv:2507.14843 ("The Invisible Leash").

    Each ratio is nan where it would divide by zero.
    """

    k: int
    kept: float
    """Solved by both policies."""
    gained: float
    """Solved by the second one alone."""
    lost: float
    """Solved by the first one alone."""
    neither: float

    @property
    def srr(self) -> float:
        """Support retention rate: kept / (kept + lost)."""
        return _ratio(self.kept, self.kept + self.lost)

    @property
    def ndr(self) -> float:
        """Net discovery rate: gained / (kept + gained)."""
        return _ratio(self.gained, self.kept + self.gained)

    @property
    def nscr(self) -> float:
        """Net support change rate: (gained - lost) / (kept + gained + lost)."""
        return _ratio(self.gained - self.lost, self.kept + self.gained + self.lost)

    @property
    def sds(self) -> float:
        """Support dynamic score: the harmonic mean of `srr` and `ndr`."""
        return _ratio(2 * self.srr * self.ndr, self.srr + self.ndr)


def support(first: tuple[Counts, Counts], second: tuple[Counts, Counts], k: int) -> Support:
    """Kept, gained and lost between two policies, each given as (n, correct) of the same problems in the same order.

    With p and q their pass@k of a problem: kept = sum p q, gained = sum (1 - p) q, lost = sum p (1 - q).

    Raises:
        ValueError: when k is not between 1 and every n.
    """
    p, q = (ladder(n, correct, [k])[k] for n, correct in (first, second))
    return _counted(k, p * q, p, q)


def placebo(n: Counts, correct: Counts, k: int) -> Support:
    """What `support` says of a policy and itself: two disjoint sets of k of the same samples.

    Chance alone gains and loses problems. P(both sets hold a correct one) = 1 - 2 C(n-c, k) / C(n, k) +
    C(n-c, 2k) / C(n, 2k), so pass@k and pass@2k give it.

    Raises:
        ValueError: when 2k is not between 1 and every n: the samples do not make two sets.
    """
    passed = ladder(n, correct, [k, 2 * k])
    both = 2 * passed[k] - passed[2 * k]
    return _counted(k, both, passed[k], passed[k])


def _counted(k: int, both: np.ndarray, p: np.ndarray, q: np.ndarray) -> Support:
    kept, gained, lost = (float(np.clip(share, 0, 1).sum()) for share in (both, q - both, p - both))
    return Support(k=k, kept=kept, gained=gained, lost=lost, neither=len(p) - kept - gained - lost)


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else float("nan")
