"""Likelihood ratios: over a feature, predicted against measured, and closure of reweighted samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.plot.style import COLOURS, POINTS, axis_text, curve_style, paired_picture, picture
from hepstat.ratio import BinnedRatio, Closure, RatioDiagnostics
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_closure", "draw_ratio", "draw_reliability"]


def draw_ratio(
    ratios: Mapping[str, Callable[[Any], Floats]],
    x: ArrayLike,
    *,
    analytic: Mapping[str, Callable[[Any], Floats]] | None = None,
    binned: Mapping[str, BinnedRatio] | None = None,
    log: bool = False,
    name: str = "x",
    unit: str = "",
    quantity: str = "$p_S / p_B$",
    title: str = "",
) -> Figure:
    """Draw ratios over a single feature (arXiv:1909.03081, figures 3 and 7).

    Parameters
    ----------
    ratios : mapping of str to Ratio or callable
        Functions of events (n, 1), by the text in the legend.
    x : array_like, (n,)
        Where they are drawn, rising.
    analytic : mapping of str to Ratio or callable, optional
        Known ratios, functions of x (n,).
    binned : mapping of str to BinnedRatio, optional
        From :func:`hepstat.ratio.binned_ratio`: points with errors, in the colours of the ratios.
    log : bool
        Whether the ratio gets a logarithmic axis.
    name, unit : str
        The feature and its unit.
    quantity : str
        What is drawn; values of signed ratios may be negative.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        If there is nothing to draw, or x is not finite.
    """
    points = finite_array(x, "x")
    if not (ratios or analytic or binned):
        raise InputError("ratios", "is empty, as are the others", "Pass at least one ratio")
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        for i, (label, function) in enumerate(ratios.items()):
            colour, dashes = curve_style(i)
            axes.plot(points, function(points[:, np.newaxis]), color=colour, linestyle=dashes, label=label, zorder=3)
        for i, (label, function) in enumerate((analytic or {}).items()):
            grey = str(0.5 * i / max(1, len(analytic or {})))
            axes.plot(points, function(points), color=grey, linewidth=1.8, linestyle=":", label=label, zorder=5)
        for i, (label, found) in enumerate((binned or {}).items()):
            colour = curve_style(i)[0] if len(binned or {}) > 1 else "black"
            centres, half = 0.5 * (found.edges[1:] + found.edges[:-1]), 0.5 * np.diff(found.edges)
            shown = np.where(found.ratios > 0, found.ratios, np.nan) if log else found.ratios
            axes.errorbar(centres, shown, found.errors, xerr=half, label=label, **{**POINTS, "color": colour})
        if log:
            axes.set_yscale("log")
        elif any((np.asarray(line.get_ydata()) < 0).any() for line in axes.lines):
            axes.axhline(0.0, color="0.6", linewidth=0.9, zorder=1)
        else:
            axes.set_ylim(bottom=0.0)
        axes.set_xlim(points.min(), points.max())
        axes.set_xlabel(axis_text(name, unit))
        axes.set_ylabel(quantity)
        axes.legend(loc="best")
    return figure


def draw_reliability(diagnostics: RatioDiagnostics, *, title: str = "") -> Figure:
    """Draw the measured over the predicted ratio in bins of the latter, and below it their quotient.

    Parameters
    ----------
    diagnostics : RatioDiagnostics
        From :func:`hepstat.ratio.diagnose`.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Bars are standard errors of what is measured. Nothing is shown or written.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    found = diagnostics
    positive = found.predicted > 0
    x, y, errors = found.predicted[positive], found.measured[positive], found.measured_errors[positive]
    with picture(5.6, title) as figure:
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.8, 1.0))
        low, high = min(x.min(), y.min()) / 1.3, max(x.max(), y.max()) * 1.3
        top.plot([low, high], [low, high], color=COLOURS["total"], linewidth=1.2, label="Equal", zorder=2)
        chi2 = f"$\\chi^2$/ndf {found.reliability_chi2:.3g}/{found.reliability_ndf:g}"
        top.errorbar(x, y, errors, label=f"Events, {chi2}", **POINTS)
        top.set_xscale("log")
        top.set_yscale("log")
        for axis in (top.xaxis, top.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 1e3 * low else (1.0,)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        top.set_xlim(low, high)
        top.set_ylim(low, high)
        top.set_ylabel("Measured $p_S / p_B$")
        top.legend(loc="upper left")
        below.errorbar(x, y / x, errors / x, **POINTS)
        below.axhline(1.0, color=COLOURS["total"], linewidth=1.2, zorder=2)
        below.margins(y=0.2)
        below.set_ylabel("Measured / predicted")
        below.set_xlabel("Predicted $p_S / p_B$")
        figure.align_ylabels()
    return figure


def draw_closure(
    closure: Closure,
    features: Sequence[str] | None = None,
    *,
    labels: tuple[str, str, str] = ("Signal", "Background times r", "Background"),
    title: str = "",
) -> Figure:
    """Draw features of the target, of the reweighted sample and of the same without weights.

    Parameters
    ----------
    closure : Closure or RatioDiagnostics
        From :func:`hepstat.ratio.compare_variation` or :func:`hepstat.ratio.diagnose`.
    features : sequence of str, optional
        Those to draw, in this order; all by default.
    labels : tuple of str
        What the three are called.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        A pair of panels for each feature, two pairs in a row: densities, and target over reweighted. Nothing is shown
        or written.

    Raises
    ------
    InputError
        For a feature that is not there.
    """
    wanted = closure.features if features is None else tuple(features)
    unknown = [name for name in wanted if name not in closure.features]
    if unknown or not wanted:
        raise InputError("features", f"are {wanted!r}", f"Pass some of {', '.join(map(repr, closure.features))}")
    with paired_picture(len(wanted), title) as (figure, pairs):
        for (top, below), name in zip(pairs, wanted, strict=True):
            _draw_feature(top, below, closure, closure.features.index(name), labels)
    return figure


def _draw_feature(top: Axes, below: Axes, closure: Closure, j: int, labels: tuple[str, str, str]) -> None:
    """Draw densities of one feature, and the quotient of target and reweighted."""
    edges = closure.edges[j][np.isfinite(closure.edges[j])]
    n = edges.size - 1
    width = np.diff(edges)
    arrays = (closure.target, closure.target_errors, closure.reweighted, closure.reweighted_errors, closure.original)
    target, error, other, other_error, original = (array[j, :n] for array in arrays)
    centres = 0.5 * (edges[1:] + edges[:-1])
    top.stairs(original / width, edges, color="0.55", linestyle="--", label=labels[2])
    top.stairs(other / width, edges, color=COLOURS["background"], linewidth=1.6, label=labels[1])
    top.errorbar(centres, target / width, error / width, label=labels[0], **POINTS)
    top.set_ylim(bottom=0.0)
    top.set_ylabel("Density")
    top.text(0.97, 0.94, f"p = {closure.p[j]:.2g}", transform=top.transAxes, ha="right", va="top", fontsize=11)
    share = np.hypot(error, target / other * other_error) / other
    below.errorbar(centres, target / other, share, **POINTS)
    below.axhline(1.0, color=COLOURS["background"], linewidth=1.2, zorder=2)
    below.sharex(top)
    below.margins(y=0.2)
    below.set_ylabel("Quotient")
    below.set_xlabel(axis_text(closure.features[j], ""))
