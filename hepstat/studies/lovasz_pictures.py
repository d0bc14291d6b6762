"""Pictures of the study of the Lovász surrogate: figures 1 to 4 of arXiv:2412.09500, and what goes beyond."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hepstat.learn import LovaszZ, Sample
from hepstat.learn.losses.sets import Error
from hepstat.plot import draw_boundaries, draw_efficiencies, draw_loss_landscape, draw_roc, draw_threshold_scan
from hepstat.selection import ThresholdScan, threshold_scan
from hepstat.studies.gaussians import Found, Toy
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_all"]

SHOWN = ("BCE", "Lovász Z", "SoftZ")
LIMITS = ((-2.0, 8.0), (1.0, 14.0))
Line = tuple[tuple[float, float], tuple[float, float]]


def draw_all(
    toys: Mapping[str, Toy],
    lines: Mapping[str, Mapping[str, Line]],
    points: Mapping[str, tuple[Floats, Floats]],
    linear: Mapping[tuple[str, str], list[Found]],
    deep: Mapping[tuple[str, str], list[Found]],
    n: int,
    rng: np.random.Generator,
) -> dict[str, Figure]:
    """Return all pictures by file name; test samples have n events of each process.

    Published are lines, the boundaries by toy and loss, and for case 1 points: efficiencies and Z by loss.
    """
    pictures: dict[str, Figure] = {}
    for case in ("case 1", "case 2"):
        test = toys[case].sample(n, rng)
        scans = {name: threshold_scan(test, linear[case, name][0].score(test.x)) for name in (*SHOWN, "BCE, yields")}
        file, drawn = case.replace(" ", ""), _of_case(test, scans, points if case == "case 1" else {})
        pictures |= {f"{key}_{file}.png": figure for key, figure in drawn.items()}
        shown = {name: linear[case, name][0].score for name in SHOWN}
        title = f"{case.capitalize()}, Lovász Z {linear[case, 'Lovász Z'][0].verdict}"
        pictures[f"figure1_{file}.png"] = _boundaries(test, shown, lines[case], title)
    errors: tuple[Error, ...] = ("hinge", "sigmoid", "cross-entropy", "focal")
    pictures["figure3.png"] = draw_loss_landscape({error.capitalize(): LovaszZ(1.0, error) for error in errors})
    four = toys["four backgrounds"].sample(n, rng)
    straight = {name: linear["four backgrounds", name][0].score for name in SHOWN}
    pictures["four_backgrounds_linear.png"] = _boundaries(four, straight, {}, "Four backgrounds, linear")
    for key, test in (("case 1", toys["case 1"].sample(n, rng)), ("four backgrounds", four)):
        models: dict[str, Any] = {}
        for name in ("BCE, yields", "SoftZ"):
            models[name] = deep[key, name][0].model, deep[key, name][0].threshold
        ratio = toys[key].log_ratio
        models["Likelihood ratio"] = ratio, threshold_scan(test, ratio(test.x)).best_threshold
        file = f"{key.replace(' ', '_')}_hidden_layers.png"
        pictures[file] = _boundaries(test, models, {}, f"{key.capitalize()}, two hidden layers")
    rare = toys["signal ten times rarer"].sample(n, rng)
    scans = {name: threshold_scan(rare, linear["signal ten times rarer", name][0].score(rare.x)) for name in SHOWN}
    pictures["rare_signal.png"] = draw_threshold_scan(
        scans, name="distance from the cut", title="Signal ten times rarer"
    )
    return pictures


def _of_case(
    test: Sample, scans: Mapping[str, ThresholdScan], points: Mapping[str, tuple[Floats, Floats]]
) -> dict[str, Figure]:
    """Return figures 2 and 4 of one case."""
    shown = {name: scans[name] for name in SHOWN}
    return {
        "figure2ab": draw_threshold_scan(shown, points=points, name="distance from the cut"),
        "figure2c_lovasz": draw_efficiencies(scans["Lovász Z"], name="distance from the cut", title="Lovász Z"),
        "figure2c_bce": draw_efficiencies(scans["BCE"], name="distance from the cut", title="BCE"),
        "figure4_total": draw_roc(scans, kind="total", log=True),
        "figure4_true": draw_roc(scans, kind="true", log=True),
    }


def _boundaries(test: Sample, models: Mapping[str, Any], published: Mapping[str, Line], title: str) -> Figure:
    """Draw events and boundaries: those of models solid, published ones dashed in the same colour."""
    options: dict[str, Any] = {"names": test.names, "signal": test.signal, "limits": LIMITS, "title": title}
    return draw_boundaries(test.x, test.process, models, lines=published, **options)
