"""Pictures of the study of fake signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepstat.infer import pulls
from hepstat.plot import draw_global_p, draw_roc, draw_spectrum
from hepstat.plot.explain import draw_feature_ranking, draw_shapley
from hepstat.plot.sampling import draw_correlation_difference, draw_sample_comparison
from hepstat.plot.semisupervised import (
    draw_fake_signal,
    draw_global_z,
    draw_largest_z,
    draw_local_z,
    draw_power_table,
    draw_rejection_scan,
)
from hepstat.plot.style import BAND, COLOURS, POINTS, curve_style, picture
from hepstat.studies.fake_signal_causes import CASES, Causes, Powers
from hepstat.studies.fake_signal_events import CHOSEN, COLUMNS, PROFILED, SIDE_BANDS, Sampling
from hepstat.studies.fake_signal_example import Example
from hepstat.studies.fake_signal_memory import Memory
from hepstat.studies.fake_signal_recipes import FACTORS, P_GLOBAL, RECIPES, WIDTHS, Recipes, Scan
from hepstat.studies.fake_signal_search import DOCUMENT, RECOMMENDED, Searched
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_causes", "draw_example", "draw_known", "draw_powers", "draw_sampling", "draw_searched"]

_OTHERS: Any = {"linestyle": "none", "marker": "s", "markersize": 5, "color": COLOURS["total"], "fillstyle": "none"}


def draw_known(recipes: Recipes, scanned: Scan, memory: Memory) -> dict[str, Figure]:
    """Draw widths by recipe, trials factors of steps, global p-values of the mass scan, and what noise pretends."""
    return {
        "recipes.png": _draw_recipes(recipes),
        "steps.png": _draw_steps(recipes),
        "mass_scan.png": _draw_scan(scanned),
        "memory.png": _draw_memory(memory),
    }


def _draw_recipes(recipes: Recipes) -> Figure:
    y = np.arange(len(RECIPES))[::-1]
    with picture(3.6, "Width of the local significance without signal", ytick_minor_visible=False) as figure:
        axes = figure.subplots()
        axes.axvline(1.0, color="0.6", linewidth=1.0, zorder=0)
        local = recipes.local
        axes.errorbar(local.width[0, :, 0], y, xerr=local.width_error[0, :, 0], label="Toys", **POINTS)
        axes.plot(WIDTHS, y, label="Reference", **_OTHERS)
        axes.set_yticks(y, [f"{recipe.name}" for recipe in RECIPES])
        axes.set_xlabel("Standard deviation of Z")
        axes.set_xlim(0.0, None)
        axes.legend()
    return figure


def _draw_steps(recipes: Recipes) -> Figure:
    z = np.linspace(0.0, 4.0, 81)
    factor, low, high = recipes.largest.trials_factor(z)
    some = recipes.largest.n_beyond(z) >= 3
    with picture(4.0, "Ten nested rejection steps, random response, profiled background") as figure:
        axes = figure.subplots()
        axes.plot(z[some], factor[some], color=COLOURS["background"], label="Toys")
        axes.fill_between(z[some], low[some], high[some], color=COLOURS["background"], **BAND)
        axes.plot(list(FACTORS), list(FACTORS.values()), label="Reference", **_OTHERS)
        axes.set_xlabel("Largest local Z")
        axes.set_ylabel("Trials factor")
        axes.set_ylim(1.0, None)
        axes.legend(loc="upper left")
    return figure


def _draw_scan(scanned: Scan) -> Figure:
    z = np.linspace(1.0, 4.5, 71)
    share = np.array([np.mean(scanned.z >= level) for level in z])
    error = np.sqrt(share * (1.0 - share) / scanned.z.size)
    bound: Any = scanned.crossings.p_global(z)
    curves = {"Toys": (np.where(share > 0, share, np.nan), error), "Gross-Vitells": bound}
    figure = draw_global_p(z, curves, title="Mass scan from 135 to 165 GeV")
    toys = np.log10([pair[0] for pair in P_GLOBAL.values()])
    figure.axes[0].plot(list(P_GLOBAL), toys, label="Reference, toys", **_OTHERS)
    figure.axes[0].legend(loc="upper right")
    return figure


def _draw_memory(memory: Memory) -> Figure:
    with picture(3.8, "Eight features of noise, 20% of the events kept", xtick_minor_visible=False) as figure:
        axes = figure.subplots()
        axes.axhline(0.0, color="0.6", linewidth=1.0, zorder=0)
        for i, (name, local) in enumerate(memory.local.items()):
            recipes = [recipe.split(",")[0] for recipe in local.recipes]
            labels = [f"{recipe}\n{procedure}" for procedure in local.procedures for recipe in recipes]
            x = np.arange(len(labels)) + 0.16 * (i - 0.5)
            mean, error = local.mean[:, :, 1].ravel(), local.mean_error[:, :, 1].ravel()
            style: Any = {**POINTS, "color": curve_style(i)[0], "marker": "os"[i]}
            axes.errorbar(x, mean, error, label=name.capitalize(), **style)
            axes.set_xticks(np.arange(len(labels)), labels, fontsize=8)
        axes.set_ylabel("Mean local Z")
        axes.legend()
    return figure


def draw_sampling(sampling: Sampling) -> dict[str, Figure]:
    """Draw sampled events beside simulated ones."""
    labels = "Simulated", "Sampled"
    return {
        "sampled_features.png": draw_sample_comparison(
            sampling.simulated, sampling.samples[CHOSEN], names=COLUMNS, labels=labels
        ),
        "sampled_correlations.png": draw_correlation_difference(sampling.compared[CHOSEN], labels=labels),
    }


def draw_example(example: Example) -> dict[str, Figure]:
    """Draw responses, ROC, features and spectra of one pseudo-experiment."""
    names = {"in-sample": "Evaluated on what was trained on", "2-fold": "Evaluated on other events"}
    curves = {names[name]: curve for name, curve in example.curves.items()}
    figures = {
        "response.png": _draw_response(example, names),
        "roc.png": draw_roc(curves, title="Mass window against side bands"),
        "feature_ranking.png": draw_feature_ranking(example.ranking),
        "feature_values.png": draw_shapley(example.ranking),
        "functions.png": _draw_functions(example),
    }
    name, spectrum = list(example.spectra.items())[-1]
    found = example.fits[name]["mixed poly-log-exponential"]
    x = 0.5 * (found.edges[1:] + found.edges[:-1])
    figures["spectrum.png"] = draw_spectrum(
        spectrum, {"background": found.expected / np.diff(found.edges)}, x,
        pulls=pulls(found.observed, found.expected), title=name,
    )  # fmt: skip
    return figures


def _draw_response(example: Example, names: dict[str, str]) -> Figure:
    result = example.result
    with picture(3.8) as figure:
        figure.set_figwidth(9.0)
        panels = figure.subplots(1, len(result.procedures), sharey=True)
        for axes, procedure, response in zip(panels, result.procedures, result.response, strict=True):
            low, high = np.quantile(response, [0.001, 0.999])
            edges = np.linspace(float(low), float(high), 31)
            for label, colour, text in ((0, COLOURS["background"], "Side bands"), (1, COLOURS["total"], "Window")):
                values = response[example.labels == label]
                heights = np.histogram(values, edges)[0] / values.size / np.diff(edges)
                axes.stairs(heights, edges, color=colour, linewidth=1.5, label=text)
            axes.set_xlabel("Response")
            axes.locator_params(axis="x", nbins=5)
            axes.set_title(names[procedure], fontsize=11)
        panels[0].set_ylabel("Density")
        panels[0].legend()
    return figure


def _draw_functions(example: Example) -> Figure:
    spectra = example.spectra
    with picture(3.4 * len(spectra)) as figure:
        for axes, (name, spectrum) in zip(figure.subplots(len(spectra), 1, sharex=True), spectra.items(), strict=True):
            edges, values = spectrum.axes[0].edges, spectrum.values()
            centres = 0.5 * (edges[1:] + edges[:-1])
            axes.errorbar(centres, values, np.sqrt(values), label="Events", **POINTS)
            for i, (function, found) in enumerate(example.fits[name].items()):
                colour, dashes = curve_style(i)
                axes.plot(centres, found.expected, color=colour, linestyle=dashes, label=function.capitalize())
            axes.set_ylabel("Events / GeV")
            axes.set_title(name, loc="left", fontsize=12)
        figure.axes[0].legend(fontsize=9)
        figure.axes[-1].set_xlabel("Mass [GeV]")
    return figure


def draw_searched(found: Searched) -> dict[str, Figure]:
    """Draw local and global significances of pseudo-experiments without signal."""
    figures, n = {}, f"{found.local.n_toys:,} pseudo-experiments"
    for name, (procedure, recipe) in {"document": DOCUMENT, "recommended": RECOMMENDED}.items():
        text = f"{procedure}, {recipe}: {n}"
        figures[f"local_{name}.png"] = draw_local_z(found.local, procedure=procedure, recipe=recipe, title=text)
        figures[f"largest_{name}.png"] = draw_largest_z(found.largest[procedure, recipe], title=text)
        figures[f"global_{name}.png"] = draw_global_z(found.largest[procedure, "mass"], title=f"{procedure}: {n}")
    for name, recipe in {"side_bands": SIDE_BANDS, "profiled": PROFILED}.items():
        figures[f"rejection_{name}.png"] = draw_rejection_scan(found.local, recipe=recipe, title=recipe)
    figures["trials.png"] = _draw_trials(found)
    return figures


def _draw_trials(found: Searched) -> Figure:
    """Draw trials factors of all procedures."""
    z = np.linspace(0.0, 4.0, 81)
    recipes = {SIDE_BANDS: "Background from side bands", PROFILED: "Profiled", "mass": "Profiled, mass scan"}
    with picture(4.2) as figure:
        figure.set_figwidth(11.0)
        for axes, (recipe, text) in zip(figure.subplots(1, 3, sharey=True), recipes.items(), strict=True):
            for i, procedure in enumerate(found.local.procedures):
                _draw_factor(axes, found.largest[procedure, recipe], z, i, procedure)
            axes.set_yscale("log")
            axes.set_xlabel("Largest local Z")
            axes.set_title(text, fontsize=12)
        figure.axes[0].set_ylabel("Trials factor")
        figure.axes[0].legend(fontsize=9)
    return figure


def _draw_factor(axes: Axes, largest: Any, z: Floats, i: int, label: str) -> None:
    some = largest.n_beyond(z) >= 5
    factor = largest.trials_factor(z)[0]
    colour, dashes = curve_style(i)
    axes.plot(z[some], factor[some], color=colour, linestyle=dashes, label=label)


def draw_causes(causes: Causes) -> dict[str, Figure]:
    """Draw what each cause adds, with few features of the mass and with all that a network can learn of it."""
    first, *_, last = CASES
    return {
        f"causes_{word}_{kind}.png": draw_fake_signal(causes.fake[name, recipe], title=f"{name}, {recipe}")
        for word, name in (("default", first), ("sculpted", last))
        for kind, recipe in (("side_bands", SIDE_BANDS), ("profiled", PROFILED))
    }


def draw_powers(power: Powers) -> dict[str, Figure]:
    """Draw what procedures see of a signal."""
    return {"power.png": draw_power_table(power.power, most=16, title="* knows the signal")}
