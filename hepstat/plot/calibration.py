"""Calibration of p-values and intervals, and global p-values of several methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.infer import CoverageCalibration, PValueCalibration, p_value_calibration, z_to_log_p
from hepstat.plot.significance import draw_sigma_lines, label_powers
from hepstat.plot.style import COLOURS, MORE_COLOURS, STYLE, axis_text, new_figure
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_coverage", "draw_global_p", "draw_p_calibration"]

_POINTS: Any = {"linestyle": "none", "marker": "o", "color": "black", "markersize": 5, "elinewidth": 1.2, "zorder": 3}
_SMOOTH = 25  # points of a curve from which on its errors are drawn as a band


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
    from matplotlib import rc_context

    found = calibration if isinstance(calibration, PValueCalibration) else p_value_calibration(calibration)
    with rc_context(STYLE):
        figure = new_figure(6.4)
        top, below = figure.subplots(2, 1, height_ratios=(1.6, 1.0))
        _draw_parts(top, found)
        _draw_type_one(below, found)
        if title:
            top.set_title(title, loc="left", fontsize=12)
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
    from matplotlib import rc_context

    found = calibration
    pulls = ((found.pull_mean, found.pull_mean_error), (found.pull_width, found.pull_width_error))
    with rc_context(STYLE):
        if found.pull_mean is None:
            figure = new_figure(4.4)
            top = lowest = figure.subplots()
        else:
            figure = new_figure(6.4)
            top, lowest = figure.subplots(2, 1, sharex=True, height_ratios=(1.4, 1.0))
            for (values, errors), label, marker, colour in zip(
                pulls, ("Mean", "Width"), ("o", "s"), (COLOURS["background"], COLOURS["total"]), strict=True
            ):
                style = {**_POINTS, "color": colour, "marker": marker}
                lowest.errorbar(found.truths, values, errors, label=label, **style)
            for level in (0.0, 1.0):
                lowest.axhline(level, color="0.5", linewidth=0.9, linestyle="--", zorder=1)
            lowest.set_ylabel("Pull")
            lowest.margins(y=0.15)
            lowest.legend(loc="center right", framealpha=0.9, edgecolor="none", ncols=2)
        errors = _around(found.coverage, found.coverage_lower, found.coverage_upper)
        top.errorbar(found.truths, found.coverage, errors, label="Toys", **_POINTS)
        top.axhline(found.level, color=COLOURS["total"], linewidth=1.4, label=f"Level {found.level:g}", zorder=2)
        top.margins(y=0.25)
        top.set_ylabel("Coverage")
        top.legend(loc="best", framealpha=0.9, edgecolor="none", ncols=2)
        lowest.set_xlabel(axis_text(name, unit))
        if title:
            top.set_title(title, loc="left", fontsize=12)
        figure.align_ylabels()
    return figure


def draw_global_p(z: ArrayLike, curves: Mapping[str, tuple[ArrayLike, ArrayLike]], *, title: str = "") -> Figure:
    """Draw global p-values of several methods over the local significance, with the local p-value for comparison.

    Parameters
    ----------
    z : array of shape (n_points,)
        Local significance, increasing.
    curves : mapping of str to tuple (p, error)
        Name of each method, its global p-values and their standard errors, each of shape (n_points,). NaN, or a p-value
        of 0, leaves a gap. Many points are drawn as a line with a band, few as markers with bars.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        For arrays of other lengths, or a z that is not finite.
    """
    from matplotlib import rc_context

    x = finite_array(z, "z")
    local = np.asarray(z_to_log_p(x)) / np.log(10.0)
    lowest = float(local.min())
    with rc_context({**STYLE, "ytick.minor.visible": False}):
        figure = new_figure(4.8)
        axes = figure.subplots()
        axes.plot(x, local, color="0.4", linestyle="--", label="Local", zorder=2)
        colours = (*COLOURS.values(), *MORE_COLOURS)
        markers, step = "osD^vP", 0.12 * float(np.diff(x).min(initial=1.0))  # so that markers stand side by side
        for i, (name, (p, error)) in enumerate(curves.items()):
            style = {"color": colours[i % len(colours)], "label": name, "zorder": 3}
            beside = x + (i - 0.5 * (len(curves) - 1)) * step if x.size < _SMOOTH else x
            _draw_global(axes, beside, *_matching(p, error, name, x), markers[i % len(markers)], style)
        draw_sigma_lines(axes, lowest)
        label_powers(axes)
        margin = 0.03 * float(np.ptp(x)) + 0.5 * step * len(curves)
        axes.set_xlim(float(x.min()) - margin, float(x.max()) + margin)
        axes.set_xlabel("Local significance Z")
        axes.set_ylabel("p-value")
        axes.legend(loc="lower left", framealpha=0.9, edgecolor="none")
        if title:
            axes.set_title(title, loc="left", fontsize=12)
    return figure


def _draw_parts(axes: Axes, found: PValueCalibration) -> None:
    """Draw the p-values in ten parts of their range, around the number that uniform ones would have."""
    centres = 0.5 * (found.edges[1:] + found.edges[:-1])
    spread = np.sqrt(found.expected * (1.0 - 1.0 / centres.size))
    axes.axhspan(found.expected - spread, found.expected + spread, facecolor="0.9", zorder=0)
    axes.axhline(found.expected, color=COLOURS["total"], linewidth=1.4, label="Uniform, 1$\\sigma$", zorder=1)
    half = 0.5 * np.diff(found.edges)
    bars = _around(found.counts, found.counts_lower, found.counts_upper)
    axes.errorbar(centres, found.counts, bars, xerr=half, label=f"{found.n_below} toys", **_POINTS)
    axes.set_xlim(0.0, found.above)
    low, high = float(found.counts_lower.min()), float(found.counts_upper.max())
    room = max(high - low, 2.0 * spread, 1.0)
    axes.set_ylim(max(low - 0.35 * room, 0.0), high + 0.6 * room)
    axes.set_xlabel("p-value")
    axes.set_ylabel("Toys")
    failed = f"; {found.n_failed} failed" if found.n_failed else ""
    axes.legend(loc="upper left", framealpha=0.9, edgecolor="none", ncols=2)
    axes.text(
        0.98, 0.95, f"KS p = {found.ks_p:.2g}{failed}", transform=axes.transAxes, ha="right", va="top", fontsize=11
    )


def _draw_type_one(axes: Axes, found: PValueCalibration) -> None:
    """Draw true over nominal type-I error."""
    from matplotlib.ticker import NullFormatter, NullLocator

    t = found.thresholds
    bars = _around(found.rates, found.rates_lower, found.rates_upper) / t
    axes.errorbar(t, found.rates / t, bars, **_POINTS)
    axes.axhline(1.0, color=COLOURS["total"], linewidth=1.4, zorder=1)
    axes.set_xscale("log")
    axes.set_xlim(t.max() * 1.6, t.min() / 1.6)
    axes.set_xticks(t, [f"{cut:g}" for cut in t])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(y=0.2)
    axes.set_xlabel("Nominal type-I error")
    axes.set_ylabel("True / nominal")


def _draw_global(axes: Axes, x: Floats, p: Floats, error: Floats, marker: str, style: dict[str, Any]) -> None:
    """Draw one method in decimal logarithms; an error as large as p reaches far down."""
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.where(p > 0, np.log10(p), np.nan)
        high = np.where(p > 0, np.log10(p + error), np.nan)
        low = np.where(p > error, np.log10(p - error), np.where(p > 0, middle - 9.0, np.nan))
    if x.size >= _SMOOTH:
        axes.plot(x, middle, linewidth=1.6, **style)
        axes.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0.0, zorder=1)
    else:
        bars = np.array([middle - low, high - middle])
        axes.errorbar(x, middle, bars, linestyle="none", marker=marker, markersize=5, elinewidth=1.2, **style)


def _matching(p: ArrayLike, error: ArrayLike, name: str, x: Floats) -> tuple[Floats, Floats]:
    values, errors = np.asarray(p, dtype=np.float64), np.asarray(error, dtype=np.float64)
    if values.shape != x.shape or errors.shape != x.shape:
        shapes = f"{values.shape} and {errors.shape}"
        raise InputError(f"curves[{name!r}]", f"has shapes {shapes}, z {x.shape}", "Pass one of each for every z")
    return values, errors


def _around(values: Floats, lower: Floats, upper: Floats) -> Floats:
    """Return the lengths (2, n) of error bars."""
    return np.asarray(np.maximum([values - lower, upper - values], 0.0))
