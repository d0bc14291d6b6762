"""Pictures of spectra and scans; the only module that imports matplotlib, and only when a picture is drawn.

Figures are made without pyplot: nothing is shown, no window system is needed, and nothing stays in memory that the
caller does not keep. ``figure.savefig("name.png")`` writes one.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, interval
from hepstat.errors import InputError
from hepstat.histogram import Histogram
from hepstat.infer import poisson_interval, z_to_log_p
from hepstat.types import Bools, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_p0", "draw_spectrum", "draw_z_map"]

_STYLE: Any = {
    "font.size": 12.0,
    "axes.labelsize": 13.0,
    "axes.linewidth": 0.9,
    "legend.fontsize": 11.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "savefig.dpi": 150,
}
_COLOURS = {"total": "#c8102e", "background": "#1f5fa8", "signal": "#2a8c4a"}
_MORE_COLOURS = ("#b36b00", "#6b4fa0", "#00838f")
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
    from matplotlib import rc_context
    from matplotlib.ticker import MaxNLocator

    if data.ndim != 1:
        raise InputError("data", f"has {data.ndim} axes", "Project it on one")
    edges, centres = data.axes[0].edges, data.axes[0].centers
    shown = np.ones(centres.size, dtype=bool)
    if blind is not None:
        low, high = interval(blind, "blind")
        shown = (edges[1:] <= low) | (edges[:-1] >= high)
    texts = {**_LABELS, **(labels or {})}
    with rc_context(_STYLE):
        figure = _new_figure(6.4 if pulls is not None else 5.0)
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
        lowest.set_xlabel(_axis_text(name, unit))
        lowest.set_xlim(edges[0], edges[-1])
        _place_legend(top, data, shown, texts)
        if title:
            top.set_title(title, loc="left", fontsize=12)
        figure.align_ylabels()
    return figure


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
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    x = finite_array(positions, "positions")
    observed = _log10(log_p0, "log_p0", x)
    lowest = float(np.nanmin(observed)) if np.isfinite(observed).any() else -1.0
    with rc_context({**_STYLE, "ytick.minor.visible": False}):
        figure = _new_figure(4.8)
        axes = figure.subplots()
        axes.plot(x, observed, color="black", linewidth=1.6, label="Observed", zorder=3)
        if np.isfinite(observed).any():
            best = int(np.nanargmin(observed))
            axes.plot(x[best], observed[best], marker="o", color="black", markersize=5, zorder=3)
        if log_p0_expected is not None:
            median = _log10(log_p0_expected, "log_p0_expected", x)
            axes.plot(x, median, color=_COLOURS["background"], linestyle="--", label=expected_label, zorder=2)
            lowest = min(lowest, float(np.nanmin(median, initial=lowest)))
        _draw_sigma_lines(axes, lowest)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: "1" if value == 0 else f"$10^{{{value:.0f}}}$"))
        axes.set_xlim(x[0], x[-1] if x.size > 1 else x[0] + 1.0)
        axes.set_xlabel(_axis_text(f"Signal {name}", unit))
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
    with rc_context(_STYLE):
        figure = _new_figure(4.8)
        axes = figure.subplots()
        most = max(1.0, float(np.nanmax(np.abs(values))))
        mesh = axes.pcolormesh(_between(x), _between(y), values, cmap="RdBu_r", vmin=-most, vmax=most, rasterized=True)
        if min(values.shape) > 1:
            lines = axes.contour(x, y, values, levels=[1, 2, 3, 4, 5], colors="black", linewidths=0.7)
            axes.clabel(lines, fmt="%d$\\sigma$", fontsize=9)
        best = np.unravel_index(int(np.nanargmax(values)), values.shape)
        axes.plot(x[best[1]], y[best[0]], marker="*", color="white", markeredgecolor="black", markersize=13)
        axes.set_xlabel(_axis_text(f"Signal {name}", unit))
        axes.set_ylabel(_axis_text("Signal width", unit))
        figure.colorbar(mesh, ax=axes, label="Local significance", pad=0.02)
        if title:
            axes.set_title(title, loc="left", fontsize=12)
    return figure


@cache
def _picture_type() -> Any:
    from matplotlib.figure import Figure

    class Picture(Figure):
        """A figure that notebooks show, though pyplot does not know of it."""

        def _repr_png_(self) -> bytes:
            stream = io.BytesIO()
            self.savefig(stream, format="png")
            return stream.getvalue()

    return Picture


def _new_figure(height: float) -> Figure:
    figure: Figure = _picture_type()(figsize=(7.2, height), layout="constrained")
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
    spare = iter(_MORE_COLOURS * (1 + len(curves)))
    for name, curve in curves.items():
        y = finite_array(curve, f"curves[{name!r}]") * width
        if y.shape != x.shape:
            raise InputError(f"curves[{name!r}]", f"has {y.size} points, x has {x.size}", "Pass one for every x")
        colour = _COLOURS.get(name) or next(spare)
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
    axes.legend([handles[i] for i in order], [texts[i] for i in order], loc=where, framealpha=0.9, edgecolor="none")


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


def _is_counts(data: Histogram) -> bool:
    values = data.values()
    return np.array_equal(values, data.variances()) and np.array_equal(values, np.round(values))


def _axis_text(name: str, unit: str) -> str:
    text = name[:1].upper() + name[1:] if len(name) > 1 else name
    return f"{text} [{unit}]" if unit else text
