"""Pictures of the study of the New Physics Learning Machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

from hepstat.infer import moments
from hepstat.plot import draw_power
from hepstat.plot.nplm import draw_t, draw_t_history
from hepstat.plot.style import COLOURS, curve_style, picture
from hepstat.studies.nplm_line import Line
from hepstat.studies.nplm_nuisances import Shifted
from hepstat.studies.nplm_two_body import Pairs
from hepstat.toys import ToyTable
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_line", "draw_pairs", "draw_shifted"]

_DOTS: Any = {"linestyle": "none", "marker": "o", "markersize": 4, "capsize": 2}


def draw_line(line: Line, ndof: int) -> dict[str, Figure]:
    """Draw t on the way of trainings, its distribution by both methods, and powers."""
    null = line.trained["null"]
    figures = {
        "line_history.png": draw_t_history(line.epochs[1:], null["history"][null.ok, 1:], ndof=ndof, log=False),
        "line_t.png": draw_t(
            {
                "Trained, clip 9": null["t"][null.ok],
                "Fast, tuned clip": line.tuning.calibration.values,
                "Trained, NP1": _t(line.trained["NP1"]),
            },
            ndof=ndof,
        ),
    }
    for name, found in line.compared.items():
        figures[f"line_power_{name}.png"] = draw_power(found.curves, title=f"{name}, the same toys")
    return figures


def draw_shifted(shifted: Shifted, ndof: int) -> dict[str, Figure]:
    """Draw tau and t for true nuisances at several values, and their means."""
    return {
        "nuisances_trained.png": _panels(shifted.toys["trained"], ndof, "Training: tau moves, t does not"),
        "nuisances_fast.png": _panels(shifted.toys["fast"], ndof, "Fast: tau moves, t does not"),
        "nuisances_mean.png": _means(shifted.toys),
    }


def draw_pairs(regime: str, pairs: Pairs) -> dict[str, Figure]:
    """Draw tau and t for true nuisances at several values, and t with signals."""
    found = {"No signal": np.concatenate([_t(table) for table in pairs.toys.values()])}
    found |= {name: _t(table) for name, table in pairs.signal.items()}
    return {
        f"pairs_{regime}_nuisances.png": _panels(pairs.toys, pairs.fit.ndof, f"{regime.capitalize()}s"),
        f"pairs_{regime}_t.png": draw_t(found, fitted_ndof=pairs.fit.ndof, title=f"{regime.capitalize()}s"),
    }


def _panels(toys: Mapping[str, ToyTable], ndof: float, title: str) -> Figure:
    """Draw cumulative distributions of tau and of t, one below the other, with chi2."""
    values = {field: {point: table[field][table.ok] for point, table in toys.items()} for field in ("tau", "t")}
    low = min(float(t.min()) for t in values["t"].values())
    high = max(float(tau.max()) for tau in values["tau"].values())
    grid = np.linspace(max(0.0, low - 2.0), high + 2.0, 400)
    with picture(6.4, title) as figure:
        for axes, field in zip(figure.subplots(2, 1, sharex=True), ("tau", "t"), strict=True):
            for i, (point, found) in enumerate(values[field].items()):
                colour, dashes = curve_style(i)
                axes.ecdf(found, color=colour, linestyle=dashes, linewidth=1.4, label=f"{point} ({found.size})")
            label = rf"$\chi^2$, {ndof:.4g} degrees of freedom"
            axes.plot(grid, chi2.cdf(grid, ndof), color=COLOURS["background"], linewidth=1.8, label=label)
            axes.set_ylabel("Share of toys below")
            axes.text(
                0.98, 0.05, r"$\tau$" if field == "tau" else "$t$", transform=axes.transAxes, ha="right", fontsize=16
            )
        axes.set_xlabel(r"$\tau$ and $t$")
        axes.set_xlim(grid[0], grid[-1])
        figure.axes[1].legend(loc="lower right", bbox_to_anchor=(0.93, 0.0), fontsize=9, frameon=False)
        figure.align_ylabels()
    return figure


def _means(toys: Mapping[str, Mapping[str, ToyTable]]) -> Figure:
    """Draw means of tau and t by point and method, with their errors."""
    with picture(4.8, "Means by true nuisances") as figure:
        axes = figure.subplots()
        points = list(dict.fromkeys(point for tables in toys.values() for point in tables))
        for i, (method, tables) in enumerate(toys.items()):
            for field, colour in (("tau", COLOURS["total"]), ("t", COLOURS["background"])):
                x = np.array([points.index(point) for point in tables]) + 0.12 * (i - 0.5)
                mean, error = np.array([_mean(table[field][table.ok]) for table in tables.values()]).T
                symbol = r"$\tau$" if field == "tau" else "$t$"
                style = {**_DOTS, "color": colour, "fillstyle": ("full", "none")[i], "label": f"{symbol}, {method}"}
                axes.errorbar(x, mean, error, **style)
        axes.set_xticks(range(len(points)), points)
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
        axes.set_ylim(bottom=0.0)
        axes.set_ylabel("Mean of toys")
        axes.set_xlabel("True nuisances, in standard deviations")
        axes.legend(ncols=2, frameon=False)
    return figure


def _mean(values: Floats) -> tuple[float, float]:
    return moments(values)[:2]


def _t(table: ToyTable) -> Floats:
    return np.asarray(table["t"][table.ok])
