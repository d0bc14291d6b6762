"""Slow, obvious rejection scans and recipes that compiled searches are held against: numpy and scipy's minimisers."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize
from scipy.stats import norm, rankdata

from hepstat.types import Floats

__all__ = ["Found", "naive_area", "naive_recipe", "naive_scan", "naive_shares", "naive_spectra"]

ENERGY = 13_000.0


@dataclass(frozen=True)
class Found:
    """What a recipe finds in a spectrum."""

    z: float
    n_signal: float
    n_background: float


def naive_area(response: ArrayLike, ones: ArrayLike) -> tuple[float, int]:
    """Return by which share of the pairs of one event of `ones` and another that one is higher, and their number.

    Pairs of the same response count half.
    """
    ones = np.asarray(ones, dtype=bool)
    n, pairs = int(ones.sum()), int(ones.sum() * (~ones).sum())
    return float(rankdata(response)[ones].sum() - n * (n + 1) / 2) / pairs, pairs


def naive_shares(response: ArrayLike, counted: ArrayLike | None = None) -> Floats:
    """Return which share of the counted events (all by default) has a lower response; itself an event counts half.

    Of events with the same response the earlier counts as higher.
    """
    response = np.asarray(response, dtype=float)
    counted = np.ones(len(response), dtype=bool) if counted is None else np.asarray(counted, dtype=bool)
    shares = np.empty(len(response))
    for i, r in enumerate(response):
        lower = (response < r) | ((response == r) & (np.arange(len(response)) > i))
        shares[i] = (np.count_nonzero(lower & counted) + 0.5) / (np.count_nonzero(counted) + 1 - counted[i])
    return shares


def naive_spectra(
    response: ArrayLike,
    mass: ArrayLike,
    permutation: ArrayLike,
    rejections: ArrayLike,
    edges: ArrayLike,
    folds: int = 1,
    counted: ArrayLike | None = None,
) -> Floats:
    """Return the spectra (steps, bins) of events that survive each rejection.

    Events are taken in the order of the permutation, cut into equal folds, and ranked within their fold. An event
    survives if its share is at least what is rejected. Bins are those of ``numpy.histogram``, closed at the upper end.
    """
    order = np.asarray(permutation)
    response, mass = np.asarray(response)[order], np.asarray(mass)[order]
    counted = np.ones(len(order), dtype=bool) if counted is None else np.asarray(counted)[order]
    ends = [f * len(order) // folds for f in range(folds + 1)]
    parts = [slice(low, high) for low, high in itertools.pairwise(ends)]
    shares = np.concatenate([naive_shares(response[part], counted[part]) for part in parts])
    return np.array([np.histogram(mass[shares >= r], edges)[0] for r in np.asarray(rejections)], dtype=float)


def naive_recipe(
    counts: ArrayLike,
    edges: ArrayLike,
    kind: str,
    window: tuple[float, float] = (144.0, 156.0),
    blind: tuple[float, float] = (144.0, 156.0),
    peak: tuple[float, float] = (150.0, 2.4),
) -> Found:
    """Return local Z, the whole yield N_s of the signal, and the background N_b counted in a window.

    Kinds are "side bands" (the background is fitted outside of `blind`, then N_s with it fixed in all bins), "full
    range" (the background is fitted in all bins) and "profiled" (both float; Z is the signed root of q0). Background is
    a mixed poly-log-exponential, integrated over bins, and signal a normal distribution, normalised on the range.
    """
    counts, edges = np.asarray(counts, dtype=float), np.asarray(edges, dtype=float)
    model = _Model(edges, peak)
    inside = _bins(edges, window)
    if kind == "profiled":
        null, value = model.background(counts, np.ones(len(counts), dtype=bool))
        a, s, best = model.both(counts, null)
        z = np.sign(s) * np.sqrt(2.0 * max(value - best, 0.0))
        return Found(float(z), s, float(model.contents(a)[inside].sum()))
    used = ~_bins(edges, blind) if kind == "side bands" else np.ones(len(counts), dtype=bool)
    mu = model.contents(model.background(counts, used)[0])
    s, b = model.above(counts, mu), float(mu[inside].sum())
    return Found(_counted_z(s, b), s, b)


def naive_scan(spectra: ArrayLike, edges: ArrayLike, kinds: ArrayLike, **options: object) -> Floats:
    """Return local Z (kinds, steps) of spectra (steps, bins)."""
    return np.array([[naive_recipe(row, edges, kind, **options).z for row in np.asarray(spectra)] for kind in kinds])


def _counted_z(s: float, b: float) -> float:
    """Return the significance of s events above b, eq. (97) of arXiv:1007.1727, signed; s below -b counts as -b."""
    if s <= -b:
        return -float(np.sqrt(2.0 * b))
    return float(np.sign(s) * np.sqrt(max(2.0 * ((s + b) * np.log1p(s / b) - s), 0.0)))


def _bins(edges: Floats, window: tuple[float, float]) -> np.ndarray:
    middle = 0.5 * (edges[1:] + edges[:-1])
    return (middle > window[0]) & (middle < window[1])


class _Model:
    """Expected contents, their derivatives, and minima of mu - n log mu summed over bins."""

    def __init__(self, edges: Floats, peak: tuple[float, float]) -> None:
        nodes, weights = np.polynomial.legendre.leggauss(8)
        half = 0.5 * np.diff(edges)[:, np.newaxis]
        t = ((edges[:-1, np.newaxis] + half * (nodes + 1.0)) / ENERGY).ravel()
        raw = np.column_stack([np.log1p(-t), np.log(t), np.log(t) ** 2])
        basis = np.linalg.qr((raw - raw.mean(axis=0)) / raw.std(axis=0))[0]
        self.basis = np.column_stack([np.ones(t.size), basis * np.sqrt(t.size)])
        self.weights = (half * weights).ravel()
        self.bins = len(edges) - 1
        template = np.diff(norm.cdf(edges, *peak))
        self.template = template / template.sum()

    def slopes(self, a: Floats) -> Floats:
        """Return derivatives (bins, 4) of the contents; the first column is the contents themselves."""
        density = self.weights * np.exp(self.basis @ a)
        return (density[:, np.newaxis] * self.basis).reshape(self.bins, -1, 4).sum(axis=1)

    def contents(self, a: Floats) -> Floats:
        """Return the contents (bins,) without signal."""
        return self.slopes(a)[:, 0]

    def background(self, counts: Floats, used: np.ndarray) -> tuple[Floats, float]:
        """Return the minimum without signal in some bins, and its value there."""
        counts = counts[used]

        def cost(a: Floats) -> tuple[float, Floats]:
            slopes = self.slopes(a)[used]
            mu = slopes[:, 0]
            return float(mu.sum() - counts @ np.log(mu)), slopes.T @ (1.0 - counts / mu)

        width = self.weights.sum() / self.bins
        start = np.array([np.log(max(counts.mean(), 0.1) / width), 0.0, 0.0, 0.0])
        return _minimum(cost, start, counts.sum())

    def both(self, counts: Floats, null: Floats) -> tuple[Floats, float, float]:
        """Return the minimum with signal in all bins, its yield, and the value."""
        unit = np.sqrt(counts.sum() + 1.0)  # so that all parameters have errors of the same order

        def cost(theta: Floats) -> tuple[float, Floats]:
            slopes = self.slopes(theta[:4])
            mu = slopes[:, 0] + theta[4] * unit * unit * self.template
            if not (mu > 0.0).all():
                return np.inf, np.zeros(5)
            rest = 1.0 - counts / mu
            return float(mu.sum() - counts @ np.log(mu)), np.append(slopes.T @ rest, unit * unit * self.template @ rest)

        theta, value = _minimum(cost, np.append(null, 0.0), counts.sum())
        return theta[:4], float(theta[4] * unit * unit), value

    def above(self, counts: Floats, mu: Floats) -> float:
        """Return the yield of the signal above a fixed background, from the zero of the slope."""

        def slope(s: float) -> float:
            return float(self.template @ (1.0 - counts / (mu + s * self.template)))

        lowest = -float((mu / self.template).min())
        low, high = lowest * (1.0 - 1e-9), counts.sum() + 1.0
        return low if slope(low) > 0.0 else float(brentq(slope, low, high, xtol=1e-9))


def _minimum(cost: object, start: Floats, n: float) -> tuple[Floats, float]:
    """Return place and value of a minimum, by BFGS from the start and once more from where it ends."""
    scale = np.sqrt(n + 1.0)  # parameters in units of about their errors

    def scaled(u: Floats) -> tuple[float, Floats]:
        value, gradient = cost(u / scale)  # type: ignore[operator]
        return value, gradient / scale

    u = start * scale
    for _ in range(2):
        found = minimize(scaled, u, jac=True, method="BFGS", options={"gtol": 1e-9})
        u = found.x
    return u / scale, float(found.fun)
