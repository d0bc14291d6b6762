"""Cuts on a score: significance over the threshold, efficiencies by process, ROC curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.plot.style import BAND, DASHES, axis_text, curve_style, picture, process_colours
from hepstat.selection import Roc, ThresholdScan
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_efficiencies", "draw_roc", "draw_threshold_scan"]

_LEAST = 1e-6  # efficiency that a logarithmic axis goes down to, at most


def draw_threshold_scan(
    scans: Mapping[str, ThresholdScan],
    *,
    points: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    name: str = "score",
    title: str = "",
) -> Figure:
    """Draw the significance over the threshold and over the signal efficiency, within the limits of the scans.

    Parameters
    ----------
    scans : mapping of str to ThresholdScan
        From :func:`hepstat.selection.threshold_scan`, by the text in the legend. A band is the standard error from
        finite simulation, a dot the best threshold.
    points : mapping of str to tuple (efficiency, z), optional
        Published significances, each (m,), by the name of the scan that they belong to: open circles in its colour
        over the signal efficiency.
    name : str
        Quantity that is cut on.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        If there is no scan, or none that has a finite significance; for points of no scan, or not finite.
    """
    if not any(np.isfinite(scan.z[scan.allowed]).any() for scan in scans.values()):
        raise InputError("scans", "have no finite significance", "Pass at least one scan with background")
    published = {label: _points(label, values, tuple(scans)) for label, values in (points or {}).items()}
    with picture(4.0, title) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        drawn: list[Any] = []
        for i, (label, scan) in enumerate(scans.items()):
            colour, dashes = curve_style(i)
            seen = scan.allowed & np.isfinite(scan.z)
            z, error = np.where(seen, scan.z, np.nan), np.where(seen, np.nan_to_num(scan.z_error), 0.0)
            for axes, x in ((left, scan.thresholds), (right, scan.signal_efficiency)):
                axes.plot(x, z, color=colour, linestyle=dashes, linewidth=1.6, label=label, zorder=3)
                axes.fill_between(x, z - error, z + error, color=colour, **BAND)
                axes.plot(x[scan.best], z[scan.best], marker="o", color=colour, markersize=5, zorder=4)
            if label in published:
                circles: Any = {"marker": "o", "markerfacecolor": "none", "linestyle": "none", "zorder": 5}
                drawn += right.plot(*published[label], color=colour, label=f"{label}, published", **circles)
        left.set_ylim(bottom=min(0.0, left.get_ylim()[0]))
        left.set_ylabel(_significance_text(scans))
        left.set_xlabel(axis_text(f"Threshold on {name}", ""))
        right.set_xlabel("Signal efficiency")
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", frameon=False, ncols=3)
        if drawn:
            right.legend(handles=drawn, loc="upper right", frameon=False)
    return figure


def draw_efficiencies(scan: ThresholdScan, *, name: str = "score", log: bool = False, title: str = "") -> Figure:
    """Draw the efficiency of every process over the threshold; a line marks the best one.

    Parameters
    ----------
    scan : ThresholdScan
        From :func:`hepstat.selection.threshold_scan`.
    name : str
        Quantity that is cut on.
    log : bool
        Whether the efficiencies get a logarithmic axis.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Bands are standard errors from finite simulation. Nothing is shown or written.
    """
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        for k, colour in enumerate(process_colours(scan.signal)):
            e, error = scan.efficiencies[k], scan.efficiency_errors[k]
            shown = np.where(e > 0, e, np.nan) if log else e
            dashes = "-" if scan.signal[k] else DASHES[1 + k % 3]
            axes.plot(scan.thresholds, shown, color=colour, linestyle=dashes, label=scan.names[k], zorder=3)
            low = np.maximum(shown - error, 0.1 * shown) if log else shown - error
            axes.fill_between(scan.thresholds, low, shown + error, color=colour, **BAND)
        axes.axvline(scan.best_threshold, color="0.4", linewidth=1.0, linestyle=":", label="Best threshold", zorder=2)
        if log:
            axes.set_yscale("log")
            positive = scan.efficiencies[scan.efficiencies > 0]
            axes.set_ylim(max(_LEAST, 0.5 * float(positive.min(initial=1.0))), 1.5)
        else:
            axes.set_ylim(-0.02, 1.05)
        axes.margins(x=0.0)
        axes.set_xlabel(axis_text(f"Threshold on {name}", ""))
        axes.set_ylabel("Efficiency")
        axes.legend(loc="lower left" if log else "best")
    return figure


def draw_roc(
    curves: Mapping[str, Roc | ThresholdScan],
    *,
    kind: Literal["total", "true"] = "total",
    log: bool = False,
    title: str = "",
) -> Figure:
    """Draw background efficiency over signal efficiency.

    Parameters
    ----------
    curves : mapping of str to Roc or ThresholdScan
        By the text in the legend, to which an area is added where it is known.
    kind : {"total", "true"}
        Background efficiency of a scan: by simulated events, or by expected ones (arXiv:2412.09500, appendix C). A
        :class:`hepstat.selection.Roc` has only one, that of its weights.
    log : bool
        Whether the background efficiency gets a logarithmic axis.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        If there is no curve, or the kind is unknown.
    """
    if kind not in ("total", "true"):
        raise InputError("kind", f"is {kind!r}", "Choose 'total' or 'true'")
    if not curves:
        raise InputError("curves", "is empty", "Pass at least one")
    lowest = 1.0
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        for i, (label, curve) in enumerate(curves.items()):
            colour, dashes = curve_style(i)
            if isinstance(curve, Roc):
                y, text = curve.background_efficiency, f"{label} (AUC {curve.auc:.4f})"
            else:
                y, text = curve.background_efficiency if kind == "total" else curve.true_background_efficiency, label
            lowest = float(y[y > 0].min(initial=lowest))
            if log:
                y = np.where(y > 0, y, np.nan)
            axes.plot(curve.signal_efficiency, y, color=colour, linestyle=dashes, linewidth=1.6, label=text, zorder=3)
        if log:
            axes.set_yscale("log")
            axes.set_ylim(max(_LEAST, 0.5 * lowest), 1.5)
        else:
            axes.set_ylim(-0.02, 1.02)
        axes.set_xlim(0.0, 1.0)
        axes.set_xlabel("Signal efficiency")
        axes.set_ylabel("True background efficiency" if kind == "true" else "Background efficiency")
        axes.legend(loc="lower right" if log else "upper left")
    return figure


def _points(label: str, points: tuple[ArrayLike, ArrayLike], names: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Return efficiencies and significances of published points, checked."""
    if label not in names:
        raise InputError("points", f"has {label!r}, which is no scan", "Pass points by the names of scans")
    e, z = finite_array(points[0], f"efficiency of {label}"), finite_array(points[1], f"z of {label}")
    if e.size != z.size:
        raise InputError(f"z of {label}", f"has {z.size} entries for {e.size} efficiencies", "Pass one for each")
    return e, z


def _significance_text(scans: Mapping[str, ThresholdScan]) -> str:
    kinds = {scan.significance for scan in scans.values()}
    return r"Significance $N_s/\sqrt{N_b}$" if kinds == {"simple"} else "Significance Z"
