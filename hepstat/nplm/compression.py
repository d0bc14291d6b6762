"""Fewer events with the same sums: Gauss rules on a line with a bound, identical events merged, boxes for screening.

The likelihood knows the reference by sums of w exp(f + log r) alone. With one feature, events in narrow cells give the
same sums as a few nodes with weights, to any accuracy that is asked for, since a network of bounded weights is smooth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import event_weights, features, nonnegative_number, open_share, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.kernels.compression import compress_line, merge_boxes
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["Compressed", "cell_width", "compress", "merge_identical", "merge_together"]

_ORDERS = range(2, 13)
_DOUBLED = {"sigmoid": 1.0, "tanh": 2.0}  # tanh z = 2 sigmoid(2 z) - 1


@dataclass(frozen=True, eq=False, repr=False)
class Compressed(Record):
    """Events in place of more events.

    Attributes
    ----------
    x : ndarray, (m, d)
        Those of weights above zero first.
    weights : ndarray, (m,)
        Their sum is as before.
    n_before : int
        Number of events before.
    bound : float
        Largest error of a sum of w exp(f) that is possible for the networks it was made for, rounding apart, as a
        share of the sum of abs(w) exp(f).
    """

    x: Floats
    weights: Floats
    n_before: int
    bound: float

    @property
    def share(self) -> float:
        """Number of events after over that before."""
        return self.weights.size / self.n_before


def compress(
    x: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    hidden: Sequence[int],
    clip: float,
    activation: str | Sequence[str] = "sigmoid",
    tilt: float = 0.0,
    tolerance: float = 1e-8,
    order: int | None = None,
) -> Compressed:
    """Replace events of one feature by Gauss rules of even cells, with a bound of what that changes.

    Parameters
    ----------
    x : array_like, (n,) or (n, 1)
        As the network sees it: in standard units where it standardises.
    weights : array_like, (n,), optional
        Of any sign, 1 each by default. Positive and negative ones are replaced apart.
    hidden, clip, activation
        The networks that the bound is for: nodes of the hidden layers, largest absolute weight (that of biases does
        not matter), and "sigmoid" or "tanh", for all layers or for each.
    tilt : float, optional
        Largest absolute slope of log r(x; nu) in x, for the nuisances that are of interest. Log r has to be smooth: a
        polynomial of x, or anything that is analytic at a distance of a cell from the real axis. A step is not.
    tolerance : float, optional
        The bound, a share of the sum of abs(w) exp(f + log r). With n expected events, log L is right to n times that.
    order : int, optional
        Nodes of a cell; by default that of 2 to 12 with the fewest nodes.

    Returns
    -------
    Compressed

    Raises
    ------
    InputError
        For more than one feature, no bounds, activations with kinks, or numbers that are not finite.

    See Also
    --------
    cell_width : The bound.

    Notes
    -----
    Sums of w (f + log r), as over data, are off by no more than the tolerance times the sum of abs(w), by the same
    argument. For networks whose weights are all at the clip the measured errors are rounding even at a bound of 1e-2:
    a steep rise within a cell counts little where exp(f) is largest.
    """
    events = features(x)
    if events.shape[1] != 1:
        raise InputError("x", f"has {events.shape[1]} features", "Pass one")
    w = event_weights(len(events), weights, "weights", any_sum=True)
    orders = _ORDERS if order is None else (whole_number(order, "order", at_least=1),)
    options = {"hidden": hidden, "clip": clip, "activation": activation, "tilt": tilt, "tolerance": tolerance}
    widths = [cell_width(m, **options) for m in orders]  # type: ignore[arg-type]

    def replaced(part: Floats, mass: Floats) -> tuple[Floats, Floats]:
        """Return nodes and their weights."""
        rising = np.argsort(part[:, 0], kind="stable")
        line, mass = part[rising, 0], mass[rising]
        sizes = [_nodes(line, width, m) for width, m in zip(widths, orders, strict=True)]
        best = int(np.argmin(sizes))
        nodes, sums = compress_line(line, mass, float(line[0]), widths[best], orders[best])
        return nodes[:, np.newaxis], sums

    return Compressed(*_apart(replaced, events, w), len(events), tolerance)


def cell_width(
    order: int,
    *,
    hidden: Sequence[int],
    clip: float,
    activation: str | Sequence[str] = "sigmoid",
    tilt: float = 0.0,
    tolerance: float = 1e-8,
) -> float:
    """Return how wide cells may be that are replaced by Gauss rules of some order; for arguments see :func:`compress`.

    Notes
    -----
    Sums over the W of a cell, of half width a around c, and over a rule that is exact up to degree 2 m - 1 differ by
    at most 2 W times the distance of g = exp(f + log r) to such polynomials. If |g| <= M in the ellipse with foci
    c - a and c + a and semi-axes A, B = a (rho +- 1/rho) / 2 that is at most 2 M rho^(1 - 2 m) / (rho - 1)
    (Trefethen, "Approximation Theory and Approximation Practice", 2013, theorem 8.2).

    M follows from the slope of f + log r for |Im x| <= B, which is at most S(B): then M <= g(c) exp(S(B) A), while on
    the cell g >= g(c) exp(-S(0) a). So the error is at most 4 rho^(1 - 2 m) / (rho - 1) exp(S(B) A + S(0) a) of the
    sum itself. The width is the largest for which some rho makes that no more than the tolerance.

    For S: absolute weights into a node add up to at most G = clip times the nodes before. If |Im z| <= y < pi, then
    |Im sigmoid(z)| <= tan(y / 2) / 2 and |sigmoid'(z)| <= 1 / (4 cos^2(y / 2)). So layer by layer y becomes
    G tan(y / 2) / 2 and the slope gets a factor G / (4 cos^2(y / 2)), from G B and G of the first.
    """
    m = whole_number(order, "order", at_least=1)
    nodes = [whole_number(n, "hidden", at_least=1) for n in hidden]
    if not nodes:
        raise InputError("hidden", "is empty", "Pass the nodes of at least one layer")
    names = (activation,) * len(nodes) if isinstance(activation, str) else tuple(activation)
    if len(names) != len(nodes) or not set(names) <= set(_DOUBLED):
        raise InputError("activation", f"is {activation!r}", 'Pass "sigmoid" or "tanh", for all layers or for each')
    largest = positive_number(clip, "clip")
    gains = (largest, *(largest * n for n in nodes))
    doubled = tuple(_DOUBLED[name] for name in names)
    bound = math.log(open_share(tolerance, "tolerance"))
    return _width(m, gains, doubled, nonnegative_number(tilt, "tilt"), bound)


@lru_cache(maxsize=256)
def _width(order: int, gains: tuple[float, ...], doubled: tuple[float, ...], tilt: float, log_bound: float) -> float:
    """Return the width of cells, see :func:`cell_width`."""
    height = math.pi / gains[0] * np.geomspace(1e-8, 1.0, 600)  # B
    steepness = _steepness(height, gains, doubled) + tilt
    here = float(_steepness(np.zeros(1), gains, doubled)[0]) + tilt
    height, steepness = height[np.isfinite(steepness)], steepness[np.isfinite(steepness)]
    low, high = np.full(height.size, -20.0), np.full(height.size, 40.0)  # log(rho - 1)
    for _ in range(60):
        middle = 0.5 * (low + high)
        rho = 1 + np.exp(middle)
        half = 2 * height / (rho - 1 / rho)
        far = steepness * half * (rho + 1 / rho) / 2 + here * half
        above = math.log(4) - (2 * order - 1) * np.log(rho) - middle + far > log_bound
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    rho = 1 + np.exp(high)
    return float(np.max(4 * height / (rho - 1 / rho)))


def _steepness(height: Floats, gains: Sequence[float], doubled: Sequence[float]) -> Floats:
    """Return the largest slope of a network for |Im x| <= height, infinite where it may have poles."""
    imaginary, slope = gains[0] * height, np.full_like(height, gains[0])
    for gain, scale in zip(gains[1:], doubled, strict=True):
        free = scale * imaginary < 0.999 * math.pi
        half = np.where(free, scale * imaginary / 2, 0.0)
        slope = np.where(free, slope * gain * scale**2 / (4 * np.cos(half) ** 2), np.inf)
        imaginary = np.where(free, gain * scale * np.tan(half) / 2, np.inf)
    return slope


def _nodes(line: Floats, width: float, order: int) -> int:
    """Return the number of nodes that rising events in cells are replaced by, ties apart."""
    change = np.flatnonzero(np.diff(np.floor((line - line[0]) / width)))
    sizes = np.diff(np.concatenate([[0], change + 1, [line.size]]))
    return int(np.minimum(sizes, order).sum())


def merge_identical(x: ArrayLike, weights: ArrayLike | None = None) -> Compressed:
    """Merge events that agree in all features; no sum changes, rounding apart.

    Parameters
    ----------
    x : array_like, (n, d) or (n,)
    weights : array_like, (n,), optional
        Of any sign, 1 each by default. Positive and negative ones are merged apart.

    Raises
    ------
    InputError
        For numbers that are not finite, or weights of another number of events.
    """
    events = features(x)
    w = event_weights(len(events), weights, "weights", any_sum=True)
    return Compressed(*_apart(_distinct, events, w), len(events), 0.0)


def _distinct(events: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return events without repetitions, in the order of their features, with sums of weights."""
    order = np.lexsort(events.T[::-1])
    rising, w = events[order], weights[order]
    starts = np.flatnonzero(np.concatenate([[True], (rising[1:] != rising[:-1]).any(axis=1)]))
    return rising[starts], np.add.reduceat(w, starts)


