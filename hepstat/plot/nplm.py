"""A test against a reference: distribution of t, t on the way of a training, and where data deviate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.plot.style import BAND, COLOURS, MORE_COLOURS, POINTS, axis_text, curve_style, picture
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_log_ratio", "draw_projection", "draw_t", "draw_t_history"]

_LEAST_DENSITY = 0.3  # of one toy in a bin, at the lower end of a logarithmic axis


def draw_t(
    toys: ArrayLike | Mapping[str, ArrayLike],
    *,
    ndof: float | None = None,
    fitted_ndof: float | None = None,
    observed: float | None = None,
    bins: int = 30,
    log: bool = False,
    title: str = "",
) -> Figure:
    """Draw the distribution of t of toys, chi-squares, and what data have.

    Parameters
    ----------
    toys : array_like, (n,), or mapping of str to such
        t of toys that are fine; several sets by the text in the legend. The first gets points with errors.
    ndof, fitted_ndof : float, optional
        Degrees of freedom of chi-squares: nominal, such as the number of parameters, and fitted to toys.
    observed : float, optional
        t of data.
    bins : int, optional
        Number of bins that cover all of it.
    log : bool
        Whether the density gets a logarithmic axis.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Densities in t. Nothing is shown or written.

    Raises
    ------
    InputError
        For values that are not finite, or no set of them.
    """
    sets = dict(toys) if isinstance(toys, Mapping) else {"Toys": toys}
    if not sets:
        raise InputError("toys", "is empty", "Pass t of at least one toy")
    values = {label: finite_array(t, f"toys {label}") for label, t in sets.items()}
    seen = None if observed is None else finite_number(observed, "observed")
    everything = np.concatenate([*values.values(), [] if seen is None else [seen]])
    low, high = float(everything.min()), float(everything.max())
    margin = 0.03 * (high - low) if high > low else 1.0
    edges = np.linspace(low - margin, high + margin, whole_number(bins, "bins", at_least=1) + 1)
    from scipy.stats import chi2

    with picture(4.8, title) as figure:
        axes = figure.subplots()
        for i, (label, t) in enumerate(values.items()):
            _draw_toys(axes, t, edges, label, i)
        grid = np.linspace(max(edges[0], 0.0), edges[-1], 400)
        curves: Any = ((ndof, "background", "-", "ndof"), (fitted_ndof, "total", "--", "fitted_ndof"))
        for k, colour, dashes, name in curves:
            if k is not None:
                fitted = " (fitted)" if name == "fitted_ndof" else ""
                label = rf"$\chi^2$, {k:.4g} degrees of freedom{fitted}"
                density = chi2.pdf(grid, positive_number(k, name))
                axes.plot(grid, density, color=COLOURS[colour], linestyle=dashes, linewidth=1.6, label=label)
        if seen is not None:
            axes.axvline(seen, color=COLOURS["signal"], linewidth=1.8, label=f"Data: t = {seen:.4g}")
        axes.set_xlim(edges[0], edges[-1])
        top = axes.get_ylim()[1]
        if log:
            axes.set_yscale("log")
            most = max(t.size for t in values.values())
            axes.set_ylim(_LEAST_DENSITY / (most * (edges[1] - edges[0])), 3.0 * top)
        else:
            axes.set_ylim(0.0, 1.3 * top)
        axes.set_xlabel("t")
        axes.set_ylabel("Density of toys")
        axes.legend(loc="best")
    return figure


def draw_t_history(
    epochs: ArrayLike, t: ArrayLike, *, ndof: float | None = None, log: bool = True, title: str = ""
) -> Figure:
    """Draw t over the epochs of a training, or of many.

    Parameters
    ----------
    epochs : array_like, (n,)
    t : array_like, (n,) or (toys, n)
        Of one data set; or of many, which get their median, and bands of 68% and 95% of them.
    ndof : float, optional
        Mean of a chi-square to compare with: a horizontal line, and for many toys its quantiles at the end.
    log : bool
        Whether epochs get a logarithmic axis; those below 1 are left out.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        For numbers that are not finite, or not one t for each epoch.
    """
    number = finite_array(epochs, "epochs")
    lines = finite_array(t, "t", ndim=np.ndim(t) if np.ndim(t) in (1, 2) else 1)
    lines = lines.reshape(-1, lines.shape[-1])
    if lines.shape[1] != number.size:
        raise InputError("t", f"has {lines.shape[1]} entries for {number.size} epochs", "Pass one for each")
    kept = number >= 1 if log else np.ones(number.size, dtype=bool)
    if not kept.any():
        raise InputError("epochs", "are all below 1", "Pass log=False")
    number, lines = number[kept], lines[:, kept]
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        colour = COLOURS["background"]
        if len(lines) == 1:
            axes.plot(number, lines[0], color=colour, linewidth=1.6, label="t")
        else:
            for share, alpha in ((95.0, 0.15), (68.0, 0.25)):
                ends = np.percentile(lines, [50.0 - share / 2, 50.0 + share / 2], axis=0)
                label = f"{share:.0f}% of {len(lines)} toys"
                axes.fill_between(number, *ends, color=colour, label=label, **{**BAND, "alpha": alpha})
            axes.plot(number, np.median(lines, axis=0), color=colour, linewidth=1.6, label="Median")
        if ndof is not None:
            _draw_expected(axes, number, positive_number(ndof, "ndof"), many=len(lines) > 1)
        if log:
            axes.set_xscale("log")
        end = number[-1] if number[-1] > number[0] else number[0] + 1.0
        axes.set_xlim(number[0], end * (1.1 if log else 1.02))
        axes.set_xlabel("Epoch")
        axes.set_ylabel("t")
        axes.legend(loc="best", frameon=False)
    return figure


def draw_projection(projection: Any, *, log: bool = True, unit: str = "", title: str = "") -> Figure:
    """Draw data, the reference and what was learned along one quantity, and their ratios to what is expected.

    Parameters
    ----------
    projection : Projection
        On one quantity, from :func:`hepstat.nplm.deviation`.
    log : bool
        Whether yields get a logarithmic axis.
    unit : str
        Of the quantity.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Errors of data are roots of their number; the band is the error of the simulated reference. Nothing is shown or
        written.

    Raises
    ------
    InputError
        For a projection on two quantities.
    """
    if len(projection.names) != 1:
        raise InputError("projection", f"is on {', '.join(projection.names)}", "Pass one on one quantity")
    edges = projection.axes[0].edges
    expected, n = projection.expected.values(), projection.data.values()
    centres = 0.5 * (edges[1:] + edges[:-1])
    moved = not np.array_equal(projection.reference.values(), expected)
    shifted = not np.array_equal(projection.fitted.values(), expected)
    with picture(5.6, title) as figure:
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1.0))
        style: Any = {"linewidth": 1.5, "baseline": None}
        lines: Any = [("expected", "Reference, fitted" if moved else "Reference", COLOURS["background"], "-")]
        lines += [("reference", "Reference, nominal", "0.55", ":")] if moved else []
        lines += [("fitted", "Reference in fit with f", MORE_COLOURS[1], "-.")] if shifted else []
        lines += [("learned", r"Reference $\times\,e^f$", COLOURS["total"], "--")]
        for name, label, colour, dashes in lines:
            content = getattr(projection, name).values()
            top.stairs(content, edges, color=colour, linestyle=dashes, label=label, **style)
            if name != "expected":
                below.stairs(projection.ratio(name)[0], edges, color=colour, linestyle=dashes, **style)
        seen = n > 0 if log else np.ones(n.size, dtype=bool)
        top.errorbar(centres[seen], n[seen], np.sqrt(n[seen]), label="Data", **POINTS)
        ratio, error = projection.ratio("data")
        known = np.isfinite(ratio) & (n > 0)
        below.errorbar(centres[known], ratio[known], error[known], **POINTS)
        uncertain = projection.expected_error
        band: Any = {**BAND, "color": COLOURS["background"]}
        below.stairs(1.0 + uncertain, edges, baseline=1.0 - uncertain, fill=True, **band)
        below.axhline(1.0, color=COLOURS["background"], linewidth=1.2, zorder=1)
        below.set_ylim(_ratio_limits(ratio, error, projection.ratio("learned")[0]))
        below.set_xlim(edges[0], edges[-1])
        if log:
            top.set_yscale("log")
            least = min(float(expected[expected > 0].min(initial=1.0)), 0.5)
            top.set_ylim(max(0.5 * least, 1e-3), 3.0 * max(float(n.max()), float(expected.max()), 1.0))
        else:
            top.set_ylim(bottom=0.0)
        top.set_ylabel("Events")
        below.set_ylabel("Ratio to expected")
        below.set_xlabel(axis_text(projection.names[0], unit))
        top.legend(loc="best", frameon=False)
        figure.align_ylabels()
    return figure


def draw_log_ratio(projection: Any, *, regions: int = 3, title: str = "") -> Figure:
    """Draw a map of the logarithm of what was learned over what is expected, along two quantities.

    Parameters
    ----------
    projection : Projection
        On two quantities, from :func:`hepstat.nplm.deviation`.
    regions : int, optional
        How many bins that contribute most to t are framed, with their rank.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Bins without reference are left white; colours span what bins have in which an event or more is expected.
        Nothing is shown or written.

    Raises
    ------
    InputError
        For a projection on one quantity.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    if len(projection.names) != 2:
        raise InputError("projection", f"is on {', '.join(projection.names)}", "Pass one on two quantities")
    ratio = projection.ratio("learned")[0]
    logs = np.log(np.where(ratio > 0, ratio, np.nan))
    well_known = np.isfinite(logs) & (projection.expected.values() >= 1.0)
    limit = float(np.abs(logs[well_known]).max(initial=0.0)) or 1.0
    with picture(5.4, title) as figure:
        axes = figure.subplots()
        x, y = (axis.edges for axis in projection.axes)
        mesh = axes.pcolormesh(x, y, np.ma.masked_invalid(logs.T), cmap="RdBu_r", vmin=-limit, vmax=limit)
        figure.colorbar(mesh, ax=axes, label="Log of learned / expected", pad=0.02, extend="both")
        for rank, region in enumerate(projection.regions(regions) if regions else (), 1):
            if np.isfinite([*region.low, *region.high]).all():
                (left, bottom), (right, above) = region.low, region.high
                axes.add_patch(
                    Rectangle((left, bottom), right - left, above - bottom, fill=False, color="black", linewidth=1.2)
                )
                place = 0.5 * (left + right), 0.5 * (bottom + above)
                halo = [withStroke(linewidth=2.5, foreground="white")]
                axes.annotate(str(rank), place, ha="center", va="center", fontsize=9, path_effects=halo)
        axes.set_xlim(x[0], x[-1])
        axes.set_ylim(y[0], y[-1])
        axes.set_xlabel(axis_text(projection.names[0], ""))
        axes.set_ylabel(axis_text(projection.names[1], ""))
    return figure


