"""Weights of either sign: how large they are, where the net density is negative, and closure of resampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, whole_number
from hepstat.errors import InputError
from hepstat.plot.style import COLOURS, POINTS, axis_text, paired_picture, picture
from hepstat.types import Bools, Floats
from hepstat.weights import ResamplingClosure, WeightDiagnostics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_net_weights", "draw_resampling", "draw_weights"]

_SMALL: Any = {**POINTS, "markersize": 3}
_MOST = 5.0  # standard errors at the ends of the colours
_WIDE = 30.0  # largest over smallest weight, from which on their axis is logarithmic


def draw_net_weights(
    diagnostics: WeightDiagnostics,
    *,
    sample: str = "all",
    features: Sequence[int] = (0,),
    names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draw the net weight of cells along one feature, or a map of two.

    Parameters
    ----------
    diagnostics : WeightDiagnostics
    sample : str, optional
        One of its samples that has negative weights.
    features : sequence of int, optional
        Number of the feature, or of two.
    names : sequence of str, optional
        What these are called.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Along one feature the net density where it is the only one, the net weight of an event where there are others,
        with standard errors. In a map colours are net weights over their errors; cells of a tree in two features are
        boxes, others are drawn at their centres. Significantly negative cells are set apart. Nothing is shown or
        written.

    Raises
    ------
    InputError
        For a sample without cells, or features that are not there.
    """
    found = diagnostics
    own = found.cell_sample == (found.samples.index(sample) if sample in found.samples else -1)
    if not own.any():
        problem = f"is {sample!r}, which is not there or has no negative weights"
        raise InputError("sample", problem, f"Pass one of {found.samples} that has")
    wanted = [whole_number(feature, "features") for feature in features]
    d = found.cell_low.shape[1]
    if len(wanted) not in (1, 2) or max(wanted) >= d:
        raise InputError("features", f"is {tuple(features)!r} for {d} features", "Pass one or two of their numbers")
    labels = [f"$x_{{{j}}}$" for j in wanted] if names is None else list(names)
    if len(labels) != len(wanted):
        raise InputError("names", f"has {len(labels)} names for {len(wanted)} features", "Pass a name for each")
    low, high = found.cell_low[own][:, wanted], found.cell_high[own][:, wanted]
    net, error, negative = found.cell_net[own], found.cell_error[own], found.cell_significant[own]
    with picture(4.8 if len(wanted) == 1 else 5.4, title) as figure:
        axes = figure.subplots()
        if len(wanted) == 1:
            unit = high[:, 0] - low[:, 0] if d == 1 and found.method == "tree" else found.cell_events[own]
            _draw_line(axes, (low[:, 0], high[:, 0]), net / unit, error / unit, negative)
            axes.set_ylabel("Net weight per unit" if d == 1 and found.method == "tree" else "Net weight per event")
        else:
            boxes = found.method == "tree" and d == 2
            mesh = _draw_map(axes, low, high, np.clip(net / error, -_MOST, _MOST), negative, boxes=boxes)
            figure.colorbar(mesh, ax=axes, label="Net weight / standard error", pad=0.02, extend="both")
            axes.set_ylabel(axis_text(labels[1], ""))
        axes.set_xlabel(axis_text(labels[0], ""))
    return figure


def draw_weights(weights: ArrayLike, *, bins: int = 40, name: str = "weight", title: str = "") -> Figure:
    """Draw how many positive and negative weights there are of each size, stacked.

    Parameters
    ----------
    weights : array_like, (n,)
        Not all zero.
    bins : int, optional
        Number of bins; their axis is logarithmic if weights differ by more than a factor of 30.
    name : str
        Of the weights.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Weights of zero have no part. Nothing is shown or written.

    Raises
    ------
    InputError
        For weights that are not finite, or all zero.
    """
    w = finite_array(weights, "weights")
    w = w[w != 0]
    if w.size == 0:
        raise InputError("weights", "are all zero", "Pass weights of which some are not")
    size, n = np.abs(w), whole_number(bins, "bins", at_least=1)
    least, most = float(size.min()), float(size.max())
    wide = most > _WIDE * least
    edges = np.geomspace(least, most, n + 1) if wide else np.linspace(0.0, 1.05 * most, n + 1)
    edges[-1] = max(edges[-1], most)
    counts = [np.histogram(size[part], edges)[0] for part in (w > 0, w < 0)]
    share = float((w < 0).mean())
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        styles: Any = (
            (COLOURS["background"], f"Positive ({1 - share:.1%})"),
            (COLOURS["total"], f"Negative ({share:.1%})"),
        )
        below = np.zeros(n)
        for part, (colour, label) in zip(counts, styles, strict=True):
            axes.stairs(below + part, edges, baseline=below, fill=True, color=colour, alpha=0.75, label=label)
            below = below + part
        axes.stairs(below, edges, color="0.15", linewidth=0.9)
        if wide:
            axes.set_xscale("log")
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0.0, 1.25 * float(below.max()))
        axes.set_xlabel(f"| {axis_text(name, '')} |")
        axes.set_ylabel("Events")
        axes.legend(loc="upper left" if wide else "best")
    return figure


