"""Measurements of mu in arXiv:1909.03081: sigma as a feature (figure 5), and a wrong sigma (figure 7, right)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from hepstat.learn import Adam, Cosine, Network
from hepstat.ratio import learn_ratio
from hepstat.strength import Component, Model, StrengthToys, Unbinned, asimov, profile
from hepstat.studies.guide_model import (
    READINGS,
    log_density,
    ratio_of,
    ratio_without_sigma,
    throw,
    throw_sigmas,
)
from hepstat.studies.results import Row, row
from hepstat.toys import run
from hepstat.types import Floats

__all__ = ["MU", "SIGMA", "TESTED", "Measured", "Size", "curve", "feature_models", "measure", "rows_of", "wrong_models"]

MU, SIGMA = 0.1, 0.08
TESTED = (0.02, 0.04, 0.08, 0.16, 0.32)
_NEIGHBOURS = (0.07, 0.13)  # of mu, for the response of its estimate
FEATURE_ERRORS = {"std sqrt(2) sigma": (0.00889, 0.01235), "std sigma": (0.00749, 0.00931)}
WRONG_ERRORS = (0.0104, 0.0078, 0.0069, 0.0077, 0.0086)  # calibrated, for std = sigma; likewise those below
WRONG_WIDTHS = (0.0034, 0.0048, 0.0069, 0.0114, 0.0514)
WRONG_MEANS = (0.031, 0.060, 0.100, 0.154, 0.630)


@dataclass(frozen=True)
class Size:
    """How much is thrown: events of a data set, simulated ones of signal and of background, toys."""

    n_total: int
    n_signal: int
    n_background: int
    toys: int


@dataclass(frozen=True)
class Measured:
    """How well mu is measured.

    Parameters
    ----------
    mean, mean_error : float
        Of the estimates, from toys; the finite simulation counts in the error.
    std, std_error : float
        Their standard deviation.
    error, error_error : float
        The same over the slope of the mean by the true mu: the error of an estimate corrected for its bias.
    naive : float
        Half the interval in which -2 log L of expected data rises by one; NaN where there are nuisances.
    failed : int
        Toys without a fit, left out.
    """

    mean: float
    mean_error: float
    std: float
    std_error: float
    error: float
    error_error: float
    naive: float
    failed: int


def measure(model: Model, size: Size, rng: np.random.Generator, workers: int) -> Measured:
    """Measure mu in toys at its true value and on either side of it; with nuisances only there, without `naive`."""
    estimates, failed = [], 0
    for mu in (MU,) if model.nuisances else (MU, *_NEIGHBOURS):
        table = run(StrengthToys(model, mu, mu_test=MU), size.toys, rng=rng, workers=workers)
        estimates.append(table["mu_hat"][table.ok])
        failed += table.n_failed
    means, stds = [np.mean(x) for x in estimates], [np.std(x, ddof=1) for x in estimates]
    n = min(x.size for x in estimates)
    slope, slope_error = 1.0, 0.0
    if len(means) > 1:
        step = _NEIGHBOURS[1] - _NEIGHBOURS[0]
        slope = float(means[2] - means[1]) / step
        slope_error = math.hypot(stds[1], stds[2]) / math.sqrt(n) / step
    std, share = float(stds[0]), 1.0 / math.sqrt(2.0 * (n - 1))
    simulation = math.sqrt(MU * size.n_total / size.n_signal + (1.0 - MU) * size.n_total / size.n_background)
    error = std / slope
    return Measured(
        mean=float(means[0]),
        mean_error=std * math.hypot(1.0 / math.sqrt(n), simulation),
        std=std,
        std_error=std * share,
        error=error,
        error_error=error * math.hypot(share, slope_error / slope),
        naive=math.nan if model.nuisances else half_width(model, float(means[0]), std),
        failed=failed,
    )


def rows_of(
    text: str, found: Measured, *, error: float | None = None, mean: float | None = None, naive: float | None = None
) -> Iterator[Row]:
    """Yield the numbers of a measurement beside computed ones."""
    note = f"{found.failed} toys failed and were left out" if found.failed else ""
    yield row(f"{text}: mean of mu", found.mean, found.mean_error, computed=mean, note=note)
    yield row(
        f"{text}: error on mu, toys", found.error, found.error_error, computed=error,
        note="standard deviation of mu over its response to the true mu",
    )  # fmt: skip
    if math.isfinite(found.naive):
        yield row(f"{text}: half-width of the likelihood", found.naive, computed=naive, note="on expected data")


def _model(signal: Floats, background: Floats, ratio: Any, size: Size) -> Model:
    components = [
        Component("signal", 1.0, signal=True, ratio=ratio, events=signal),
        Component("background", 1.0, events=background),
    ]
    return Model([Unbinned(components, n_total=size.n_total)])


def feature_models(
    reading: str, size: Size, rng: np.random.Generator, *, learn: tuple[int, int] | None, workers: int
) -> dict[str, Model]:
    """Return the models of figure 5, with sigma of each event as a feature and without.

    Parameters
    ----------
    reading : str
    size : Size
    rng : Generator
    learn : tuple of int or None
        Events of each process and epochs to train classifiers with, whose ratios make two more models.
    workers : int
    """
    factor = READINGS[reading]
    signal, background = (
        throw_sigmas(n, factor, rng, signal=k == 0) for k, n in enumerate((size.n_signal, size.n_background))
    )
    ratios: dict[str, Any] = {
        "with sigma": lambda x: np.exp(log_density(x[:, 0], factor * x[:, 1])),
        "without sigma": lambda x: ratio_without_sigma(x[:, 0], factor),
    }
    if learn is not None:
        samples = [throw_sigmas(learn[0], factor, rng, signal=k == 0) for k in range(2)]
        for n, name in ((2, "with sigma, learned"), (1, "without sigma, learned")):
            learned = learn_ratio(
                *(x[:, :n] for x in samples), network=Network(n, (32, 32), "elu"), rng=rng, epochs=learn[1],
                batch_size=512, optimiser=Adam(rate=1e-2, schedule=Cosine()), workers=workers,
            )  # fmt: skip
            ratios[name] = _of_first(learned, n)
    return {name: _model(signal, background, ratio, size) for name, ratio in ratios.items()}


def _of_first(ratio: Any, n: int) -> Any:
    """Return a ratio as a function of events that have more features than it uses."""
    return lambda x: ratio(x[:, :n])


def wrong_models(reading: str, size: Size, rng: np.random.Generator) -> dict[float, Model]:
    """Return the models of figure 7, right: events of sigma = .08 and the ratio for another one."""
    std = READINGS[reading] * SIGMA
    signal, background = (
        throw(n, std, rng, signal=k == 0)[:, 0] for k, n in enumerate((size.n_signal, size.n_background))
    )
    return {tested: _model(signal, background, ratio_of(READINGS[reading] * tested), size) for tested in TESTED}


def curve(model: Model, mu: Floats) -> Floats:
    """Return -2 log L of expected data at strengths mu (n,), less its minimum among them."""
    values = 2.0 * profile(model, asimov(model, MU), mu)
    return np.asarray(values - values.min())


def half_width(model: Model, mu: float, std: float) -> float:
    """Return half the interval of expected data in which -2 log L is at most 1 above its minimum, found by a scan.

    The scan starts around `mu` in steps of a fifth of `std`, and goes on in steps as much wider as it has to be.
    """
    data, lower, upper = asimov(model, MU), *(float(bound[0]) for bound in model.bounds)
    for widening in (1.0, 3.0, 10.0, 30.0, 100.0):
        at = mu + widening * std * np.linspace(-2.0, 2.0, 21)
        at = at[(at > lower) & (at < upper)]
        spline = CubicSpline(at, 2.0 * profile(model, data, at))
        fine = np.linspace(at[0], at[-1], 4001)
        above = spline(fine) - spline(fine).min()
        if above[0] > 1.0 and above[-1] > 1.0:
            inside = fine[above <= 1.0]
            return 0.5 * float(inside[-1] - inside[0])
    return math.nan
