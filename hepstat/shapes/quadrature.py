"""Gauss-Legendre quadrature over bins, for densities without a closed integral."""

from functools import cache
from math import factorial

import numpy as np

from hepstat.types import Floats

__all__ = ["quadrature"]

_NODES_PER_RANGE = 64
_MOST_NODES_PER_BIN = 4096
_PRECISION = 1e-8
_MOST_NODES_OF_A_RULE = 16


@cache
def _rule(n: int) -> tuple[Floats, Floats]:
    """Return nodes and weights on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return nodes, weights


@cache
def _steepest(n: int) -> float:
    """Return the largest change of log f over a bin for which n nodes integrate an exponential to the precision."""
    error = factorial(n) ** 4 / ((2 * n + 1) * factorial(2 * n) ** 3)
    return float((_PRECISION / error) ** (0.5 / n))


def quadrature(edges: Floats, scale: float | None = None, steepness: float = 0.0) -> tuple[Floats, Floats]:
    """Return nodes and weights (nodes per bin, bins).

    Every bin gets the same number of nodes: two at least, some 64 on the range together, as many as an exponential of
    twice the steepness needs for a relative precision of 1e-8, and more where bins are not narrow against the smallest
    structure, for which the error stays below 1e-7 of its integral.

    Parameters
    ----------
    edges : (bins + 1,)
    scale : float or None
        Width of the smallest structure.
    steepness : float, optional
        Largest logarithmic slope, in one over the units of x.
    """
    widths = np.diff(edges)
    change = 2.0 * steepness * np.max(widths)
    per_bin = next((n for n in range(2, _MOST_NODES_OF_A_RULE) if change <= _steepest(n)), _MOST_NODES_OF_A_RULE)
    panels = max(1, int(np.ceil(change / _steepest(_MOST_NODES_OF_A_RULE))))
    per_bin = max(per_bin, -(-_NODES_PER_RANGE // len(widths)))
    if scale is not None:
        needed = int(np.ceil(np.max(widths) / (2.0 * scale)))
        per_bin = max(per_bin, 6 if needed == 1 else 12)
        panels = max(panels, needed)
    panels = min(panels, max(1, _MOST_NODES_PER_BIN // per_bin))
    nodes, weights = _rule(per_bin)
    starts = np.arange(panels) / panels
    unit = (starts[:, None] + (nodes + 1.0) / (2.0 * panels)).ravel()
    return edges[:-1] + widths * unit[:, None], widths * np.tile(weights / (2.0 * panels), panels)[:, None]
