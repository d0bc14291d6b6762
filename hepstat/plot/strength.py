"""Likelihoods of a signal strength, and distributions of its test statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.infer import AsymptoticDistribution
from hepstat.infer.statistics import check_statistic
from hepstat.plot.style import BAND, COLOURS, axis_text, curve_style, picture
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hepstat.strength import Interval

__all__ = ["draw_likelihood", "draw_statistic"]

_SYMBOLS = {
    "q0": "$q_0$",
    "q_mu": r"$q_\mu$",
    "q_mu_tilde": r"$\tilde{q}_\mu$",
    "t_mu": r"$t_\mu$",
    "t_mu_tilde": r"$\tilde{t}_\mu$",
    "simple": r"$-2\,\log(L_\mu / L_0)$",
}


def draw_likelihood(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    intervals: Mapping[str, Interval] | None = None,
    truth: float | None = None,
    top: float = 6.0,
    name: str = r"signal strength $\mu$",
    unit: str = "",
    title: str = "",
) -> Figure:
    """Draw by how much -2 log L rises from its minimum over the signal strength, as figure 5 of arXiv:1909.03081.

    Parameters
    ----------
    curves : mapping of str to (array_like, array_like), each (n,)
        Rising strengths and -log L there, as from :func:`hepstat.strength.profile`, by the text in the legend. The
        least value of a curve counts as its minimum, so let one of the strengths be the best.
    intervals : mapping of str to Interval, optional
        From :func:`hepstat.strength.interval`, of curves by their names: shaded below the curve.
    truth : float, optional
        True strength, marked by a vertical line.
    top : float
        Where the picture ends, above 0.
    name, unit : str
        Quantity and unit on the axis.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        If there is no curve, one does not match its strengths, or an interval has no curve.
    """
    checked = {label: _curve(label, *curve) for label, curve in curves.items()}
    odd = sorted(set(intervals or {}) - set(checked))
    if not checked or odd:
        shown = f"have {odd[0]!r}, which is no curve" if odd else "are missing"
        raise InputError("intervals" if odd else "curves", shown, "Pass curves, and intervals under their names")
    height = positive_number(top, "top")
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        for i, (label, (mu, rise)) in enumerate(checked.items()):
            colour, dashes = curve_style(i)
            axes.plot(mu, rise, color=colour, linestyle=dashes, linewidth=1.6, label=label, zorder=3)
            if intervals is not None and label in intervals:
                _shade(axes, mu, rise, intervals[label], colour)
        levels = {interval.z**2 for interval in (intervals or {}).values()} or {1.0}
        for level in sorted(levels):
            axes.axhline(level, color="0.4", linewidth=1.0, linestyle=":", zorder=2)
        if truth is not None:
            axes.axvline(finite_number(truth, "truth"), color="0.4", linewidth=1.0, label=f"Truth {truth:g}", zorder=2)
        axes.set_xlim(min(mu[0] for mu, _ in checked.values()), max(mu[-1] for mu, _ in checked.values()))
        axes.set_ylim(0.0, height)
        axes.set_xlabel(axis_text(name, unit))
        axes.set_ylabel(r"$-2\,\Delta\log L$")
        axes.legend(loc="upper center")
    return figure


def _curve(label: str, mu: ArrayLike, nll: ArrayLike) -> tuple[Floats, Floats]:
    x, y = finite_array(mu, f"strengths of {label}"), finite_array(nll, f"-log L of {label}")
    if x.size != y.size or x.size < 2 or (np.diff(x) <= 0).any():
        problem = f"has {x.size} strengths and {y.size} values"
        raise InputError(f"curve {label}", problem, "Pass two or more rising strengths and a value for each")
    return x, 2.0 * (y - y.min())


def _shade(axes: Axes, mu: Floats, rise: Floats, interval: Interval, colour: str) -> None:
    """Shade below a curve between the ends of an interval, of which the legend tells."""
    inside = mu[(mu > interval.lower) & (mu < interval.upper)]
    x = np.concatenate([[max(interval.lower, mu[0])], inside, [min(interval.upper, mu[-1])]])
    low, high = interval.mu - interval.lower, interval.upper - interval.mu
    digits = max(0, 1 - int(np.floor(np.log10(max(min(low, high), 1e-9)))))
    text = rf"${interval.mu:.{digits}f}^{{+{high:.{digits}f}}}_{{-{low:.{digits}f}}}$"
    axes.fill_between(x, np.interp(x, mu, rise), color=colour, label=f"{text} at {interval.level:.3g}", **BAND)


def draw_statistic(
    null: ArrayLike,
    alternative: ArrayLike | None = None,
    *,
    observed: float | None = None,
    asymptotic: tuple[AsymptoticDistribution, AsymptoticDistribution] | AsymptoticDistribution | None = None,
    statistic: str = "q_mu_tilde",
    names: tuple[str, str] = ("tested hypothesis", "other hypothesis"),
    bins: int = 40,
    title: str = "",
) -> Figure:
    """Draw the distribution of a test statistic in toys of both hypotheses, the data, and asymptotic distributions.

    Parameters
    ----------
    null, alternative : array_like, (n,)
        Statistic of toys of the hypothesis under test and of the other one, as from
        :func:`hepstat.strength.statistics_of`. NaN, of toys that failed, is left out.
    observed : float, optional
        Statistic of the data, marked by a line; the tail of the null from there on is shaded.
    asymptotic : AsymptoticDistribution or pair of them, optional
        Of the null, or of both, drawn as their probability in the same bins: the first holds that of a statistic of 0.
    statistic : str, optional
        One of :data:`hepstat.infer.STATISTICS`, for the axis.
    names : (str, str), optional
        Of the hypotheses.
    bins : int
        Number of bins, from the least to the largest value there is.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Densities on a logarithmic axis, bars from the numbers of toys. Nothing is shown or written.

    Raises
    ------
    InputError
        If there are no toys, the statistic is unknown, or there are fewer samples than distributions.
    """
    check_statistic(statistic)
    given = (("null", null), ("alternative", alternative))
    samples = [_toys(values, which) for which, values in given if values is not None]
    curves = list(asymptotic) if isinstance(asymptotic, tuple) else [] if asymptotic is None else [asymptotic]
    if len(curves) > len(samples):
        raise InputError("asymptotic", f"has {len(curves)} distributions", f"Pass at most {len(samples)}")
    seen = [] if observed is None else [finite_number(observed, "observed")]
    edges = _edges(np.concatenate([*samples, seen]), whole_number(bins, "bins", at_least=2))
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        for i, values in enumerate(samples):
            colour = (COLOURS["total"], COLOURS["background"])[i]
            _draw_toys(axes, values, edges, colour, f"Toys, {names[i]}", seen if i == 0 else [])
            if i < len(curves):
                _draw_asymptotic(axes, curves[i], edges, colour, f"Asymptotic, {names[i]}")
        for value in seen:
            axes.axvline(value, color="black", linewidth=1.4, label=f"Observed {value:.3g}", zorder=5)
        axes.set_yscale("log")
        least = min(1.0 / values.size for values in samples) / (edges[1] - edges[0])
        axes.set_ylim(bottom=0.5 * least)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(_SYMBOLS[statistic])
        axes.set_ylabel("Density")
        axes.legend(loc="upper right")
    return figure


def _toys(values: ArrayLike, name: str) -> Floats:
    given = np.asarray(values, dtype=np.float64)
    return finite_array(given[~np.isnan(given)] if given.ndim == 1 else given, name)


def _edges(values: Floats, bins: int) -> Floats:
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high if high > low else low + 1.0, bins + 1)


def _draw_toys(axes: Axes, values: Floats, edges: Floats, colour: str, label: str, seen: list[float]) -> None:
    """Draw a histogram with its errors, and shade what lies above the data."""
    width = np.diff(edges)
    counts = np.histogram(values, edges)[0]
    density, error = counts / values.size / width, np.sqrt(counts) / values.size / width
    axes.stairs(density, edges, color=colour, linewidth=1.6, label=label, zorder=3)
    middle = 0.5 * (edges[1:] + edges[:-1])
    axes.errorbar(middle, density, error, fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.7, zorder=3)
    for value in seen:
        tail = (values >= value).mean()
        above = np.append(value, edges[edges > value])
        if above.size > 1:
            heights = density[np.searchsorted(edges, above[:-1], side="right") - 1]
            axes.stairs(heights, above, fill=True, color=colour, alpha=0.2, label=f"p = {tail:.3g}", zorder=1)


def _draw_asymptotic(axes: Axes, distribution: AsymptoticDistribution, edges: Floats, colour: str, label: str) -> None:
    """Draw the probability of each bin, that of all below in the first, over its width."""
    below = np.asarray(distribution.cdf(edges))
    below[0] = 0.0
    middle, density = 0.5 * (edges[1:] + edges[:-1]), np.diff(below) / np.diff(edges)
    axes.plot(middle, density, color=colour, linestyle="--", linewidth=1.4, label=label, zorder=4)
