"""Rerun of the examples of Nachman (arXiv:1909.03081): from a classifier to a likelihood ratio to an answer.

A narrow signal on a flat background, where the ratio of densities is known: learned ratios (figures 3 and 7, left),
tests with less and less of it (figure 4), measurements of the signal strength with sigma as a feature (figure 5), with
a wrong sigma (figure 7, right) and with an unknown one. The text gives y = Y_0 + Y_1 the standard deviation sqrt(2)
sigma, the caption of figure 3 sigma: both are run. Reference values are computed by another program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hepstat.seeds import Key, toy_generator
from hepstat.studies import guide_pictures as pictures
from hepstat.studies.frame import Run, Study
from hepstat.studies.guide_learned import learn_figure3, learn_figure7
from hepstat.studies.guide_model import READINGS, throw
from hepstat.studies.guide_nuisance import compare_nuisances, template_rows
from hepstat.studies.guide_strength import (
    FEATURE_ERRORS,
    MU,
    SIGMA,
    TESTED,
    WRONG_ERRORS,
    WRONG_MEANS,
    WRONG_WIDTHS,
    Measured,
    Size,
    curve,
    feature_models,
    measure,
    rows_of,
    wrong_models,
)
from hepstat.studies.guide_tests import learned_rows, test_rows
from hepstat.studies.results import row
from hepstat.types import Floats

__all__ = ["reproduce"]


@dataclass(frozen=True)
class Scale:
    """How much is run.

    Parameters
    ----------
    events : int
        To train with, of both processes together.
    trainings, members, epochs : int
        With the published recipe; of the ensemble; of the ensemble and everything else that is learned.
    tests : int
        Toys of figure 4 under either hypothesis.
    scored : int
        Events of either process that learned ratios are tested with.
    size : Size
        Of measurements of mu.
    learned : bool
        Whether figure 5 is also measured with classifiers.
    """

    events: int
    trainings: int
    members: int
    epochs: int
    tests: int
    scored: int
    size: Size
    learned: bool


SCALES = {
    "tiny": Scale(2000, 1, 2, 1, 200, 10_000, Size(200, 4000, 20_000, 40), True),  # for tests
    "quick": Scale(200_000, 2, 2, 5, 10_000, 100_000, Size(10_000, 200_000, 1_000_000, 30), False),
    "full": Scale(500_000, 5, 4, 20, 10_000, 1_000_000, Size(10_000, 200_000, 1_000_000, 250), True),
}


def _figure2(scale: Scale, key: Key, workers: int) -> Run:
    """Find the widths of Y_0 + Y_1 and Y_0 - Y_1."""
    n, rng, rows = scale.events // 2, toy_generator(key, 200), []
    for reading, factor in READINGS.items():
        for signal in (True, False):
            events = throw(n, factor * SIGMA, rng, signal=signal)
            for k, name in enumerate(("Y0 + Y1", "Y0 - Y1")):
                if signal or k == 1:
                    std = float(events[:, k].std())
                    text = f"figure 2, {reading}: std of {name}, {'signal' if signal else 'background'}"
                    note = "error from simulated events"
                    rows.append(row(text, std, std / np.sqrt(2.0 * n), computed=factor * SIGMA, note=note))
    return Run(rows, pictures.draw_figure2(n, rng))


def _figures3_and_4(scale: Scale, key: Key, workers: int) -> Run:
    """Learn ratios, and test with the true one and, for one row, with those."""
    found, ratios = Run([], {}), {}
    for i, reading in enumerate(READINGS):
        rng = toy_generator(key, 300 + i)
        learned = learn_figure3(reading, scale.events, scale.trainings, scale.members, scale.epochs, rng, workers)
        ratios[reading] = learned.ratios
        found.rows.extend(learned.rows)
        found.pictures.update(pictures.draw_figure3(reading, learned.ratios, scale.events // 2, rng))
    tested = test_rows(scale.tests, toy_generator(key, 400), workers)
    found.rows.extend(tested.rows)
    lossy = {name: ratios["std sigma"][name] for name in ("published recipe", "ensemble")}
    found.rows.extend(learned_rows(lossy, scale.scored, scale.tests, toy_generator(key, 401), workers))
    found.pictures.update(pictures.draw_figure4(tested))
    return found


def _figure5(scale: Scale, key: Key, workers: int) -> Run:
    """Measure mu with sigma as a feature and without."""
    found, learn = Run([], {}), (scale.events // 2, scale.epochs) if scale.learned else None
    for i, reading in enumerate(READINGS):
        rng = toy_generator(key, 500 + i)
        models = feature_models(reading, scale.size, rng, learn=learn, workers=workers)
        measured = {name: measure(model, scale.size, rng, workers) for name, model in models.items()}
        for k, (name, entry) in enumerate(measured.items()):
            true = "learned" not in name
            references: Any = {"error": FEATURE_ERRORS[reading][k], "mean": MU} if true else {}
            found.rows.extend(rows_of(f"figure 5, {reading}, {name}", entry, **references))
        mu = _around(measured["without sigma"])
        curves = {name: curve(model, mu) for name, model in models.items()}
        found.pictures.update(pictures.draw_figure5(reading, mu, curves))
    return found


def _around(found: Measured) -> Floats:
    """Return strengths (n,) around the true one, for a curve."""
    low, high = max(MU - 2.5 * found.std, 0.0), min(MU + 2.5 * found.std, 0.9)
    return np.linspace(low, high, 51)


def _figure7(scale: Scale, key: Key, workers: int) -> Run:
    """Learn a ratio for several sigma at once, and measure mu with a wrong one."""
    found = Run([], {})
    for i, reading in enumerate(READINGS):
        rng = toy_generator(key, 700 + i)
        learned = learn_figure7(reading, scale.events // 5, scale.epochs, rng)
        found.rows.extend(learned.rows)
        found.pictures.update(pictures.draw_figure7_left(reading, learned.ratios, scale.events, rng))
        models = wrong_models(reading, scale.size, rng)
        measured = {sigma: measure(model, scale.size, rng, workers) for sigma, model in models.items()}
        for k, sigma in enumerate(TESTED):
            numbers = {"error": WRONG_ERRORS[k], "mean": WRONG_MEANS[k], "naive": WRONG_WIDTHS[k]}
            references: Any = numbers if reading == "std sigma" else {}
            text = f"figure 7 right, {reading}, assumed sigma {sigma:g}"
            found.rows.extend(rows_of(text, measured[sigma], **references))
        found.pictures.update(pictures.draw_figure7_right(reading, measured))
    return found


def _nuisances(scale: Scale, key: Key, workers: int) -> Run:
    """Compare treatments of a global sigma."""
    compared = compare_nuisances(scale.size, toy_generator(key, 800), workers)
    rng, n = toy_generator(key, 801), scale.size.n_total
    templates = template_rows(scale.events, scale.epochs, n, rng, workers)
    return Run([*compared.rows, *templates], pictures.draw_nuisances(compared.found))


reproduce = Study("guide", SCALES, (_figure2, _figures3_and_4, _figure5, _figure7, _nuisances)).reproduce