def _draw_toys(axes: Axes, t: Floats, edges: Floats, label: str, i: int) -> None:
    """Draw a set of toys: the first with errors, others as lines."""
    counts = np.histogram(t, edges)[0].astype(np.float64)
    width = np.diff(edges)
    if i == 0:
        seen = counts > 0
        centres, scale = 0.5 * (edges[1:] + edges[:-1])[seen], (t.size * width)[seen]
        axes.errorbar(
            centres, counts[seen] / scale, np.sqrt(counts[seen]) / scale, label=f"{label} ({t.size:,})", **POINTS
        )
    else:
        colour, dashes = curve_style(i)
        style: Any = {"color": colour, "linestyle": dashes, "linewidth": 1.4}
        axes.stairs(counts / (t.size * width), edges, label=f"{label} ({t.size:,})", **style)


def _draw_expected(axes: Axes, epochs: Floats, ndof: float, *, many: bool) -> None:
    """Draw the mean of a chi-square, and its central quantiles at the last epoch."""
    from scipy.stats import chi2

    axes.axhline(ndof, color="0.35", linewidth=1.2, linestyle="--", label=rf"$\chi^2$ mean, {ndof:g}", zorder=2)
    if many:
        low, middle, high = chi2.ppf([0.16, 0.5, 0.84], ndof)
        end, style = epochs[-1], {**POINTS, "color": "0.25"}
        axes.errorbar([end], [middle], [[middle - low], [high - middle]], label=r"$\chi^2$ median, 68%", **style)


def _ratio_limits(ratio: Floats, error: Floats, learned: Floats) -> tuple[float, float]:
    """Return limits that show ratios which are known to better than half, and what was learned."""
    good = np.isfinite(ratio) & (error < 0.5 * ratio)
    parts = np.concatenate(
        [ratio[good] + error[good], ratio[good] - error[good], learned[np.isfinite(learned)], [0.7, 1.3]]
    )
    low, high = float(parts.min()), float(parts.max())
    return max(0.0, low - 0.05 * (high - low)), min(high + 0.05 * (high - low), 10.0)
