"""Calibration: the densities of a score in signal and background, whose ratio is that of the events.

Seen as a reduction to one dimension that keeps what separates the classes, any score has a likelihood ratio
p_S(s) / p_B(s); it equals that of the events if s is a monotone function of it (Cranmer, Pavez and Louppe,
arXiv:1506.02169).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import isotonic_regression

from hepstat.checks import event_weights, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.ratio.base import Ratio
from hepstat.ratio.bins import Weighted, effective_size, merged, quantile_edges, quantiles
from hepstat.ratio.classifier import scores_of
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["CalibratedRatio", "Calibration", "Method", "calibrate"]

Method: TypeAlias = Literal["histogram", "isotonic", "kde"]

_REACH = 5.0  # bandwidths that a kernel goes
_NODES = 8  # of the grid for each bandwidth
_MOST_NODES = 1 << 17
_LEAST = 5.0  # effective events under the kernel at a node


@dataclass(frozen=True, eq=False)
class Calibration(Record):
    """The logarithm of a ratio as a function of a score.

    Attributes
    ----------
    method : str
        "histogram" and "isotonic" are constant between edges, "kde" is linear between nodes and constant outside.
    scores : ndarray, (k - 1,) or (k,)
        Inner edges, or nodes.
    log_ratios, errors : ndarray, (k,)
        Of the bins or at the nodes, with standard errors from the squared weights.
    n_signal, n_background : float
        Effective events.
    """

    method: str
    scores: Floats
    log_ratios: Floats
    errors: Floats
    n_signal: float
    n_background: float

    def log_ratio(self, s: Floats) -> Floats:
        """Return log r at scores (n,)."""
        return self._read(s, self.log_ratios)

    def log_error(self, s: Floats) -> Floats:
        """Return the standard error of log r at scores (n,)."""
        return self._read(s, self.errors)

    def _read(self, s: Floats, values: Floats) -> Floats:
        if self.method == "kde":
            return np.interp(s, self.scores, values)
        return np.asarray(values[np.searchsorted(self.scores, s, side="right")])


@dataclass(frozen=True, eq=False)
class CalibratedRatio(Ratio):
    """A ratio from the densities of a score.

    Attributes
    ----------
    score : Ratio, Model, Training, scikit-learn classifier or callable
        Whose log ratio or score is calibrated.
    calibration : Calibration
    """

    score: Any
    calibration: Calibration

    def log(self, x: Any) -> Floats:
        """Return log r of events (n,); see :meth:`Ratio.log`."""
        return self.calibration.log_ratio(scores_of(self.score, x))

    def error(self, x: Any) -> Floats:
        """Return the standard error of r from the number of calibration events, (n,)."""
        s = scores_of(self.score, x)
        return np.asarray(np.exp(self.calibration.log_ratio(s)) * self.calibration.log_error(s))


def calibrate(
    score: Any,
    signal: Any,
    background: Any,
    *,
    signal_weights: ArrayLike | None = None,
    background_weights: ArrayLike | None = None,
    method: Method = "histogram",
    bins: int = 50,
    min_events: float = 25.0,
    bandwidth: float | None = None,
) -> CalibratedRatio:
    """Estimate the ratio from the densities of a score in signal and background.

    Parameters
    ----------
    score : Ratio, Model, Training, scikit-learn classifier or callable
        A ratio counts by its logarithm; others by their scores (:class:`ClassifierRatio`), in any units.
    signal, background : array_like, (n, d)
        Events that were not trained on: on those of the training a classifier looks better than it is.
    signal_weights, background_weights : array_like, (n,), optional
        Only their relative sizes count. They may be negative for the histogram.
    method : {"histogram", "isotonic", "kde"}, optional
        "histogram": bins of equal content in an equal mixture of both classes. "isotonic": the probability of signal
        in that mixture that rises with the score and has the least squared error, a constant in each of its blocks.
        "kde": Gaussian kernels of the same bandwidth for both classes, so that the ratio is a mean over neighbours, not
        biased by a steep or bounded density itself.
    bins : int, optional
        Of the histogram, at most.
    min_events : float, optional
        Bins and blocks are merged with the next until they hold so many effective events of either class: none is
        empty, and all ratios are finite and above zero. With "kde" the ratio is constant, that of the sums, beyond the
        scores that leave so many outside; in gaps between it is interpolated.
    bandwidth : float, optional
        Of the kernels, in units of the score; by default the smaller of those of both classes by Silverman's rule,
        0.9 min(standard deviation, interquartile range / 1.349) / n^(1/5), with effective n.

    Returns
    -------
    CalibratedRatio
        Its mean over the background of calibration is 1.

    Raises
    ------
    InputError
        For fewer effective events of a class than `min_events`, negative weights where they are not taken, a class of
        identical scores ("kde"), options out of range, and as the score does.
    """
    least = positive_number(min_events, "min_events")
    signed = method == "histogram"
    s = _scored(score, signal, signal_weights, "signal", signed=signed)
    b = _scored(score, background, background_weights, "background", signed=signed)
    if method == "histogram":
        edges = quantile_edges((s, b), whole_number(bins, "bins", at_least=1), least)
        found = (edges, *_in_bins(edges, s, b))
    elif method == "isotonic":
        edges = _blocks(s, b, least)
        found = (edges, *_in_bins(edges, s, b))
    elif method == "kde":
        found = _smooth(s, b, least, None if bandwidth is None else positive_number(bandwidth, "bandwidth"))
    else:
        raise InputError("method", f"is {method!r}", "Pass 'histogram', 'isotonic' or 'kde'")
    sizes = effective_size(s.weights), effective_size(b.weights)
    return CalibratedRatio(score, Calibration(method, *found, *sizes))


def _scored(score: Any, x: Any, weights: ArrayLike | None, name: str, *, signed: bool) -> Weighted:
    values = scores_of(score, x)
    w = event_weights(values.size, weights, f"{name}_weights", signed=signed)
    return Weighted(values[w != 0], w[w != 0])


def _in_bins(edges: Floats, signal: Weighted, background: Weighted) -> tuple[Floats, Floats]:
    """Return log ratios of the shares in bins, with standard errors."""
    logs, variances = [], []
    for sample in (signal, background):
        shares, covariance = sample.shares(edges)
        logs.append(np.log(shares))
        variances.append(np.diag(covariance) / shares**2)
    return logs[0] - logs[1], np.sqrt(np.maximum(variances[0] + variances[1], 0.0))


def _blocks(signal: Weighted, background: Weighted, min_events: float) -> Floats:
    """Return inner edges between blocks of isotonic regression, half way between scores."""
    scores, place = np.unique(np.concatenate([signal.values, background.values]), return_inverse=True)
    n = signal.values.size
    share_s = np.bincount(place[:n], signal.weights / signal.weights.sum(), scores.size)
    share_b = np.bincount(place[n:], background.weights / background.weights.sum(), scores.size)
    both = share_s + share_b
    starts = isotonic_regression(share_s / both, weights=both).blocks[1:-1]
    edges = 0.5 * (scores[starts - 1] + scores[starts])
    return merged(edges, (signal, background), min_events)


def _smooth(
    signal: Weighted, background: Weighted, min_events: float, bandwidth: float | None
) -> tuple[Floats, Floats, Floats]:
    """Return nodes, log ratios and their standard errors from Gaussian kernels."""
    classes = (signal, background)
    h = min(_silverman(sample) for sample in classes) if bandwidth is None else bandwidth
    low, high = _supported(classes, min_events)
    n_nodes = int(np.ceil(_NODES * ((high - low) / h + 2.0 * _REACH))) + 1
    if n_nodes > _MOST_NODES:
        raise InputError("bandwidth", f"is {h:.3g} for scores from {low:.4g} to {high:.4g}", "Pass a larger one")
    nodes = np.linspace(low - _REACH * h, high + _REACH * h, n_nodes)
    (s, s_squares), (b, b_squares) = (_kernel_sums(sample, nodes, h) for sample in classes)
    kept = (nodes >= low) & (nodes <= high) & (s**2 > _LEAST * s_squares) & (b**2 > _LEAST * b_squares)
    logs = np.log(s[kept] / signal.weights.sum()) - np.log(b[kept] / background.weights.sum())
    errors = np.sqrt(s_squares[kept] / s[kept] ** 2 + b_squares[kept] / b[kept] ** 2)
    tails, tail_errors = _in_bins(np.array([low, np.nextafter(high, np.inf)]), *classes)
    places = np.concatenate([[low - h], nodes[kept], [high + h]])
    curve = np.concatenate([tails[:1], logs, tails[-1:]])
    mean = np.average(np.exp(np.interp(background.values, places, curve)), weights=background.weights)
    return places, curve - np.log(mean), np.concatenate([tail_errors[:1], errors, tail_errors[-1:]])


def _supported(classes: tuple[Weighted, Weighted], min_events: float) -> tuple[float, float]:
    """Return the scores below and above which either class has at least so many effective events."""
    shares = [min_events / max(effective_size(sample.weights), 1.0) for sample in classes]
    if max(shares) >= 0.5:
        raise InputError("min_events", f"is {min_events:g}, half of a class or more", "Pass more events, or lower it")
    bounds = [quantiles(sample, [share, 1.0 - share]) for sample, share in zip(classes, shares, strict=True)]
    low = float(np.nextafter(max(bound[0] for bound in bounds), np.inf))
    high = float(np.nextafter(min(bound[1] for bound in bounds), -np.inf))
    if not low < high:
        raise InputError("score", "hardly overlaps in signal and background", "Use method='histogram'")
    return low, high


def _silverman(sample: Weighted) -> float:
    """Return the bandwidth of Silverman's rule."""
    quarter, three_quarters = quantiles(sample, [0.25, 0.75])
    mean = np.average(sample.values, weights=sample.weights)
    width = float(np.sqrt(np.average((sample.values - mean) ** 2, weights=sample.weights)))
    if not width > 0:
        raise InputError("score", "is the same for all events of a class", "Use method='histogram'")
    spread = float(three_quarters - quarter) / 1.349
    return 0.9 * min(width, spread or width) * float(effective_size(sample.weights) ** -0.2)


def _kernel_sums(sample: Weighted, nodes: Floats, h: float) -> tuple[Floats, Floats]:
    """Return sum w K and sum w^2 K^2 at nodes (m,) for kernels K with the sum 1, events shared by neighbour nodes."""
    step = nodes[1] - nodes[0]
    place = (sample.values - nodes[0]) / step
    inside = (place >= 0) & (place < nodes.size - 1)
    left = place[inside].astype(np.int64)
    right = place[inside] - left
    width = h / step

    def spread(w: Floats, sigma: float) -> Floats:
        held = np.bincount(left, w * (1.0 - right), nodes.size) + np.bincount(left + 1, w * right, nodes.size)
        return np.asarray(gaussian_filter1d(held, sigma, mode="constant", radius=int(np.ceil(_REACH * width))))

    w = sample.weights[inside]
    squares = spread(w**2, width / np.sqrt(2.0)) / (2.0 * np.sqrt(np.pi) * width)
    return spread(w, width), squares
