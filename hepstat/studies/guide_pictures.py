"""Pictures of the rerun of arXiv:1909.03081: its figures 2 to 5 and 7, and treatments of a global sigma."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hepstat.plot import draw_likelihood, draw_power, draw_ratio
from hepstat.plot.style import COLOURS, curve_style, picture
from hepstat.ratio import binned_ratio
from hepstat.strength import Interval
from hepstat.studies.guide_learned import SHOWN
from hepstat.studies.guide_model import READINGS, grid, ratio_of, throw
from hepstat.studies.guide_strength import MU, SIGMA, TESTED, Measured
from hepstat.studies.guide_tests import Tested
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "draw_figure2",
    "draw_figure3",
    "draw_figure4",
    "draw_figure5",
    "draw_figure7_left",
    "draw_figure7_right",
    "draw_nuisances",
]

Y = "$y = Y_0 + Y_1$"
_EDGES = np.linspace(-0.5, 0.5, 51)
_SHORT = {"std sqrt(2) sigma": r"$\sqrt{2}\,\sigma$", "std sigma": r"$\sigma$"}
_DOTS: Any = {"linestyle": "none", "markersize": 5, "capsize": 2}


def draw_figure2(n: int, rng: np.random.Generator) -> dict[str, Figure]:
    """Draw histograms of Y_0 + Y_1 and Y_0 - Y_1 for both readings."""
    events = {
        reading: [throw(n, factor * SIGMA, rng, signal=signal) for signal in (True, False)]
        for reading, factor in READINGS.items()
    }
    with picture(4.0, "Standard deviation of y for signal in brackets") as figure:
        for k, axes in enumerate(figure.subplots(1, 2, sharey=True)):
            for i, (reading, samples) in enumerate(events.items()):
                for x, name, colour in zip(samples, ("Signal", "Background"), ("signal", "background"), strict=True):
                    density = np.histogram(x[:, k], _EDGES, density=True)[0]
                    style: Any = {"color": COLOURS[colour], "linestyle": ("-", "--")[i], "linewidth": 1.4}
                    axes.stairs(density, _EDGES, label=f"{name} ({_SHORT[reading]})", **style)
            axes.set_xlabel((Y, "$Y_0 - Y_1$")[k])
            axes.set_xlim(-0.5, 0.5)
            axes.set_xticks([-0.5, 0.0, 0.5])
        figure.axes[0].set_ylabel("Density")
        figure.axes[0].set_ylim(0.0, 7.0)
        figure.axes[0].legend(loc="upper center", fontsize=8, ncols=2, columnspacing=0.8, edgecolor="none")
    return {"figure2.png": figure}


def draw_figure3(reading: str, ratios: Mapping[str, Any], n: int, rng: np.random.Generator) -> dict[str, Figure]:
    """Draw histograms of learned ratios with their own ratio, and the ratios over y."""
    std = READINGS[reading] * SIGMA
    signal, background = (throw(n, std, rng, signal=k == 0)[:, :1] for k in range(2))
    file = f"{_file(reading)}.png"
    return {
        f"figure3_left_{file}": _histograms(ratios["published recipe"], signal, background, reading),
        f"figure3_right_{file}": draw_ratio(
            {name: ratios[name] for name in ("published recipe", "ensemble")},
            grid(400),
            analytic={"analytic": ratio_of(std)},
            binned={"bins of events": binned_ratio(signal[:, 0], background[:, 0], _EDGES)},
            name=Y,
            title=_text(reading).capitalize(),
        ),
    }


def _histograms(ratio: Any, signal: Floats, background: Floats, reading: str) -> Figure:
    """Draw what a ratio gives for events of both processes, and below it signal over background."""
    values = ratio(signal), ratio(background)
    edges = np.linspace(0.0, float(np.max(values[0])) * 1.02, 41)
    found = binned_ratio(*values, edges)
    centres = 0.5 * (edges[1:] + edges[:-1])
    with picture(5.6, f"Published recipe, {_text(reading)}") as figure:
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1.0))
        for x, name in zip(values, ("signal", "background"), strict=True):
            density = np.histogram(x, edges)[0] / x.size / np.diff(edges)
            top.stairs(density, edges, color=COLOURS[name], linewidth=1.6, label=name.capitalize())
        top.set_yscale("log")
        top.set_ylabel("Density")
        top.legend(loc="upper right", edgecolor="none")
        below.plot(edges[[0, -1]], edges[[0, -1]], color=COLOURS["total"], linewidth=1.2, label="Equal")
        style: Any = {**_DOTS, "marker": "o", "color": "black", "markersize": 3.5, "label": "Signal / background"}
        below.errorbar(centres, found.ratios, found.errors, **style)
        below.set_ylabel("Ratio")
        below.set_xlabel("$f(y)$")
        below.set_xlim(edges[0], edges[-1])
        below.legend(loc="upper left", edgecolor="none", fontsize=9)
        figure.align_ylabels()
    return figure


def draw_figure4(tested: Tested) -> dict[str, Figure]:
    """Draw level against power for all yields."""
    files = {}
    for (s, b, std), curves in tested.curves.items():
        title = f"S = {s:g}, B = {b:g}, standard deviation of y {std:g}"
        files[f"figure4_{s:g}_{b:g}_{std:g}.png"] = draw_power(curves, title=title)
    return files


def draw_figure5(reading: str, mu: Floats, curves: Mapping[str, Floats]) -> dict[str, Figure]:
    """Draw -2 log L of expected data with and without sigma; shaded where it is below 1 for true ratios."""
    intervals, fine = {}, np.linspace(mu[0], mu[-1], 5001)
    for name, values in curves.items():
        if "learned" not in name:
            inside = fine[np.interp(fine, mu, values) <= 1.0]
            low, high = float(inside[0]), float(inside[-1])
            intervals[name] = Interval(0.5 * (low + high), low, high, 0.6826894921370859, 1.0)
    drawn = {name: (mu, 0.5 * values) for name, values in curves.items()}
    title = _text(reading).capitalize()
    figure = draw_likelihood(drawn, intervals=intervals, truth=MU, top=4.0, title=title)
    return {f"figure5_{_file(reading)}.png": figure}


def draw_figure7_left(reading: str, ratios: Mapping[str, Any], n: int, rng: np.random.Generator) -> dict[str, Figure]:
    """Draw the parameterised ratio at values of sigma that it was not trained with."""
    stds = {f"{sigma:g}": READINGS[reading] * sigma for sigma in SHOWN}
    binned = {}
    for name, std in stds.items():
        signal, background = (throw(n, std, rng, signal=k == 0)[:, 0] for k in range(2))
        binned[f"bins of events, {name}"] = binned_ratio(signal, background, _EDGES)
    figure = draw_ratio(
        {rf"$\sigma$ = {name}, learned": ratio for name, ratio in ratios.items()},
        grid(800)[200:600],
        analytic={rf"$\sigma$ = {name}, analytic": ratio_of(std) for name, std in stds.items()},
        binned=binned,
        name=Y,
        title=f"Trained at five other values, {_text(reading)}",
    )
    return {f"figure7_left_{_file(reading)}.png": figure}


def draw_figure7_right(reading: str, found: Mapping[float, Measured]) -> dict[str, Figure]:
    """Draw the error on mu, the naive one and the mean of mu over the sigma that is assumed."""
    at = np.array(TESTED)
    values = [found[sigma] for sigma in TESTED]
    with picture(5.8, _text(reading).capitalize()) as figure:
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.3, 1.0))
        entries = [
            ("Toys, corrected for the response", [v.error for v in values], [v.error_error for v in values], "o"),
            ("Toys as they are", [v.std for v in values], [v.std_error for v in values], "s"),
            ("Half-width of the likelihood", [v.naive for v in values], [0.0] * len(values), "^"),
        ]
        for i, (label, y, error, marker) in enumerate(entries):
            top.errorbar(at, y, error, marker=marker, color=curve_style(i)[0], label=label, **_DOTS)
        top.set_yscale("log")
        top.set_ylabel(r"Error on $\mu$")
        top.legend(loc="upper left", edgecolor="none", fontsize=10)
        means, errors = [v.mean for v in values], [v.std for v in values]
        below.errorbar(at, means, errors, marker="o", color="black", label="Mean and spread of toys", **_DOTS)
        below.axhline(MU, color="0.5", linewidth=1.0, label="True value")
        below.set_yscale("log")
        below.set_ylabel(r"$\hat\mu$")
        below.legend(loc="upper left", edgecolor="none", fontsize=10)
        below.set_xscale("log")
        below.set_xticks(at, [f"{sigma:g}" for sigma in TESTED])
        below.minorticks_off()
        below.set_xlabel(r"Assumed $\sigma'$")
        for axes in (top, below):
            axes.axvline(SIGMA, color="0.4", linestyle="--", linewidth=1.0)
        figure.align_ylabels()
    return {f"figure7_right_{_file(reading)}.png": figure}


def draw_nuisances(found: Mapping[str, Measured]) -> dict[str, Figure]:
    """Draw mean and spread of the estimates of mu by treatment of a global sigma."""
    with picture(3.4, "Mean and spread of toys") as figure:
        axes = figure.subplots()
        for i, (name, value) in enumerate(found.items()):
            axes.errorbar(value.mean, -i, xerr=value.std, marker="o", color=COLOURS["background"], **_DOTS)
            axes.text(value.mean, -i + 0.16, f"{name}: {value.mean:.4f} ± {value.std:.4f}", ha="center", fontsize=10)
        axes.axvline(MU, color="0.4", linestyle="--", linewidth=1.0)
        axes.set_yticks([])
        axes.set_ylim(-len(found) + 0.4, 0.6)
        axes.margins(x=0.25)
        axes.set_xlabel(r"$\hat\mu$")
    return {"nuisances.png": figure}


def _text(reading: str) -> str:
    return f"standard deviation of $y$: {_SHORT[reading]}"


def _file(reading: str) -> str:
    return "sqrt2" if "sqrt" in reading else "sigma"
