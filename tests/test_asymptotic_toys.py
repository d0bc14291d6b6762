"""Distributions of test statistics in toys against asymptotic ones: where they agree, and where they do not."""

import numpy as np
import pytest
from scipy.stats import norm, poisson

from hepstat.infer import AsymptoticDistribution, asimov_sigma, p_value_calibration
from hepstat.seeds import stream_key
from hepstat.strength import (
    Component,
    Effect,
    Model,
    Nuisance,
    StrengthToys,
    Unbinned,
    WrappedNormal,
    asimov,
    counting,
    statistic_of,
    statistics_of,
)
from hepstat.toys import run

THRESHOLDS = np.array([0.1, 0.05, 0.01])
N_TOYS = 10_000
SOURCE = WrappedNormal(0.08)
KINDS = pytest.mark.parametrize("kind", ["count", "unbinned"])
BACKGROUNDS = pytest.mark.parametrize("uncertain", [False, True], ids=["known", "on-off"])


def model_of(kind, n, uncertain):
    """Return a model with n events of background, which another n measure if it is uncertain.

    The signal is two standard deviations of the count, half of that where events are looked at one by one.
    """
    signal = 2.0 * np.sqrt(2.0 * n if uncertain else n)
    nuisances = [Nuisance("background", constraint="poisson", width=float(n))] if uncertain else []
    effects = {"background": Effect.scale()} if uncertain else {}
    if kind == "count":
        return Model((counting(signal, n, effects),), nuisances)
    middle = (np.arange(100_000) + 0.5) / 100_000  # simulated events without fluctuation
    y = norm.ppf(middle) * SOURCE.std
    parts = [
        Component("signal", 0.5 * signal, signal=True, ratio=SOURCE.ratio, events=y - np.floor(y + 0.5)),
        Component("background", n, effects=effects, events=middle - 0.5),
    ]
    return Model((Unbinned(parts),), nuisances)


def calibration(model, name, truth, n_toys=N_TOYS):
    """Return the calibration of asymptotic tails in toys of a true strength, those with a statistic of 0 left out."""
    sigma = asimov_sigma(1.0, statistic_of(model, asimov(model, 0.0), 1.0, "t_mu"))
    expected = AsymptoticDistribution(name, 0.0 if name == "q0" else 1.0, truth, sigma)
    toys = run(StrengthToys(model, truth, mu_test=1.0), n_toys, rng=1, workers=2)
    assert (toys.status == 0).all()
    tails = expected.sf(statistics_of(toys, name))
    return p_value_calibration(tails, thresholds=THRESHOLDS, below=float(expected.sf(0.0)))


def deviation(found, expected, n_toys=N_TOYS):
    """Return how many binomial standard deviations rates are away from probabilities."""
    return (found - expected) / np.sqrt(expected * (1 - expected) / n_toys)


@pytest.mark.parametrize("n", [5, 50, 500])
def test_counts_against_poisson_sums(n):
    """With a known background the rate of q0 above an asymptotic threshold is a sum of Poisson probabilities."""
    found = calibration(model_of("count", n, False), "q0", 0.0)
    counts = np.arange(1, 5 * n + 30)
    q0 = np.where(counts > n, 2 * (counts * np.log(counts / n) - (counts - n)), 0.0)
    exact = [poisson.pmf(counts[q0 >= norm.isf(t) ** 2], n).sum() for t in THRESHOLDS]
    assert (np.abs(deviation(found.rates, np.array(exact))) < 4).all()


@pytest.mark.slow
@KINDS
@BACKGROUNDS
@pytest.mark.parametrize(("name", "truth"), [("q0", 0.0), ("q_mu", 1.0), ("q_mu_tilde", 1.0)])
def test_null_at_500_events(kind, uncertain, name, truth):
    """Type-I errors are right to 6%, apart from the error of the number of toys; so is the whole distribution."""
    found = calibration(model_of(kind, 500, uncertain), name, truth, 4000)
    off = np.abs(found.rates / THRESHOLDS - 1.0)
    assert (off < 0.06 + 4 * np.sqrt((1 - THRESHOLDS) / THRESHOLDS / 4000)).all()
    granularity = poisson.pmf(500, 500) / found.below if kind == "count" else 0.0
    assert found.ks_statistic < granularity + 0.01 + 1.95 / np.sqrt(found.n_below)


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize("name", ["q_mu", "q_mu_tilde"])
def test_alternative_at_500_events(kind, name):
    """Without signal the width from Asimov data gives the distribution to a few per cent."""
    found = calibration(model_of(kind, 500, True), name, 0.0, 4000)
    assert found.ks_statistic < 0.02 + 1.95 / np.sqrt(found.n_below)


@BACKGROUNDS
def test_distance_falls_with_events(uncertain):
    """Kolmogorov's distance of a count falls as its granularity does, by about the square root of ten each time."""
    distances = [calibration(model_of("count", n, uncertain), "q_mu", 1.0).ks_statistic for n in (5, 50, 500)]
    assert distances[0] > 1.5 * distances[1]
    assert distances[1] > 1.5 * distances[2]


def test_limit_of_asymptotics():
    """Five events of background: the tail of q_mu is twice as frequent as it seems, that of q_mu_tilde is not."""
    model = model_of("unbinned", 5, False)
    plain, tilde = (calibration(model, name, 1.0) for name in ("q_mu", "q_mu_tilde"))
    assert plain.rates[2] > 0.02
    assert 0.009 < tilde.rates[2] < 0.014
    without = calibration(model, "q_mu_tilde", 0.0)
    assert without.rates[0] == 0.0  # data without events are the most extreme, and far from rare


def test_many_equal_events_do_not_stop_fits():
    """Rounding of many equal terms of -log L stays below what the last steps of a fit gain (a toy that once failed)."""
    study = StrengthToys(model_of("unbinned", 500, True), 1.0, mu_test=1.0)
    record = np.zeros(1, study.dtype)
    study.block(stream_key(1), 541, record)
    assert record["status"][0] == 0
