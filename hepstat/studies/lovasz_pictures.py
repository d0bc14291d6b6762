"""Pictures of the study of the Lovász surrogate: figures 1 to 4 of arXiv:2412.09500, and what goes beyond."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hepstat.learn import LovaszZ, Model, Sample
from hepstat.learn.losses.sets import Error
from hepstat.plot import draw_boundaries, draw_efficiencies, draw_loss_landscape, draw_roc, draw_threshold_scan
from hepstat.plot.selection import curve_style
from hepstat.selection import ThresholdScan, threshold_scan
from hepstat.studies.gaussians import Toy
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Found", "draw_all"]

SHOWN = ("BCE", "Lovász Z", "SoftZ")
LIMITS = ((-2.0, 8.0), (1.0, 14.0))
Line = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Found:
    """A trained model with the threshold chosen on the training events, the Z of these, and the verdict of collapse.

    Length, angle (degrees) and distance from the origin of the boundary are those of a linear model.
    """

    model: Model
    threshold: float
    z_training: float
    verdict: str

    @property
    def length(self) -> float:
        """Length of the weights of features."""
        return float(np.hypot(*self._weights))

    @property
    def angle(self) -> float:
        """Direction in which the score grows, in degrees."""
        return math.degrees(math.atan2(self._weights[1], self._weights[0]))

    @property
    def distance(self) -> float:
        """Where the cut is in this direction."""
        origin = self.model.theta[2] - self._weights @ self.model.mean
        return float((self.threshold - origin) / self.length)

    def score(self, x: Floats) -> Floats:
        """Return by how many features' units events are inside the cut."""
        return np.asarray((self.model(x) - self.threshold) / self.length)

    @property
    def _weights(self) -> Floats:
        return np.asarray(self.model.theta[:2] / self.model.scale)


def draw_all(
    toys: Mapping[Any, Toy],
    lines: Mapping[Any, Mapping[str, Line]],
    published: tuple[Floats, Mapping[str, list[float]]],
    linear: Mapping[tuple[Any, str], list[Found]],
    deep: Mapping[tuple[Any, str], list[Found]],
    n: int,
    rng: np.random.Generator,
) -> dict[str, Figure]:
    """Return all pictures by file name; test samples have n events of each process.

    Published are boundaries by case, and for case 1 signal efficiencies with the Z of each loss there.
    """
    pictures: dict[str, Figure] = {}
    for case in (1, 2):
        test = toys[case].sample(n, rng)
        scans = {name: threshold_scan(test, linear[case, name][0].score(test.x)) for name in (*SHOWN, "BCE, yields")}
        pictures |= {f"{key}_case{case}.png": figure for key, figure in _of_case(test, scans).items()}
        shown = {name: linear[case, name][0].score for name in SHOWN}
        title = f"Case {case}, Lovász Z {linear[case, 'Lovász Z'][0].verdict}"
        pictures[f"figure1_case{case}.png"] = _boundaries(test, shown, lines[case], title)
    _add_curves(pictures["figure2ab_case1.png"], *published)
    errors: tuple[Error, ...] = ("hinge", "sigmoid", "cross-entropy", "focal")
    pictures["figure3.png"] = draw_loss_landscape({error.capitalize(): LovaszZ(1.0, error) for error in errors})
    four = toys["four"].sample(n, rng)
    straight = {name: linear["four", name][0].score for name in SHOWN}
    pictures["four_backgrounds_linear.png"] = _boundaries(four, straight, {}, "Four backgrounds, linear")
    deep_cases: tuple[tuple[Any, Sample, str], ...] = (
        (1, toys[1].sample(n, rng), "Case 1"),
        ("four", four, "Four backgrounds"),
    )
    for key, test, text in deep_cases:
        models: dict[str, Any] = {}
        for name in ("BCE, yields", "SoftZ"):
            models[name] = deep[key, name][0].model, deep[key, name][0].threshold
        ratio = toys[key].log_ratio
        models["Likelihood ratio"] = ratio, threshold_scan(test, ratio(test.x)).best_threshold
        file = f"{text.lower().replace(' ', '_')}_hidden_layers.png"
        pictures[file] = _boundaries(test, models, {}, f"{text}, two hidden layers")
    rare = toys["rare"].sample(n, rng)
    scans = {name: threshold_scan(rare, linear["rare", name][0].score(rare.x)) for name in SHOWN}
    pictures["rare_signal.png"] = draw_threshold_scan(
        scans, name="distance from the cut", title="Signal ten times rarer"
    )
    return pictures


def _of_case(test: Sample, scans: Mapping[str, ThresholdScan]) -> dict[str, Figure]:
    """Return figures 2 and 4 of one case."""
    return {
        "figure2ab": draw_threshold_scan({name: scans[name] for name in SHOWN}, name="distance from the cut"),
        "figure2c_lovasz": draw_efficiencies(scans["Lovász Z"], name="distance from the cut", title="Lovász Z"),
        "figure2c_bce": draw_efficiencies(scans["BCE"], name="distance from the cut", title="BCE"),
        "figure4_total": draw_roc(scans, kind="total", log=True),
        "figure4_true": draw_roc(scans, kind="true", log=True),
    }


def _add_curves(figure: Figure, efficiencies: Floats, curves: Mapping[str, list[float]]) -> None:
    """Add published significances to the panel of signal efficiency, as open circles."""
    for name, z in curves.items():
        colour = curve_style(SHOWN.index(name))[0]
        style: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "linestyle": "none", "zorder": 4}
        figure.axes[1].plot(efficiencies, z, color=colour, label=f"{name}, published", **style)
    handles, texts = figure.axes[1].get_legend_handles_labels()
    figure.axes[1].legend(handles[len(SHOWN) :], texts[len(SHOWN) :], loc="upper right", frameon=False)


def _boundaries(test: Sample, models: Mapping[str, Any], published: Mapping[str, Line], title: str) -> Figure:
    """Draw events and boundaries: those of models solid, published ones dashed in the same colour."""
    options: dict[str, Any] = {"names": test.names, "signal": test.signal, "limits": LIMITS, "title": title}
    figure = draw_boundaries(test.x, test.process, models, **options)
    axes = figure.axes[0]
    drawn: list[Any] = [*axes.collections, *(line for line in axes.lines if line.get_linestyle() != "None")]
    for line in drawn:
        line.set_linestyle("-")
    for name, ((x1, y1), (x2, y2)) in published.items():
        colour = curve_style(list(models).index(name))[0]
        axes.plot([x1, x2], [y1, y2], color=colour, linestyle="--", linewidth=1.6, label=f"{name}, published", zorder=3)
    figure.legends[0].remove()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure
