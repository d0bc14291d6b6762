"""Pictures of the study of negative weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hepstat.plot.style import COLOURS, curve_style, picture
from hepstat.studies.negative_digits import LOSSES, Job, Outcome
from hepstat.studies.negative_nlo import EDGES, REFERENCE, TOY, Treated
from hepstat.studies.negative_search import COUPLING, UNBIASED, Fitted
from hepstat.studies.negative_slit import TOY as SLIT
from hepstat.studies.negative_slit import Learned, points
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_counter_terms", "draw_digits", "draw_search", "draw_slit"]

_DOTS: Any = {"linestyle": "none", "markersize": 4, "capsize": 2}
_MARKERS = "os^vDP"
_PALETTE = (COLOURS["total"], "0.45", COLOURS["background"], "#00838f", "#6b4fa0", "#b36b00")


def draw_digits(found: Mapping[Job, Outcome], fractions: Sequence[float]) -> dict[str, Figure]:
    """Draw accuracies by the digit that is at -1, and by the share of the 2s that is."""
    with picture(6.4, "Accuracy on the other nine digits, 60 epochs") as figure:
        top, below = figure.subplots(2, 1)
        for i, loss in enumerate(LOSSES):
            style: Any = {"color": _PALETTE[i], "marker": _MARKERS[i], "label": loss, **_DOTS}
            shift = 0.12 * (i - 2.5)
            values = [found[Job(loss, digit=digit)].mean() for digit in range(10)]
            top.errorbar(np.arange(10) + shift, [v[0] for v in values], [v[1] or 0.0 for v in values], **style)
            values = [found[Job(loss, fraction=fraction)].mean() for fraction in fractions]
            x = 100.0 * np.array(fractions) + 5.0 * shift
            below.errorbar(x, [v[0] for v in values], [v[1] or 0.0 for v in values], **style)
        top.set_xlabel("Digit whose events have a weight of -1")
        top.set_xticks(range(10))
        top.tick_params(axis="x", which="minor", bottom=False, top=False)
        below.set_xlabel("Share of the 2s that have a weight of -1 [%]")
        below.axvline(50.0, color="0.6", linewidth=1.0, zorder=0)
        for axes in (top, below):
            axes.set_ylabel("Accuracy")
            axes.set_ylim(None, 1.0)
        below.legend(ncols=3, loc="lower left", fontsize=10)
        figure.align_ylabels()
    return {"digits.png": figure}


def draw_slit(learned: Sequence[Learned]) -> dict[str, Figure]:
    """Draw what is learned of (S + B) / B along x, and what each estimator learns exactly."""
    x = points()
    named = {entry.name: entry for entry in learned}
    truth = SLIT.total(x) / SLIT.background(x)
    panels = {
        "Consistent": ("interference", "signed mixture", "linear ratio"),
        "Biased": ("drop", "brier", "absolute"),
    }
    with picture(6.6, "Double slit: learned, and what is learned exactly") as figure:
        for axes, (title, names) in zip(figure.subplots(2, 1, sharex=True, sharey=True), panels.items(), strict=True):
            axes.plot(x[:, 0], truth, color="black", linewidth=1.0, label="truth")
            for i, name in enumerate(names):
                colour = (COLOURS["total"], COLOURS["signal"], COLOURS["background"])[i]
                axes.plot(x[:, 0], 1.0 + named[name].found[0], color=colour, linewidth=1.3, label=name)
                if title == "Biased":
                    exact: Any = {"color": colour, "linestyle": ":", "linewidth": 1.5}
                    axes.plot(x[:, 0], 1.0 + named[name].exact, label="exact" if i == 2 else None, **exact)
            axes.set_ylabel(r"$\lambda = 1 + s/b$")
            axes.text(0.02, 0.05, title, transform=axes.transAxes)
            axes.legend(ncols=5, loc="upper center", fontsize=9, columnspacing=1.0, handlelength=1.6)
        axes.set_ylim(0.0, 2.5)
        axes.set_xlim(-1.0, 1.0)
        axes.set_xlabel("$x$")
    return {"double_slit.png": figure}


def draw_counter_terms(treated: Sequence[Treated]) -> dict[str, Figure]:
    """Draw a histogram after each treatment over the one before, and learned ratios over the true one."""
    name = "radius"
    edges = EDGES[name]
    line = np.stack([np.linspace(0.02, 4.0, 200), np.zeros(200)], axis=1)
    truth = TOY.density(line) / REFERENCE.density(line)
    with picture(6.6, "Counter-terms: after over before, and learned over true ratio") as figure:
        top, below = figure.subplots(2, 1)
        for i, entry in enumerate(treated):
            colour, dashes = curve_style(i)
            style: Any = {"color": colour, "linestyle": dashes, "linewidth": 1.4, "label": entry.name}
            before, after = entry.closure.yields_before[name], entry.closure.yields_after[name]
            below.plot(line[:, 0], entry.ratios[0](line) / truth, **style)
            top.stairs(_over(after, before), edges, **style)
            if i == 0:
                errors = _over(np.sqrt(entry.closure.sumw2_before[name]), before)
                top.stairs(1.0 + errors, edges, baseline=1.0 - errors, fill=True, color="0.85", label="error before")
        top.set_xlim(edges[0], edges[-1])
        top.set_ylim(0.8, 3.8)
        top.set_xlabel("Radius, which resampling does not know")
        top.set_ylabel("After / before")
        top.legend(ncols=2, fontsize=9)
        below.axhline(1.0, color="0.6", linewidth=1.0, zorder=0)
        below.set_xlim(0.0, 4.0)
        below.set_ylim(0.7, 1.9)
        below.set_xlabel("First feature, second at 0")
        below.set_ylabel("Learned / true")
        figure.align_ylabels()
    return {"counter_terms.png": figure}


def _over(values: Floats, before: Floats) -> Floats:
    """Return values over those before, 1 in empty bins."""
    return np.asarray(np.divide(values, before, out=np.ones_like(before), where=before != 0))


def draw_search(fitted: Sequence[Fitted]) -> dict[str, Figure]:
    """Draw interference in bins by treatment, and mean and spread of the couplings that are fitted."""
    named = {entry.treatment.name: entry for entry in fitted}
    with picture(3.8, "Interference in bins of the learned ratio") as figure:
        axes = figure.subplots()
        for i, name in enumerate(("morphing", "learned ratio", "drop", "absolute")):
            contents = named[name].treatment.morphing.interference
            colour, dashes = curve_style(i)
            style: Any = {"color": colour, "linestyle": dashes, "linewidth": 1.6, "label": name}
            axes.stairs(contents, np.arange(contents.size + 1), **style)
        axes.axhline(0.0, color="0.6", linewidth=1.0, zorder=0)
        axes.set_xlim(0, contents.size)
        axes.set_xticks(range(0, contents.size + 1, 5))
        axes.set_xlabel("Bin of equal background")
        axes.set_ylabel("Expected events of SB")
        axes.legend(loc="lower right")
    with picture(4.8, f"Couplings fitted to toys at g = {COUPLING:g}") as second:
        axes, limits = second.subplots(1, 2, width_ratios=(1.6, 1.0), sharey=True)
        for i, entry in enumerate(fitted):
            colour = COLOURS["signal"] if entry.treatment.name in UNBIASED else COLOURS["total"]
            if entry.treatment.name == "learned ratio":
                colour = COLOURS["background"]
            axes.errorbar(entry.mean, -i, xerr=entry.std, marker="o", color=colour, **_DOTS)
            limits.plot(entry.limit, -i, marker="o", color=colour, markersize=5)
        axes.axvline(COUPLING, color="0.4", linestyle="--", linewidth=1.0)
        axes.set_yticks(-np.arange(len(fitted)), [entry.treatment.name for entry in fitted])
        axes.tick_params(axis="y", which="minor", left=False, right=False)
        axes.set_ylim(-len(fitted) + 0.4, 0.6)
        axes.set_xlabel(r"$\hat g$")
        limits.set_xlabel("Expected limit on g")
        limits.set_xlim(0.0, 1.15 * max(entry.limit for entry in fitted))
    return {"search_bins.png": figure, "search_couplings.png": second}
