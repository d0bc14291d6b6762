"""Sampled events beside the reference: columns, and correlations with their differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import column_names, event_weights, features, whole_number
from hepstat.errors import InputError
from hepstat.plot.style import BAND, COLOURS, axis_text, picture
from hepstat.sampling import SampleComparison
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_correlation_difference", "draw_sample_comparison"]

_MOST_VALUES = 20  # of a column that gets a bin for each
_TAIL = 0.002  # share of the reference beyond either end of the axis, at most
_PANEL = 2.3  # inches, height of a column
_SURE = 3.0  # standard errors by which more of the sample is beyond
_FEW = 8  # columns up to which cells are written on
_DARK = 0.6  # of the scale, where letters on it are white


def draw_sample_comparison(
    reference: ArrayLike,
    sample: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    reference_weights: ArrayLike | None = None,
    sample_weights: ArrayLike | None = None,
    bins: int = 40,
    labels: tuple[str, str] = ("Simulated", "Sampled"),
    title: str = "",
) -> Figure:
    """Draw each column of two samples of events, as densities.

    Parameters
    ----------
    reference, sample : array_like, (n, d) and (m, d)
        Events.
    names : sequence of str, optional
        Of the columns; x0, x1, ... by default.
    reference_weights, sample_weights : array_like, (n,) and (m,), optional
        At least zero.
    bins : int, optional
        Of each column, over all but the outermost .2% of the reference; a column with whole numbers, 20 of them at
        most, has a bin for each.
    labels : tuple of str, optional
        Of the two samples in the legend.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        The reference is filled, with a band of its statistical errors; the sample is points with theirs. Where more of
        the sample than of the reference lies beyond an end of the axis, by three standard errors, its share is written
        there. Nothing is shown or written.

    Raises
    ------
    InputError
        For other numbers of columns, or entries that are not finite.
    """
    first, second = features(reference, "reference"), features(sample, "sample")
    d = first.shape[1]
    if second.shape[1] != d:
        raise InputError("sample", f"has {second.shape[1]} columns, the reference {d}", "Pass the same columns")
    given = column_names(names, d)
    weights = [
        event_weights(len(x), w, f"{name}_weights", signed=False)
        for x, w, name in ((first, reference_weights, "reference"), (second, sample_weights, "sample"))
    ]
    n_bins = whole_number(bins, "bins", at_least=1)
    across = min(3, d)
    rows = -(-d // across)
    with picture(_PANEL * rows + 0.6, title, font_size=9.0, axes_labelsize=10.0) as figure:
        grid = figure.subplots(rows, across, squeeze=False).ravel()
        for j in range(d):
            edges = _edges(first[:, j], weights[0], second[:, j], n_bins)
            _draw_column(grid[j], (first[:, j], second[:, j]), weights, edges, labels)
            grid[j].set_xlabel(axis_text(given[j], ""))
        for axes in grid[d:]:
            axes.remove()
        handles, texts = grid[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside upper center", frameon=False, ncols=len(texts), fontsize=11)
    return figure


def draw_correlation_difference(
    comparison: SampleComparison, *, labels: tuple[str, str] = ("Simulated", "Sampled"), title: str = ""
) -> Figure:
    """Draw the correlations of two samples of events and their absolute difference.

    Parameters
    ----------
    comparison : SampleComparison
        From :func:`hepstat.sampling.compare_samples`.
    labels : tuple of str, optional
        Titles of the first two panels.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Three matrices; where there is room, cells have their numbers, and those of differences that are more than three
        of their statistical errors are bold. Columns that do not vary are grey. Nothing is shown or written.
    """
    first, second = comparison.correlation_reference, comparison.correlation_sample
    difference = comparison.correlation_difference
    off = np.abs(comparison.correlation_pull) > 3.0
    none = np.zeros_like(off)
    largest = float(np.nanmax(difference, initial=0.0)) or 1.0
    above = {"cmap": "Reds", "vmin": 0.0, "vmax": largest}
    with picture(4.6, xtick_minor_visible=False, ytick_minor_visible=False) as figure:
        figure.set_figwidth(12.5)
        panels = figure.subplots(1, 3, sharey=True)
        whole: Any = {"cmap": "RdBu_r", "vmin": -1.0, "vmax": 1.0}
        matrices: Any = (
            (first, labels[0], whole, np.abs(first) > _DARK, none, "{:.2f}"),
            (second, labels[1], whole, np.abs(second) > _DARK, none, "{:.2f}"),
            (difference, "Absolute difference", above, difference > _DARK * largest, off, "{:.3f}"),
        )
        images = []
        for axes, (values, text, options, dark, bold, form) in zip(panels, matrices, strict=True):
            images.append(_draw_matrix(axes, values, comparison.names, text, options))
            if len(comparison.names) <= _FEW:
                _write_cells(axes, values, dark, bold, form)
        figure.colorbar(images[1], ax=list(panels[:2]), aspect=30, pad=0.01)
        figure.colorbar(images[2], ax=panels[2], aspect=30, pad=0.02)
        if title:
            figure.suptitle(title, fontsize=12)
    return figure


def _edges(values: Floats, w: Floats, others: Floats, bins: int) -> Floats:
    """Return edges of bins of a column: around whole numbers if it has few of these."""
    found = np.unique(values)
    if found.size <= _MOST_VALUES and (found == np.rint(found)).all() and np.ptp(found) <= _MOST_VALUES:
        low, high = min(found[0], np.floor(others.min())), max(found[-1], np.ceil(others.max()))
        low, high = max(low, found[0] - _MOST_VALUES), min(high, found[-1] + _MOST_VALUES)
        return np.arange(low - 0.5, high + 1.0)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(w[order]) / w.sum()
    places = np.minimum(np.searchsorted(reached, (_TAIL, 1.0 - _TAIL)), order.size - 1)
    low, high = values[order[places]]
    if not low < high:
        low, high = found[0] - 0.5, found[-1] + 0.5
    return np.linspace(low, high, bins + 1)


def _draw_column(
    axes: Axes, values: tuple[Floats, Floats], weights: list[Floats], edges: Floats, labels: tuple[str, str]
) -> None:
    """Draw the densities of one column."""
    middle, width = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    heights, errors = [], []
    for x, w in zip(values, weights, strict=True):
        unit = w.sum() * width
        heights.append(np.histogram(x, edges, weights=w)[0] / unit)
        errors.append(np.sqrt(np.histogram(x, edges, weights=w**2)[0]) / unit)
    colour = COLOURS["background"]
    axes.stairs(heights[0], edges, fill=True, color=colour, alpha=0.25, linewidth=0.0)
    axes.stairs(heights[0], edges, color=colour, linewidth=1.2, label=labels[0])
    low, high = heights[0] - errors[0], heights[0] + errors[0]
    axes.stairs(high, edges, baseline=low, fill=True, color=colour, **BAND)
    points: Any = {"linestyle": "none", "marker": "o", "markersize": 2.5, "color": "black", "elinewidth": 0.9}
    axes.errorbar(middle, heights[1], errors[1], label=labels[1], zorder=4, **points)
    axes.set_xlim(edges[0], edges[-1])
    top = max(float((height + error).max()) for height, error in zip(heights, errors, strict=True))
    beyond = [_more_beyond(values, weights, edges[0], -1.0), _more_beyond(values, weights, edges[-1], 1.0)]
    ends = ("\u2190 {:.3g}%", 0.02, "left"), ("{:.3g}% \u2192", 0.98, "right")
    for share, (text, place, side) in zip(beyond, ends, strict=True):
        if share > 0:
            style: Any = {"transform": axes.transAxes, "ha": side, "va": "top", "fontsize": 9, "zorder": 5}
            axes.text(place, 0.97, text.format(100.0 * share), **style)
    room = 1.25 if any(beyond) else 1.08
    axes.set_ylim(0.0, room * top if top > 0 else 1.0)
    axes.set_yticks([])
    axes.minorticks_off()


def _more_beyond(values: tuple[Floats, Floats], weights: list[Floats], end: float, sign: float) -> float:
    """Return the share of the sample beyond an end of the axis, or 0 if it may be that of the reference."""
    shares, variances = [], []
    for x, w in zip(values, weights, strict=True):
        share = w / w.sum()
        out = sign * (x - end) > 0
        shares.append(float(share @ out))
        variances.append(float(share**2 @ out))
    return shares[1] if shares[1] - shares[0] > _SURE * np.sqrt(sum(variances)) else 0.0


def _draw_matrix(axes: Axes, values: Floats, names: tuple[str, ...], title: str, options: Any) -> Any:
    """Draw a matrix (d, d) with names along both sides, and return the image."""
    axes.set_facecolor("0.85")
    image = axes.imshow(np.ma.masked_invalid(values), aspect="auto", **options)
    ticks = np.arange(len(names))
    axes.set_xticks(ticks, names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(ticks, names)
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=12)
    return image


def _write_cells(axes: Axes, values: Floats, dark: Any, bold: Any, form: str) -> None:
    """Write numbers into the cells of a matrix below the diagonal, white where it is dark."""
    for i, j in np.argwhere(np.isfinite(values) & np.tri(len(values), k=-1, dtype=bool)):
        style: Any = {"color": "white" if dark[i, j] else "black", "fontweight": "bold" if bold[i, j] else "normal"}
        axes.text(j, i, form.format(values[i, j].round(3) + 0.0), ha="center", va="center", fontsize=8, **style)
