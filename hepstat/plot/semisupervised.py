"""Toys of semi-supervised searches: local and largest significances, the causes of fake signal, power."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, whole_number
from hepstat.errors import InputError
from hepstat.plot.significance import draw_global_p
from hepstat.plot.style import BAND, COLOURS, MORE_COLOURS, POINTS, curve_style, picture
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "draw_fake_signal",
    "draw_global_z",
    "draw_largest_z",
    "draw_local_z",
    "draw_power_table",
    "draw_rejection_scan",
]

_ROOT_TAU = float(np.sqrt(2.0 * np.pi))
_LARGEST = "Largest local significance"
_LOCAL = "Local significance Z"


def draw_local_z(
    local: Any, *, procedure: str, recipe: str, steps: Sequence[int] | None = None, log: bool = False, title: str = ""
) -> Figure:
    """Draw the distribution of local significances at some rejection steps, with the normal one that they claim.

    Parameters
    ----------
    local : LocalSignificance
        From :func:`hepstat.semisupervised.local_significance`.
    procedure, recipe : str
        Their names.
    steps : sequence of int, optional
        At most four steps; by default the first, the last and two between.
    log : bool
        Whether the density gets a logarithmic axis.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Bands are standard errors. The legend has means and widths of all toys, and for each step how many are outside
        of the edges of `local`, if any are. Nothing is shown or written.

    Raises
    ------
    InputError
        For names or steps that are not there.
    """
    at = _place(local.procedures, procedure, "procedure"), _place(local.recipes, recipe, "recipe")
    n = local.rejections.size
    chosen = sorted(set(np.linspace(0, n - 1, min(n, 4)).astype(int).tolist())) if steps is None else list(steps)
    if not chosen or len(chosen) > 4 or any(not 0 <= step < n for step in chosen):
        raise InputError("steps", f"are {chosen}", f"Pass one to four from 0 to {n - 1}")
    edges = local.edges
    width = np.diff(edges)
    seen = local.counts[at][chosen].sum(axis=0) > 0
    low, high = (float(edges[i]) for i in _ends(seen))
    grid = np.linspace(min(low, -4.0), max(high, 4.0), 400)
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        axes.plot(grid, np.exp(-0.5 * grid**2) / _ROOT_TAU, color="0.15", linewidth=1.2, label="N(0, 1)", zorder=5)
        for i, step in enumerate(chosen):
            colour, dashes = curve_style(i)
            counts, total = local.counts[at][step], max(int(local.n[at][step]), 1)
            density, error = counts / (total * width), np.sqrt(counts) / (total * width)
            mean, spread = local.mean[at][step], local.width[at][step]
            label = f"{local.rejections[step]:.0%} rejected: {mean:+.2f}, width {spread:.2f}"
            axes.stairs(density, edges, color=colour, linestyle=dashes, linewidth=1.5, label=label)
            axes.fill_between(
                edges,
                np.append(density - error, 0.0),
                np.append(density + error, 0.0),
                step="post",
                color=colour,
                **BAND,
            )
        axes.set_xlim(grid[0], grid[-1])
        top = axes.get_ylim()[1]
        if log:
            axes.set_yscale("log")
            axes.set_ylim(0.3 / (max(local.n_toys, 1) * float(width.min())), 30.0 * top)
        else:
            axes.set_ylim(0.0, 1.45 * top)
        axes.set_xlabel(_LOCAL)
        axes.set_ylabel("Density of toys")
        outside = local.n[at][chosen] - local.counts[at][chosen].sum(axis=1)
        name = f"{procedure}, {recipe}"
        name += f"; outside: {', '.join(f'{k:,}' for k in outside)}" if outside.any() else ""
        axes.legend(loc="upper right", title=name, ncols=2, fontsize=9)
    return figure


def draw_rejection_scan(local: Any, *, recipe: str, procedures: Sequence[str] | None = None, title: str = "") -> Figure:
    """Draw the local significance over the share of events that is rejected.

    Parameters
    ----------
    local : LocalSignificance
        From :func:`hepstat.semisupervised.local_significance`.
    recipe : str
        Its name.
    procedures : sequence of str, optional
        All by default.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Above means with errors and bands of one standard deviation of toys, below these standard deviations with
        errors. Nothing is shown or written.

    Raises
    ------
    InputError
        For names that are not there.
    """
    r = _place(local.recipes, recipe, "recipe")
    names = local.procedures if procedures is None else tuple(procedures)
    x = 100.0 * local.rejections
    with picture(6.4, title) as figure:
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.0, 1.0))
        for i, name in enumerate(names):
            at = _place(local.procedures, name, "procedures"), r
            colour, dashes = curve_style(i)
            mean, spread = local.mean[at], local.width[at]
            style: Any = {"color": colour, "linestyle": dashes, "linewidth": 1.5, "marker": "o", "markersize": 3.5}
            top.errorbar(x, mean, local.mean_error[at], label=name, zorder=3, **style)
            top.fill_between(x, mean - spread, mean + spread, color=colour, **{**BAND, "alpha": 0.06})
            for end in (mean - spread, mean + spread):
                top.plot(x, end, color=colour, linestyle=dashes, linewidth=0.6)
            below.errorbar(x, spread, local.width_error[at], **style)
        for axes, level in ((top, 0.0), (below, 1.0)):
            axes.axhline(level, color="0.4", linewidth=0.9, linestyle=":", zorder=1)
        low, high = top.get_ylim()
        top.set_ylim(low, high + 0.3 * (high - low))
        top.set_ylabel(_LOCAL)
        below.set_ylabel("Width of Z")
        below.set_xlabel("Rejected events [%]")
        top.legend(loc="upper left", title=f"{recipe}; bands: one width", ncols=2)
        figure.align_ylabels()
    return figure


def draw_largest_z(distribution: Any, *, observed: float | None = None, bins: int = 40, title: str = "") -> Figure:
    """Draw the distribution of the largest local significance, and below it the trials factor.

    Parameters
    ----------
    distribution : MaximumDistribution
        From :func:`hepstat.semisupervised.maximum`.
    observed : float, optional
        Largest local significance of data.
    bins : int, optional
        Number of bins.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        The factor is P(T >= Z) over the claimed local p-value, with its interval of one standard deviation. Nothing is
        shown or written.

    Raises
    ------
    InputError
        For no bins.
    """
    t = distribution.values
    edges = np.linspace(float(t.min()), float(t.max()) + 1e-6, whole_number(bins, "bins", at_least=1) + 1)
    width = edges[1] - edges[0]
    counts = np.histogram(t, edges)[0]
    with picture(6.4, title) as figure:
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1.0))
        scale = 1.0 / (distribution.n_toys * width)
        seen = counts > 0
        middle = 0.5 * (edges[1:] + edges[:-1])
        name = f"{distribution.procedure}, {distribution.recipe}, over {distribution.over}"
        bars = np.sqrt(counts[seen]) * scale
        text = f"{name}: {distribution.n_toys:,} toys{_failed(distribution)}"
        top.errorbar(middle[seen], counts[seen] * scale, bars, label=text, **POINTS)
        grid = np.linspace(min(edges[0], -1.0), edges[-1], 400)
        normal = np.exp(-0.5 * grid**2) / _ROOT_TAU
        top.plot(grid, normal, color=COLOURS["background"], linewidth=1.5, label="N(0, 1), a single place")
        if observed is not None:
            for axes in (top, below):
                axes.axvline(observed, color=COLOURS["signal"], linewidth=1.6)
            p = distribution.p_value(observed)
            top.plot([], [], color=COLOURS["signal"], label=f"Data: {observed:.2f}, globally {p.z:.2f}")
        top.set_yscale("log")
        top.set_ylim(0.4 * scale, 40.0 * float(max(counts.max() * scale, normal.max())))
        z = np.linspace(max(edges[0], -1.0), edges[-1], 200)
        factor, low, high = distribution.trials_factor(z)
        below.plot(z, factor, color=COLOURS["total"], linewidth=1.5)
        below.fill_between(z, low, high, color=COLOURS["total"], **BAND)
        known = high[np.isfinite(high) & np.isfinite(factor)]
        below.set_yscale("log")
        below.set_ylim(0.8, 2.0 * float(np.clip(known.max(initial=1.0), 2.0, 1e300)))
        below.set_xlim(grid[0], grid[-1])
        below.set_xlabel(_LARGEST)
        below.set_ylabel("Trials factor")
        top.set_ylabel("Density of toys")
        top.legend(loc="upper right", fontsize=10)
        figure.align_ylabels()
    return figure


def draw_global_z(distribution: Any, z: ArrayLike | None = None, *, tail: Any = None, title: str = "") -> Figure:
    """Draw the global p-value over the largest local significance, by toys and by other means.

    Parameters
    ----------
    distribution : MaximumDistribution
        From :func:`hepstat.semisupervised.maximum`.
    z : array_like, optional
        Rising local significances, 25 or more for a curve; from 0 to a little beyond the last toy by default.
    tail : TailFit, optional
        Its p-values are drawn as well.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Toys end where none is beyond; any that failed are beyond all values, and the legend counts them. The bounds of
        Gross and Vitells are drawn if masses were scanned. Nothing is shown or written.

    Raises
    ------
    InputError
        If z does not rise.
    """
    last = float(distribution.values[-1])
    x = np.linspace(0.0, max(last + 0.5, 4.0), 101) if z is None else finite_array(z, "z")
    if np.any(np.diff(x) <= 0):
        raise InputError("z", "does not rise", "Sort it")
    k, n = distribution.n_beyond(x), float(distribution.n_toys)
    share = np.where(k > 0, k / n, np.nan)
    name = f"Toys{_failed(distribution)}"
    curves: dict[str, tuple[Floats, Floats]] = {name: (share, np.sqrt(share * (1.0 - share) / n))}
    if distribution.crossings is not None:
        several = distribution.n_steps > 1
        curves["Gross-Vitells" + (", sum of steps" if several else "")] = distribution.gross_vitells(x)
        if several:
            curves["Gross-Vitells, first step"] = distribution.gross_vitells(x, step=0)
    if tail is not None:
        curves[f"Tail, {tail.kind}"] = tail.p(x)
    return draw_global_p(x, curves, title=title)


def draw_fake_signal(fake: Any, *, title: str = "") -> Figure:
    """Draw what each cause adds to the fake signal, at a step and to the largest over steps.

    Parameters
    ----------
    fake : FakeSignal
        From :func:`hepstat.semisupervised.decompose`.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Bars from where the last cause ended to where this one does, with standard errors. Nothing is shown or written.
    """
    colours = (MORE_COLOURS[1], MORE_COLOURS[0], MORE_COLOURS[2], COLOURS["total"], "0.35")
    with picture(4.8, title, xtick_minor_visible=False) as figure:
        axes = figure.subplots()
        for side, (name, total, error, hatch) in enumerate(
            (
                ("fixed", fake.total_fixed, fake.total_fixed_error, None),
                ("largest", fake.total_largest, fake.total_largest_error, "///"),
            )
        ):
            heights = np.append(getattr(fake, name), total)
            errors = np.append(getattr(fake, f"{name}_error"), error)
            starts = np.append(np.cumsum(heights[:-1]) - heights[:-1], 0.0)
            x = np.arange(heights.size) + 0.4 * (side - 0.5)
            style: Any = {"alpha": 0.75, "hatch": hatch, "edgecolor": "white", "zorder": 2}
            axes.bar(x, heights, 0.36, starts, color=colours, **style)
            style = {"linestyle": "none", "color": "black", "elinewidth": 1.2, "capsize": 2, "zorder": 4}
            axes.errorbar(x, starts + heights, errors, **style)
            ends = np.maximum(starts, starts + heights) + errors
            for i, height in enumerate(heights):
                axes.annotate(
                    f"{height:+.2f}", (x[i], ends[i]), (0, 3), textcoords="offset points", ha="center", fontsize=9
                )
            what = f"At step {fake.step}" if side == 0 else "Largest over steps"
            axes.bar([np.nan], [np.nan], color="0.6", hatch=hatch, edgecolor="white", label=what)
        axes.axhline(0.0, color="0.3", linewidth=0.9, zorder=1)
        axes.set_xticks(range(5), [*(cause.replace(" ", "\n", 1) for cause in fake.causes), "in-sample,\nall together"])
        axes.tick_params(axis="x", length=0, labelsize=10)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.2 * (high - low))
        axes.set_ylabel("Mean local significance")
        axes.legend(loc="upper left", title=f"{fake.recipe}, {fake.n_toys:,} toys")
    return figure


def draw_power_table(table: Any, *, most: int = 12, title: str = "") -> Figure:
    """Draw the expected global significances of the best statistics, and their power.

    Parameters
    ----------
    table : PowerTable
        From :func:`hepstat.semisupervised.power_table`.
    most : int, optional
        Number of statistics.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Medians with intervals, arrows where these are open, and means with errors; beside them the power. What is no
        candidate for the best has an asterisk; toys without signal that failed are counted beside the name. Nothing is
        shown or written.

    Raises
    ------
    InputError
        For no statistics.
    """
    ranked = table.ranked()[: whole_number(most, "most", at_least=1)]
    y = np.arange(ranked.size)[::-1]
    with picture(1.6 + 0.36 * ranked.size, title, ytick_minor_visible=False) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.8, 1.0))
        _draw_medians(left, table, ranked, y)
        style: Any = {**POINTS, "color": COLOURS["background"]}
        right.errorbar(table.power[ranked], y, xerr=table.power_error[ranked], **style)
        right.set_xlabel(f"Power at {table.level:.2g}")
        low = float((table.power[ranked] - table.power_error[ranked]).min())
        right.set_xlim(max(0.0, low - 0.08), min(1.0, float((table.power + table.power_error)[ranked].max()) + 0.08))
        failed = [f" ({n:,} failed)" if n else "" for n in table.n_failed]
        names = [table.name(i) + failed[i] + ("" if table.candidates[i] else " *") for i in ranked]
        left.set_yticks(y, names, fontsize=8.5)
        left.set_ylim(-0.7, ranked.size - 0.3)
        for axes in (left, right):
            axes.tick_params(axis="y", length=0)
            axes.axhspan(y[0] - 0.5, y[0] + 0.5, color="0.93", zorder=0)
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper right", ncols=3, fontsize=10)
    return figure


def _draw_medians(axes: Axes, table: Any, ranked: Any, y: Any) -> None:
    median, low, high = (table.median[ranked], table.median_lower[ranked], table.median_upper[ranked])
    closed = np.isfinite(high)
    style: Any = {**POINTS, "color": COLOURS["total"]}
    bars = np.array([median - low, np.where(closed, high - median, 0.0)])
    axes.errorbar(median, y + 0.13, xerr=bars, label="Median", **style)
    if not closed.all():
        arrows: Any = {"linestyle": "none", "marker": 5, "color": COLOURS["total"], "markersize": 9}
        axes.plot(median[~closed] + 0.02, (y + 0.13)[~closed], **arrows)
    style |= {"color": "0.3", "marker": "s"}
    axes.errorbar(table.mean[ranked], y - 0.13, xerr=table.mean_error[ranked], label="Mean", **style)
    last = table.z_most[ranked]
    near = np.maximum(median, table.mean[ranked]) > last - 1.0
    if near.any():
        style = {"color": "0.5", "linewidth": 1.0, "linestyle": ":"}
        axes.vlines(last[near], y[near] - 0.5, y[near] + 0.5, label="End of toys", **style)
    axes.set_xlabel("Expected global significance")


def _failed(distribution: Any) -> str:
    return f", {distribution.n_failed:,} failed" if distribution.n_failed else ""


def _place(names: Sequence[str], wanted: str, argument: str) -> int:
    if wanted not in names:
        raise InputError(argument, f"is {wanted!r}", f"Choose from {', '.join(names)}")
    return list(names).index(wanted)


def _ends(seen: Any) -> tuple[int, int]:
    """Return the first edge of the bins that hold something, and the last one."""
    places = np.flatnonzero(seen)
    return (0, seen.size) if places.size == 0 else (int(places[0]), int(places[-1]) + 1)
