"""Calibration of p-values and of intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hepstat.infer import CoverageCalibration, PValueCalibration, p_value_calibration
from hepstat.plot.style import COLOURS, POINTS, axis_text, picture
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_coverage", "draw_p_calibration"]


def draw_p_calibration(calibration: PValueCalibration | ArrayLike, *, title: str = "") -> Figure:
    """Draw how uniform p-values are, and below it true over nominal type-I error.

    Parameters
    ----------
    calibration : PValueCalibration or array of shape (n_toys,)
        From :func:`hepstat.infer.p_value_calibration`, or p-values to calibrate with its defaults.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        For p-values that are none.
    """
    found = calibration if isinstance(calibration, PValueCalibration) else p_value_calibration(calibration)
    with picture(6.4, title) as figure:
        top, below = figure.subplots(2, 1, height_ratios=(1.6, 1.0))
        _draw_parts(top, found)
        _draw_type_one(below, found)
        figure.align_ylabels()
    return figure


def draw_coverage(calibration: CoverageCalibration, *, name: str = "truth", unit: str = "", title: str = "") -> Figure:
    """Draw the coverage of intervals over the true value, and below it mean and width of the pulls if there are any.

    Parameters
    ----------
    calibration : CoverageCalibration
        From :func:`hepstat.infer.coverage`.
    name, unit : str
        Quantity and unit on the axis.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.
    """
    found = calibration
    pulls = ((found.pull_mean, found.pull_mean_error), (found.pull_width, found.pull_width_error))
    with picture(4.4 if found.pull_mean is None else 6.4, title) as figure:
        if found.pull_mean is None:
            top = lowest = figure.subplots()
        else:
            top, lowest = figure.subplots(2, 1, sharex=True, height_ratios=(1.4, 1.0))
            for (values, errors), label, marker, colour in zip(
                pulls, ("Mean", "Width"), ("o", "s"), (COLOURS["background"], COLOURS["total"]), strict=True
            ):
                style = {**POINTS, "color": colour, "marker": marker}
                lowest.errorbar(found.truths, values, errors, label=label, **style)
            for level in (0.0, 1.0):
                lowest.axhline(level, color="0.5", linewidth=0.9, linestyle="--", zorder=1)
            lowest.set_ylabel("Pull")
            lowest.margins(y=0.15)
            lowest.legend(loc="center right", ncols=2)
        errors = _around(found.coverage, found.coverage_lower, found.coverage_upper)
        top.errorbar(found.truths, found.coverage, errors, label="Toys", **POINTS)
        top.axhline(found.level, color=COLOURS["total"], linewidth=1.4, label=f"Level {found.level:g}", zorder=2)
        top.margins(y=0.25)
        top.set_ylabel("Coverage")
        top.legend(loc="best", ncols=2)
        lowest.set_xlabel(axis_text(name, unit))
        figure.align_ylabels()
    return figure


def _draw_parts(axes: Axes, found: PValueCalibration) -> None:
    """Draw the p-values in ten parts of their range, around the number that uniform ones would have."""
    centres = 0.5 * (found.edges[1:] + found.edges[:-1])
    spread = np.sqrt(found.expected * (1.0 - 1.0 / centres.size))
    axes.axhspan(found.expected - spread, found.expected + spread, facecolor="0.9", zorder=0)
    axes.axhline(found.expected, color=COLOURS["total"], linewidth=1.4, label="Uniform, 1$\\sigma$", zorder=1)
    half = 0.5 * np.diff(found.edges)
    bars = _around(found.counts, found.counts_lower, found.counts_upper)
    axes.errorbar(centres, found.counts, bars, xerr=half, label=f"{found.n_below} toys", **POINTS)
    axes.set_xlim(0.0, found.below)
    low, high = float(found.counts_lower.min()), float(found.counts_upper.max())
    room = max(high - low, 2.0 * spread, 1.0)
    axes.set_ylim(max(low - 0.35 * room, 0.0), high + 0.6 * room)
    axes.set_xlabel("p-value")
    axes.set_ylabel("Toys")
    failed = f"; {found.n_failed} failed" if found.n_failed else ""
    axes.legend(loc="upper left", ncols=2)
    axes.text(
        0.98, 0.95, f"KS p = {found.ks_p:.2g}{failed}", transform=axes.transAxes, ha="right", va="top", fontsize=11
    )


def _draw_type_one(axes: Axes, found: PValueCalibration) -> None:
    """Draw true over nominal type-I error."""
    from matplotlib.ticker import NullFormatter, NullLocator

    t = found.thresholds
    bars = _around(found.rates, found.rates_lower, found.rates_upper) / t
    axes.errorbar(t, found.rates / t, bars, **POINTS)
    axes.axhline(1.0, color=COLOURS["total"], linewidth=1.4, zorder=1)
    axes.set_xscale("log")
    axes.set_xlim(t.max() * 1.6, t.min() / 1.6)
    axes.set_xticks(t, [f"{cut:g}" for cut in t])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(y=0.2)
    axes.set_xlabel("Nominal type-I error")
    axes.set_ylabel("True / nominal")


def _around(values: Floats, lower: Floats, upper: Floats) -> Floats:
    """Return the lengths (2, n) of error bars."""
    return np.asarray(np.maximum([values - lower, upper - values], 0.0))
