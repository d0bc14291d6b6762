"""Local significance of a scan: p-values over the position, and a map over position and width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.infer import z_to_log_p
from hepstat.plot.style import COLOURS, STYLE, axis_text, new_figure
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_p0", "draw_sigma_lines", "draw_z_map", "label_powers"]


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
    from matplotlib import rc_context

    x = finite_array(positions, "positions")
    observed = _log10(log_p0, "log_p0", x)
    lowest = float(np.nanmin(observed)) if np.isfinite(observed).any() else -1.0
    with rc_context({**STYLE, "ytick.minor.visible": False}):
        figure = new_figure(4.8)
        axes = figure.subplots()
        axes.plot(x, observed, color="black", linewidth=1.6, label="Observed", zorder=3)
        if np.isfinite(observed).any():
            best = int(np.nanargmin(observed))
            axes.plot(x[best], observed[best], marker="o", color="black", markersize=5, zorder=3)
        if log_p0_expected is not None:
            median = _log10(log_p0_expected, "log_p0_expected", x)
            axes.plot(x, median, color=COLOURS["background"], linestyle="--", label=expected_label, zorder=2)
            lowest = min(lowest, float(np.nanmin(median, initial=lowest)))
        draw_sigma_lines(axes, lowest)
        label_powers(axes)
        axes.set_xlim(x[0], x[-1] if x.size > 1 else x[0] + 1.0)
        axes.set_xlabel(axis_text(f"Signal {name}", unit))
        axes.set_ylabel("Local p-value")
        axes.legend(loc="lower center", frameon=False)
        if title:
            axes.set_title(title, loc="left", fontsize=12)
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
    from matplotlib import rc_context

    x, y, values = finite_array(positions, "positions"), finite_array(widths, "widths"), np.asarray(z, dtype=float)
    if values.shape != (y.size, x.size):
        raise InputError("z", f"has shape {values.shape}", f"Pass ({y.size}, {x.size}): widths, then positions")
    if np.isnan(values).all():
        raise InputError("z", "has nothing but NaN", "Repeat the scan: every fit failed")
    with rc_context(STYLE):
        figure = new_figure(4.8)
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
        if title:
            axes.set_title(title, loc="left", fontsize=12)
    return figure


def draw_sigma_lines(axes: Axes, lowest: float) -> None:
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


def label_powers(axes: Axes) -> None:
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
