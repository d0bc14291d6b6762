"""Significance of a scan: local p-values over the position, a map over position and width, global p-values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.infer import z_to_log_p
from hepstat.plot.style import BAND, COLOURS, MORE_COLOURS, axis_text, picture
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_global_p", "draw_p0", "draw_z_map"]

_SMOOTH = 25  # points of a curve from which on its errors are drawn as a band


def draw_p0(
    positions: ArrayLike,
    log_p0: ArrayLike,
    log_p0_expected: ArrayLike | None = None,
    *,
    expected_label: str = "Expected",
    name: str = "mass",
    unit: str = "GeV",
    title: str = "",
) -> Figure:
    """Draw local p-values over the signal's position, with lines at whole standard deviations.

    Parameters
    ----------
    positions : array of shape (n_positions,)
        Positions, increasing.
    log_p0 : array of shape (n_positions,)
        Natural logarithms of the observed local p-values, so that none underflows; NaN leaves a gap.
    log_p0_expected : array of shape (n_positions,), optional
        The same of the expected ones.
    expected_label : str
        Text of the expected curve in the legend.
    name, unit, title : str
        As in :func:`draw_spectrum`.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        For positions that are not finite, or arrays of other lengths.
    """
    x = finite_array(positions, "positions")
    observed = _log10(log_p0, "log_p0", x)
    lowest = float(np.nanmin(observed)) if np.isfinite(observed).any() else -1.0
    with picture(4.8, title, ytick_minor_visible=False) as figure:
        axes = figure.subplots()
        axes.plot(x, observed, color="black", linewidth=1.6, label="Observed", zorder=3)
        if np.isfinite(observed).any():
            best = int(np.nanargmin(observed))
            axes.plot(x[best], observed[best], marker="o", color="black", markersize=5, zorder=3)
        if log_p0_expected is not None:
            median = _log10(log_p0_expected, "log_p0_expected", x)
            axes.plot(x, median, color=COLOURS["background"], linestyle="--", label=expected_label, zorder=2)
            lowest = min(lowest, float(np.nanmin(median, initial=lowest)))
        _draw_sigma_lines(axes, lowest)
        _label_powers(axes)
        axes.set_xlim(x[0], x[-1] if x.size > 1 else x[0] + 1.0)
        axes.set_xlabel(axis_text(f"Signal {name}", unit))
        axes.set_ylabel("Local p-value")
        axes.legend(loc="lower center", frameon=False)
    return figure


def draw_z_map(
    positions: ArrayLike,
    widths: ArrayLike,
    z: ArrayLike,
    *,
    name: str = "mass",
    unit: str = "GeV",
    title: str = "",
) -> Figure:
    """Draw the signed local significance over position and width.

    Parameters
    ----------
    positions : array of shape (n_positions,)
        Positions, increasing.
    widths : array of shape (n_widths,)
        Widths, increasing.
    z : array of shape (n_widths, n_positions)
        Signed significance; NaN stays white.
    name, unit, title : str
        As in :func:`draw_spectrum`.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        For positions or widths that are not finite, values of another shape, or nothing but NaN.
    """
    x, y, values = finite_array(positions, "positions"), finite_array(widths, "widths"), np.asarray(z, dtype=float)
    if values.shape != (y.size, x.size):
        raise InputError("z", f"has shape {values.shape}", f"Pass ({y.size}, {x.size}): widths, then positions")
    if np.isnan(values).all():
        raise InputError("z", "has nothing but NaN", "Repeat the scan: every fit failed")
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        most = max(1.0, float(np.nanmax(np.abs(values))))
        mesh = axes.pcolormesh(_between(x), _between(y), values, cmap="RdBu_r", vmin=-most, vmax=most, rasterized=True)
        if min(values.shape) > 1:
            lines = axes.contour(x, y, values, levels=[1, 2, 3, 4, 5], colors="black", linewidths=0.7)
            axes.clabel(lines, fmt="%d$\\sigma$", fontsize=9)
        best = np.unravel_index(int(np.nanargmax(values)), values.shape)
        axes.plot(x[best[1]], y[best[0]], marker="*", color="white", markeredgecolor="black", markersize=13)
        axes.set_xlabel(axis_text(f"Signal {name}", unit))
        axes.set_ylabel(axis_text("Signal width", unit))
        figure.colorbar(mesh, ax=axes, label="Local significance", pad=0.02)
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
    x = finite_array(z, "z")
    local = np.asarray(z_to_log_p(x)) / np.log(10.0)
    lowest = float(local.min())
    with picture(4.8, title, ytick_minor_visible=False) as figure:
        axes = figure.subplots()
        axes.plot(x, local, color="0.4", linestyle="--", label="Local", zorder=2)
        colours = (*COLOURS.values(), *MORE_COLOURS)
        markers, step = "osD^vP", 0.12 * float(np.diff(x).min(initial=1.0))  # so that markers stand side by side
        for i, (name, (p, error)) in enumerate(curves.items()):
            style = {"color": colours[i % len(colours)], "label": name, "zorder": 3}
            beside = x + (i - 0.5 * (len(curves) - 1)) * step if x.size < _SMOOTH else x
            _draw_global(axes, beside, *_matching(p, error, name, x), markers[i % len(markers)], style)
        _draw_sigma_lines(axes, lowest)
        _label_powers(axes)
        margin = 0.03 * float(np.ptp(x)) + 0.5 * step * len(curves)
        axes.set_xlim(float(x.min()) - margin, float(x.max()) + margin)
        axes.set_xlabel("Local significance Z")
        axes.set_ylabel("p-value")
        axes.legend(loc="lower left")
    return figure


def _draw_sigma_lines(axes: Axes, lowest: float) -> None:
    """Draw lines at whole standard deviations down to a logarithm (base 10) of p, and leave room for the legend."""
    most = max(3, int(np.sqrt(-2.0 * np.log(10.0) * lowest)) + 1)  # a little more than the standard deviations of it
    step = next(n for k in range(7) for n in (10**k, 2 * 10**k, 5 * 10**k) if most <= 9 * n)
    bottom = min(1.3 * lowest, float(_log10_p(3)) * 1.3)
    for k in range(step, most + 1, step):
        level = float(_log10_p(k))
        if level < 1.02 * bottom:
            break
        axes.axhline(level, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
        axes.annotate(
            f"{k}$\\sigma$", (1.01, level), xycoords=("axes fraction", "data"), va="center", fontsize=10, color="0.35"
        )
    axes.set_ylim(bottom, -0.06 * bottom)


def _label_powers(axes: Axes) -> None:
    """Label a vertical axis of decimal logarithms by the numbers that they are of."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: "1" if value == 0 else f"$10^{{{value:.0f}}}$"))