def merge_together(x: Floats, w: Floats, n: Floats, units: Floats, size: int) -> tuple[Floats, Floats, Floats]:
    """Return nodes (m, d) in place of checked events, with their sums of w and n (m,): for screening, without a bound.

    Reference and data are in the same boxes and so at the same place: a network cannot tell them apart by what merging
    does, as it could if each had means of its own. Reference events of negative weight have boxes of their own.
    """
    parts = []
    for chosen, sign in (((w > 0) | ((w == 0) & (n > 0)), 1.0), (w < 0, -1.0)):
        if chosen.any():
            masses = np.stack([sign * w[chosen], n[chosen]], axis=1)
            means, sums = merge_boxes(x[chosen], masses, units, size)
            parts.append((means, sign * sums[:, 0], sums[:, 1]))
    nodes, weights, counts = zip(*parts, strict=True)
    return np.concatenate(nodes), np.concatenate(weights), np.concatenate(counts)


def _apart(
    method: Callable[[Floats, Floats], tuple[Floats, Floats]], events: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """Replace events of positive and of negative weight apart; events of none are left out."""
    parts = [(sign * weights > 0, sign) for sign in (1.0, -1.0)]
    done = [(method(events[of], np.abs(weights[of])), sign) for of, sign in parts if of.any()]
    if not done:
        raise InputError("weights", "are all zero", "Pass events of some weight")
    return np.concatenate([found for (found, _), _ in done]), np.concatenate([sign * sums for (_, sums), sign in done])
