"""Bins whose expectation B + g SB + g^2 S is negative for some coupling g."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepstat.record import Record
from hepstat.strength.parabola import is_positive, roots
from hepstat.types import Floats, Ints

__all__ = ["Violations", "violations_of"]


@dataclass(frozen=True, eq=False, repr=False)
class Violations(Record):
    """Bins with a negative expectation for some coupling: v of them.

    Attributes
    ----------
    bins : ndarray of int, (v,)
    lower, upper : ndarray, (v,)
        Couplings between which the expectation is negative: of two ranges that nearer to 0; an end may be infinite.
    lowest : ndarray, (v,)
        Lowest expectation, B - SB^2 / (4 S); without a limit where S is not positive.
    significance : ndarray, (v,)
        How many standard errors of the templates it is below zero; NaN if these are not known. Where amplitudes
        interfere fully the truth touches zero, so that half of the bins are below by chance, and most by less than 2.
    n_bins : int
        Number of bins in all.
    """

    bins: Ints
    lower: Floats
    upper: Floats
    lowest: Floats
    significance: Floats
    n_bins: int

    def __len__(self) -> int:
        """Return the number of bins."""
        return int(self.bins.size)

    def __str__(self) -> str:
        """Return a table."""
        lines = [f"{len(self)} of {self.n_bins} bins are negative for some coupling"]
        if len(self):
            lines.append(f"  {'bin':>5} {'from':>10} {'to':>10} {'lowest':>11} {'errors':>7}")
        columns = (self.bins, self.lower, self.upper, self.lowest, self.significance)
        for i, low, high, least, z in zip(*columns, strict=True):
            lines.append(f"  {i:5d} {low:10.4g} {high:10.4g} {least:11.4g} {z:7.2f}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Show the numbers of bins, and the most significant one."""
        worst = f", up to {self.significance.max():.2g} errors below zero" if len(self) else ""
        return f"Violations({len(self)} of {self.n_bins} bins{worst})"


def violations_of(templates: Floats, covariance: Floats | None) -> Violations:
    """Return the violations of templates (3, bins) with covariances (bins, 3, 3)."""
    bins = np.flatnonzero(~is_positive(*templates))
    found = [_violation(templates[:, i], None if covariance is None else covariance[i]) for i in bins]
    lower, upper, lowest, significance = np.array(found, dtype=np.float64).reshape(-1, 4).T
    return Violations(bins, lower, upper, lowest, significance, templates.shape[1])


def _violation(template: Floats, covariance: Floats | None) -> tuple[float, float, float, float]:
    """Return (lower, upper, lowest, significance) of a bin that is negative for some coupling."""
    b, m, s = template.tolist()
    directions = [(1.0, 0.0, 0.0)] if b < 0 else []
    if s > 0:
        at, lowest = -m / (2.0 * s), b - m * m / (4.0 * s)
        lower, upper = sorted(map(float, roots(*template)))
        directions.append((1.0, at, at * at))  # where the lowest is, so that its error is that of the sum there
    else:
        lower, upper, lowest = *_open_range(b, m, s), -np.inf
        if s < 0 or m:
            directions.append((0.0, 0.0, 1.0) if s < 0 else (0.0, -np.sign(m), 0.0))
    if covariance is None:
        return lower, upper, lowest, np.nan
    with np.errstate(divide="ignore"):
        pulls = [-(v @ template) / np.sqrt(v @ covariance @ v) for v in np.array(directions)]
    return lower, upper, lowest, float(max(pulls))


def _open_range(b: float, m: float, s: float) -> tuple[float, float]:
    """Return the range nearest to 0 in which b + m g + s g^2, with s of at most 0, is negative."""
    if s == 0.0:
        at = -b / m if m else np.inf
        return (-np.inf, at) if m >= 0 else (at, np.inf)
    square = m * m - 4.0 * s * b
    if square < 0:
        return -np.inf, np.inf
    first, second = sorted(map(float, roots(*np.array([b, m, s]))))
    below = first > 0 or (second >= 0 and -first <= second)
    return (-np.inf, first) if below else (second, np.inf)
