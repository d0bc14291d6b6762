"""A spectrum with its fit and the pulls below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, interval
from hepstat.errors import InputError
from hepstat.histogram import Histogram
from hepstat.infer import poisson_interval
from hepstat.plot.style import COLOURS, MORE_COLOURS, axis_text, picture
from hepstat.types import Bools, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_spectrum"]

_LABELS = {
    "data": "Data",
    "total": "Signal + background fit",
    "background": "Background",
    "signal": "Signal",
    "blind": "Blinded",
}


def draw_spectrum(
    data: Histogram,
    curves: Mapping[str, ArrayLike],
    x: ArrayLike,
    *,
    pulls: ArrayLike | None = None,
    labels: Mapping[str, str] | None = None,
    blind: tuple[float, float] | None = None,
    name: str = "mass",
    unit: str = "GeV",
    title: str = "",
) -> Figure:
    """Draw a spectrum with its fit, and the pulls below.

    Parameters
    ----------
    data : Histogram
        One-dimensional. Plain counts get central 68% Poisson intervals, weighted bins the root of their variance.
    curves : mapping of str to array of shape (n_points,)
        Fitted densities, in events per unit of the axis: "total", "background", "signal", or any other name.
    x : array of shape (n_points,)
        Where the curves are given.
    pulls : array of shape (n_bins,), optional
        Residuals in standard deviations, see `hepstat.infer.pulls`. Without them there is no second panel.
    labels : mapping of str to str, optional
        Text in the legend for curves, and for "data".
    blind : tuple of float, optional
        Region (low, high) that is hatched; bins that touch it are not drawn.
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
        For a histogram of more dimensions, or arrays of other lengths.
    """
    from matplotlib.ticker import MaxNLocator

    if data.ndim != 1:
        raise InputError("data", f"has {data.ndim} axes", "Project it on one")
    edges, centres = data.axes[0].edges, data.axes[0].centers
    shown = np.ones(centres.size, dtype=bool)
    if blind is not None:
        low, high = interval(blind, "blind")
        shown = (edges[1:] <= low) | (edges[:-1] >= high)
    texts = {**_LABELS, **(labels or {})}
    with picture(6.4 if pulls is not None else 5.0, title) as figure:
        if pulls is None:
            top = lowest = figure.subplots()
        else:
            top, lowest = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1.0))
            _draw_pulls(lowest, centres, finite_array(pulls, "pulls"), shown)
        width = _draw_points(top, data, shown, texts["data"])
        _draw_curves(top, curves, finite_array(x, "x"), width, texts)
        if blind is not None:
            for axes in {top, lowest}:
                span = axes.axvspan(*blind, facecolor="none", edgecolor="0.7", hatch="///", linewidth=0.6, zorder=0)
                if axes is top:
                    span.set_label(texts["blind"])
        top.set_ylabel(f"{'Events' if _is_counts(data) else 'Sum of weights'} / {width:.3g} {unit}".rstrip())
        top.yaxis.set_major_locator(MaxNLocator(nbins=6, min_n_ticks=3, prune=None if pulls is None else "lower"))
        lowest.set_xlabel(axis_text(name, unit))
        lowest.set_xlim(edges[0], edges[-1])
        _place_legend(top, data, shown, texts)
        figure.align_ylabels()
    return figure


def _draw_points(axes: Axes, data: Histogram, shown: Bools, label: str) -> float:
    """Draw the data per width of the narrowest bin, which is returned."""
    import mplhep

    width = float(data.axes[0].widths.min())
    scale = np.where(shown, width / data.axes[0].widths, np.nan)
    values, variances = data.values(), data.variances()
    if _is_counts(data):
        lower, upper = poisson_interval(values)
        errors = np.array([values - lower, upper - values]) * scale
    else:
        errors = np.sqrt(variances)[np.newaxis] * scale * np.ones((2, 1))
    style: dict[str, Any] = {
        "histtype": "errorbar",
        "color": "black",
        "markersize": 6 if values.size < 60 else 4,
        "elinewidth": 1.0,
    }
    mplhep.histplot(
        values * scale, data.axes[0].edges, yerr=errors, label=label, ax=axes, flow="none", zorder=4, **style
    )
    return width


def _draw_curves(
    axes: Axes, curves: Mapping[str, ArrayLike], x: Floats, width: float, texts: Mapping[str, str]
) -> None:
    spare = iter(MORE_COLOURS * (1 + len(curves)))
    for name, curve in curves.items():
        y = finite_array(curve, f"curves[{name!r}]") * width
        if y.shape != x.shape:
            raise InputError(f"curves[{name!r}]", f"has {y.size} points, x has {x.size}", "Pass one for every x")
        colour = COLOURS.get(name) or next(spare)
        style: dict[str, Any] = {"color": colour, "label": texts.get(name, name), "zorder": 3}
        if name == "total":
            axes.plot(x, y, linewidth=1.8, **style)
        elif name == "background":
            axes.plot(x, y, linewidth=1.6, linestyle="--", **style)
        else:
            axes.plot(x, y, linewidth=1.2, **style)
            axes.fill_between(x, 0.0, y, color=colour, alpha=0.25, linewidth=0.0, zorder=1)


def _draw_pulls(axes: Axes, centres: Floats, pulls: Floats, shown: Bools) -> None:
    if pulls.shape != centres.shape:
        raise InputError("pulls", f"has {pulls.size} entries for {centres.size} bins", "Pass one for every bin")
    most = max(3.5, 1.15 * float(np.abs(pulls[shown]).max(initial=0.0)))
    for band, shade in ((2.0, "0.93"), (1.0, "0.85")):
        axes.axhspan(-band, band, facecolor=shade, zorder=0)
    axes.axhline(0.0, color="0.4", linewidth=0.8, zorder=1)
    style: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": "black", "zorder": 3}
    axes.plot(centres[shown], pulls[shown], markersize=4 if pulls.size < 60 else 2.8, **style)
    axes.vlines(centres[shown], 0.0, pulls[shown], color="black", linewidth=0.8, zorder=2)
    axes.set_ylim(-most, most)
    axes.set_ylabel("Pull")


def _place_legend(axes: Axes, data: Histogram, shown: Bools, words: Mapping[str, str]) -> None:
    """Put the legend where the spectrum is lower, data first, with room enough above the data."""
    values = data.values() / data.axes[0].widths * data.axes[0].widths.min()
    spread = np.sqrt(data.variances()) / data.axes[0].widths * data.axes[0].widths.min()
    top = np.where(shown, values + spread, 0.0)
    near = max(1, int(0.45 * top.size))
    right, left = float(top[-near:].max()), float(top[:near].max())
    handles, texts = axes.get_legend_handles_labels()
    ranks = {words[key]: rank for rank, key in enumerate(("data", "total", "background", "signal"))}
    order = sorted(range(len(texts)), key=lambda i: ranks.get(texts[i], len(ranks)))
    free = 1.0 - 0.06 * (len(texts) + 1)  # the part of the height below the legend
    axes.set_ylim(
        1.1 * float(np.min((values - spread)[shown & (values < 0)], initial=0.0)),
        max(1.12 * float(top.max()), min(left, right) / free, 1.0),
    )
    where: Any = "upper right" if right <= left else "upper left"
    axes.legend([handles[i] for i in order], [texts[i] for i in order], loc=where)


def _is_counts(data: Histogram) -> bool:
    values = data.values()
    return np.array_equal(values, data.variances()) and np.array_equal(values, np.round(values))
