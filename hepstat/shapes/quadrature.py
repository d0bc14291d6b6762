"""Gauss-Legendre quadrature over bins, for densities without a closed integral."""

from functools import cache

import numpy as np

from hepstat.types import Floats

__all__ = ["quadrature"]

_NODES_PER_RANGE = 64
_MOST_NODES_PER_BIN = 4096


@cache
def _rule(n: int) -> tuple[Floats, Floats]:
    """Return nodes and weights on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return nodes, weights


def quadrature(edges: Floats, scale: float | None = None) -> tuple[Floats, Floats]:
    """Return nodes and weights (nodes per bin, bins).

    Each bin gets the same number of nodes: two at least, so that together there are some 64 on the range, and more
    where bins are not narrow against the smallest structure. On a smooth falling spectrum with bins of a tenth of its
    length scale, two nodes are good to 1e-8; with a structure of width `scale` the error is below 1e-7 of its integral.

    Parameters
    ----------
    edges : (bins + 1,)
    scale : float or None
        Width of the smallest structure.
    """
    widths = np.diff(edges)
    per_bin = max(2, -(-_NODES_PER_RANGE // len(widths)))
    panels = 1
    if scale is not None:
        per_bin = max(per_bin, 6)
        panels = int(np.ceil(np.max(widths) / (2.0 * scale)))
        panels = max(1, min(panels, _MOST_NODES_PER_BIN // per_bin))
        if panels > 1:
            per_bin = 12
    nodes, weights = _rule(per_bin)
    starts = np.arange(panels) / panels
    unit = (starts[:, None] + (nodes + 1.0) / (2.0 * panels)).ravel()
    return edges[:-1] + widths * unit[:, None], widths * np.tile(weights / (2.0 * panels), panels)[:, None]