def draw_resampling(closure: ResamplingClosure, names: Sequence[str] | None = None, *, title: str = "") -> Figure:
    """Draw histograms before and after resampling, and their pulls.

    Parameters
    ----------
    closure : ResamplingClosure
        From :func:`hepstat.weights.compare_resampled`.
    names : sequence of str, optional
        The histograms to draw, in this order; all by default.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        A pair of panels for each histogram, two pairs in a row: yields per unit, with statistical errors before; and
        the difference over the error that the closure names. Nothing is shown or written.

    Raises
    ------
    InputError
        For a histogram that is not there.
    """
    wanted = tuple(closure.edges) if names is None else tuple(names)
    unknown = [name for name in wanted if name not in closure.edges]
    if unknown or not wanted:
        raise InputError("names", f"are {wanted!r}", f"Pass some of {', '.join(map(repr, closure.edges))}")
    with paired_picture(len(wanted), title) as (figure, pairs):
        for (top, below), name in zip(pairs, wanted, strict=True):
            _draw_histogram(top, below, closure, name)
    return figure


def _draw_line(axes: Axes, ends: tuple[Floats, Floats], value: Floats, error: Floats, negative: Bools) -> None:
    """Draw values of cells with errors, those that are negative in red."""
    low, high = ends
    styles: Any = ((~negative, COLOURS["background"], "Cells"), (negative, COLOURS["total"], "Significantly negative"))
    for part, colour, label in styles:
        if part.any():
            middle, half = 0.5 * (low + high)[part], 0.5 * (high - low)[part]
            alpha = 1.0 if low.size <= 100 else 0.5
            style = {**_SMALL, "color": colour, "label": label, "alpha": alpha}
            axes.errorbar(middle, value[part], error[part], half, **style)
    axes.axhline(0.0, color="0.4", linewidth=1.0, linestyle=":", zorder=1)
    axes.margins(x=0.02)
    axes.legend(loc="best")


def _draw_map(axes: Axes, low: Floats, high: Floats, pulls: Floats, negative: Bools, *, boxes: bool) -> Any:
    """Draw a map of pulls of cells, and return what has the colours."""
    from matplotlib.collections import PolyCollection

    marked: Any = {"facecolor": "none", "edgecolor": "black", "linewidth": 0.9, "label": "Significantly negative"}
    mesh: Any
    if boxes:
        corners = np.stack([low, np.stack([high[:, 0], low[:, 1]], 1), high, np.stack([low[:, 0], high[:, 1]], 1)], 1)
        mesh = PolyCollection(list(corners), array=pulls, cmap="RdBu", edgecolor="0.8", linewidth=0.3)
        mesh.set_clim(-_MOST, _MOST)
        axes.add_collection(mesh)
        axes.add_collection(PolyCollection(list(corners[negative]), **marked))
        axes.autoscale_view()
        axes.margins(0.0)
    else:
        x, y = 0.5 * (low + high).T
        mesh = axes.scatter(x, y, 14, pulls, cmap="RdBu", vmin=-_MOST, vmax=_MOST)
        axes.scatter(x[negative], y[negative], 20, **marked)
    if negative.any():
        axes.legend(loc="upper right")
    return mesh


def _draw_histogram(top: Axes, below: Axes, closure: ResamplingClosure, name: str) -> None:
    """Draw one histogram before and after, and the pulls."""
    edges = closure.edges[name]
    width, centres = np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    before, after = closure.yields_before[name] / width, closure.yields_after[name] / width
    error = np.sqrt(closure.sumw2_before[name]) / width
    top.stairs(after, edges, color=COLOURS["background"], linewidth=1.6, label=f"After {closure.method}")
    top.errorbar(centres, before, error, label="Before", **_SMALL)
    if (before >= 0).all() and (after >= 0).all():
        top.set_ylim(bottom=0.0)
    else:
        top.axhline(0.0, color="0.4", linewidth=1.0, linestyle=":", zorder=1)
    top.set_ylabel("Yield per unit")
    pulls = closure.pulls[name]
    most = max(1.2, 1.2 * float(np.abs(pulls).max()))
    below.axhspan(-1.0, 1.0, color="0.88", zorder=0)
    below.axhline(0.0, color="0.4", linewidth=1.0, linestyle=":", zorder=1)
    below.stairs(pulls, edges, fill=True, color=COLOURS["background"], alpha=0.7, zorder=2)
    below.sharex(top)
    below.set_xlim(edges[0], edges[-1])
    below.set_ylim(-most, most)
    below.set_ylabel("Pull" if closure.error == "statistical" else "Pull (resampling)")
    below.set_xlabel(axis_text(name, ""))
