"""Learned ratios of arXiv:1909.03081: the published training of figure 3, a better one, and figure 7 left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepstat.learn import Adam, Cosine, Network
from hepstat.ratio import Deviation, calibrate, deviation, learn_parameterised_ratio, learn_ratio
from hepstat.studies.guide_model import READINGS, grid, ratio_of, throw
from hepstat.studies.results import Row, mean_and_std, row
from hepstat.types import Floats

__all__ = ["ABOVE", "SHOWN", "Learned", "learn_figure3", "learn_figure7", "rows_of_ratio"]

SIGMA = 0.08
ABOVE = 0.1  # deviations count where the true ratio is above this share of its peak
PEAKS = {"std sqrt(2) sigma": 3.53, "std sigma": 4.99}
TRAINED = (0.02, 0.04, 0.08, 0.16, 0.32)
SHOWN = (0.03, 0.06)
PUBLISHED = Network(1, (10, 20, 50), "elu", dropout=0.1)
BETTER = Network(1, (10, 20, 50), "elu")
_OFF = f"|r / true - 1| where r is above {ABOVE:g} of its peak, signal as weight"


@dataclass(frozen=True, eq=False)
class Learned:
    """Ratios by name, and rows of results."""

    ratios: dict[str, Any]
    rows: tuple[Row, ...]


def learn_figure3(
    reading: str, n_events: int, trainings: int, members: int, epochs: int, rng: np.random.Generator, workers: int
) -> Learned:
    """Train with the published recipe and with a better one for sigma = .08.

    Parameters
    ----------
    reading : str
        Name of one of the readings.
    n_events : int
        Simulated events of both processes together.
    trainings, members : int
        Trainings with the published recipe, and members of the ensemble of the other.
    epochs : int
        Of the other.
    """
    std = READINGS[reading] * SIGMA
    signal, background, fresh_signal, fresh_background = (
        throw(n_events // 2, std, rng, signal=k % 2 == 0)[:, :1] for k in range(4)
    )
    each: Any = {"rng": rng, "workers": workers}
    published = [
        learn_ratio(signal, background, network=PUBLISHED, epochs=3, batch_size=50, **each) for _ in range(trainings)
    ]
    ensemble = learn_ratio(
        signal, background, network=BETTER, epochs=epochs, batch_size=512, n=members, **each,
        optimiser=Adam(rate=1e-2, schedule=Cosine()),
    )  # fmt: skip
    samples = fresh_signal, fresh_background
    ratios: dict[str, list[Any]] = {
        "published recipe": published,
        "published recipe, calibrated": [calibrate(ratio, *samples, method="kde") for ratio in published],
        "ensemble": [ensemble],
        "ensemble, calibrated": [calibrate(ensemble, *samples, method="kde")],
    }
    rows = [entry for name, group in ratios.items() for entry in rows_of_ratio(reading, name, group)]
    return Learned({name: group[0] for name, group in ratios.items()}, tuple(rows))


def rows_of_ratio(reading: str, name: str, ratios: list[Any]) -> Iterator[Row]:
    """Yield peak and deviations of ratios, means over trainings."""
    y = grid()
    truth = ratio_of(READINGS[reading] * SIGMA)
    text, first = f"figure 3, {reading}, {name}", name == "published recipe"
    peaks = [float(ratio(np.zeros((1, 1)))[0]) for ratio in ratios]
    off = [deviation(ratio, truth, y[:, np.newaxis], truth(y), above=ABOVE) for ratio in ratios]
    yield row(
        f"{text}: peak", *mean_and_std(peaks), computed=PEAKS[reading], tested=False, note="computed is the true peak"
    )
    wide = [deviation(ratio, truth, y[:, np.newaxis], truth(y), above=0.1 * ABOVE).largest for ratio in ratios]
    entries = [
        ("mean deviation", [d.mean for d in off], 0.095, f"{_OFF}; computed is 8 to 11%"),
        ("largest deviation", [d.largest for d in off], 0.285, f"{_OFF}; computed is 26 to 31%"),
        ("largest deviation, farther out", wide, None, f"the same above {0.1 * ABOVE:g} of the peak"),
    ]
    for title, values, computed, note in entries:
        reference, note = (computed, note) if first else (None, note.split("; computed")[0])
        yield row(f"{text}: {title}", *mean_and_std(values), computed=reference, tested=False, note=note)


def learn_figure7(reading: str, n_events: int, epochs: int, rng: np.random.Generator) -> Learned:
    """Train one network for five values of sigma, given to it as log2, and compare it at others with the truth.

    Parameters
    ----------
    n_events : int
        Signal events of each value; as many of background as of all of these.
    """
    stds = [READINGS[reading] * sigma for sigma in TRAINED]
    signal = np.concatenate([throw(n_events, std, rng, signal=True)[:, :1] for std in stds])
    background = throw(len(signal), stds[0], rng, signal=False)[:, :1]
    family = learn_parameterised_ratio(
        signal, np.repeat(np.log2(TRAINED), n_events), background,
        network=Network(1, (32, 32), "elu", n_parameters=1), rng=rng, epochs=epochs, batch_size=512,
        optimiser=Adam(rate=1e-2, schedule=Cosine()),
    )  # fmt: skip
    rows, ratios = [], {}
    for sigma in (*SHOWN, *TRAINED):
        ratio, truth = family.at(np.log2(sigma)), ratio_of(READINGS[reading] * sigma)
        off = _deviation(ratio, truth)
        text = f"figure 7 left, {reading}, sigma {sigma:g}"
        note = _OFF + ("" if sigma in SHOWN else "; a value of the training")
        rows.append(row(f"{text}: mean deviation", off.mean, note=note))
        if sigma in SHOWN:
            rows.append(row(f"{text}: largest deviation", off.largest, note=note))
            ratios[f"{sigma:g}"] = ratio
    return Learned(ratios, tuple(rows))


def _deviation(ratio: Any, truth: Any) -> Deviation:
    y: Floats = grid()
    return deviation(ratio, truth, y[:, np.newaxis], truth(y), above=ABOVE)