def _log10_p(z: float) -> float:
    return float(z_to_log_p(z)) / float(np.log(10.0))


def _log10(log_p: ArrayLike, name: str, x: Floats) -> Floats:
    """Return natural logarithms, NaN allowed, as decimal ones, one for every position."""
    values = np.asarray(log_p, dtype=np.float64)
    if values.shape != x.shape:
        raise InputError(name, f"has shape {values.shape}, positions {x.shape}", "Pass one for every position")
    return np.asarray(values / np.log(10.0))


def _between(centres: Floats) -> Floats:
    """Return edges halfway between centres."""
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _draw_global(axes: Axes, x: Floats, p: Floats, error: Floats, marker: str, style: dict[str, Any]) -> None:
    """Draw one method in decimal logarithms; an error as large as p reaches far down."""
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.where(p > 0, np.log10(p), np.nan)
        high = np.where(p > 0, np.log10(p + error), np.nan)
        low = np.where(p > error, np.log10(p - error), np.where(p > 0, middle - 9.0, np.nan))
    if x.size >= _SMOOTH:
        axes.plot(x, middle, linewidth=1.6, **style)
        axes.fill_between(x, low, high, color=style["color"], **BAND)
    else:
        bars = np.array([middle - low, high - middle])
        axes.errorbar(x, middle, bars, linestyle="none", marker=marker, markersize=5, elinewidth=1.2, **style)


def _matching(p: ArrayLike, error: ArrayLike, name: str, x: Floats) -> tuple[Floats, Floats]:
    values, errors = np.asarray(p, dtype=np.float64), np.asarray(error, dtype=np.float64)
    if values.shape != x.shape or errors.shape != x.shape:
        shapes = f"{values.shape} and {errors.shape}"
        raise InputError(f"curves[{name!r}]", f"has shapes {shapes}, z {x.shape}", "Pass one of each for every z")
    return values, errors
