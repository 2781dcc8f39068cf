"""Two models on the same videos: McNemar's test, exact and corrected chi-square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, chi2  # type: ignore[import-untyped]

EXACT_BELOW = 25
"""Below this many discordant videos the chi-square distribution is a poor fit and the exact test is quoted."""


@dataclass(frozen=True)
class McNemar:
    """How often two models are right on the same videos, and whether the difference can be chance.

    `chi2 = (|only_a - only_b| - 1)^2 / (only_a + only_b)` with one degree of freedom (McNemar 1947 with the correction
    of Edwards 1948; srtg-mtnet 2.15); exact: two-sided binomial test of `only_a` in `only_a + only_b` at 1/2. Videos
    are taken as independent; with groups of like videos prefer the interval of the difference.
    """

    both: int
    """Right for both."""
    only_a: int
    only_b: int
    neither: int

    @property
    def chi2(self) -> float:
        """The corrected statistic; 0 where the models never differ."""
        discordant = self.only_a + self.only_b
        return (abs(self.only_a - self.only_b) - 1) ** 2 / discordant if discordant else 0.0

    @property
    def p_chi2(self) -> float:
        """Probability of a statistic at least as large, were both equally good."""
        return float(chi2.sf(self.chi2, df=1))

    @property
    def p_exact(self) -> float:
        """The same from the binomial distribution."""
        discordant = self.only_a + self.only_b
        return float(binomtest(self.only_a, discordant, 0.5).pvalue) if discordant else 1.0

    @property
    def test(self) -> str:
        """Which of the two to quote: `exact` or `chi2`."""
        return "exact" if self.only_a + self.only_b < EXACT_BELOW else "chi2"

    @property
    def p(self) -> float:
        """The p-value to quote."""
        return self.p_exact if self.test == "exact" else self.p_chi2

    def to_dict(self) -> dict[str, float | int | str]:
        """Counts, statistic and p-values; JSON-ready."""
        p_values = {"chi2": self.chi2, "p_chi2": self.p_chi2, "p_exact": self.p_exact, "test": self.test, "p": self.p}
        return {**vars(self), **p_values}


def mcnemar(right_a_N: npt.NDArray[np.bool_], right_b_N: npt.NDArray[np.bool_]) -> McNemar:
    """Counts the four cases for two models on the same N videos."""
    a, b = right_a_N, right_b_N
    return McNemar(int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum()))
