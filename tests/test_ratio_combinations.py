"""Known ratios, means of several, and mixtures of signal and background."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import expon, norm, uniform

from hepstat.errors import InputError
from hepstat.ratio import (
    AnalyticRatio,
    ClipWarning,
    EnsembleRatio,
    MixtureRatio,
    SignalRatio,
    binned_ratio,
    density_ratio,
    mixture_ratio,
    shape_ratio,
    signal_ratio,
)
from hepstat.shapes import Exponential, Gaussian

X = np.linspace(-1.0, 1.0, 7)
KNOWN = AnalyticRatio(lambda x: norm.logpdf(x, 0.5) - norm.logpdf(x))


def test_ratio_of_densities():
    """By scipy, with a logarithm of minus infinity where there is no signal."""
    ratio = density_ratio(lambda x: uniform.pdf(x, 0.0, 0.5), lambda x: uniform.pdf(x, -1.0, 3.0))
    assert_allclose(ratio([-0.5, 0.2, 1.0]), [0.0, 6.0, 0.0])
    assert ratio.log([-0.5])[0] == -np.inf
    with pytest.raises(InputError, match="has 2 of 3 events"):
        ratio([-2.0, 0.2, 4.0])


def test_ratio_of_shapes():
    """Both normalised on the range, at their starting values or others."""
    low, high = 100.0, 160.0
    x = np.linspace(101.0, 159.0, 5)
    inside = norm.cdf(high, 125, 2) - norm.cdf(low, 125, 2)
    flat = expon.pdf(x, 0, 50) / (expon.cdf(high, 0, 50) - expon.cdf(low, 0, 50))
    expected = norm.pdf(x, 125, 2) / inside / flat
    given = shape_ratio(
        Gaussian(120.0, 1.0),
        Exponential(),
        (low, high),
        signal_values={"mean": 125.0, "sigma": 2.0},
        background_values=[-0.02],
    )
    starting = shape_ratio(Gaussian(125.0, 2.0), Exponential(-0.02), (low, high))
    for ratio in (given, starting):
        assert_allclose(ratio(x), expected, rtol=1e-9)
        with pytest.raises(InputError, match="1 of 2 events"):
            ratio([90.0, 110.0])


def test_functions_that_are_no_ratio():
    """NaN, plus infinity and wrong shapes are refused; exponents too large for a number only where that is asked."""
    for values in ([np.nan, 1.0], [np.inf, 1.0], [[1.0, 2.0]]):
        with pytest.raises(InputError, match="log_ratio"):
            AnalyticRatio(lambda x, values=values: values).log(X)
    large = AnalyticRatio(lambda x: np.full(len(x), 1000.0))
    assert_array_equal(large.log([0.0]), [1000.0])
    with pytest.raises(InputError, match="1 ratios that overflow"):
        large([0.0])


def members(values):
    """Return ratios (m, n) as functions that do not look at events."""
    return tuple(AnalyticRatio(lambda x, row=row: np.log(row)) for row in np.asarray(values))


def test_means():
    """By their formulas."""
    r = np.array([[0.5, 2.0, 4.0], [1.0, 3.0, 1.0], [0.2, 2.0, 9.0]])
    p = (r / (1 + r)).mean(axis=0)
    expected = {"geometric": np.exp(np.log(r).mean(axis=0)), "arithmetic": r.mean(axis=0), "probability": p / (1 - p)}
    for mean, value in expected.items():
        ensemble = EnsembleRatio(members(r), mean)
        assert_allclose(ensemble(None), value, rtol=1e-12)
        assert_allclose(ensemble.log(None), np.log(value), atol=1e-12)
    assert_allclose(EnsembleRatio(members(r)).spread(None), np.log(r).std(axis=0, ddof=1))
    assert_allclose(EnsembleRatio(members(r), "arithmetic").spread(None), r.std(axis=0, ddof=1) / r.mean(axis=0))


def test_ratios_of_zero_in_means():
    """They stay zero where all are, and the spread knows."""
    with np.errstate(divide="ignore"):
        both = members([[0.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
        assert_array_equal(EnsembleRatio(both)(None), [0.0, 0.0, 1.0])
        assert_array_equal(EnsembleRatio(both).spread(None), [0.0, np.inf, 0.0])
        assert_allclose(EnsembleRatio(both, "arithmetic")(None), [0.0, 1.0, 1.0])
        assert_allclose(EnsembleRatio(both, "arithmetic").spread(None), [0.0, np.sqrt(2.0), 0.0])
        assert_allclose(EnsembleRatio(both, "probability")(None), [0.0, 0.5, 1.0])


def test_bad_ensembles():
    """No members, other things, an unknown mean, the spread of one."""
    for ratios, mean in (((), "geometric"), ((np.exp,), "geometric"), ((KNOWN,), "median")):
        with pytest.raises(InputError):
            EnsembleRatio(ratios, mean)
    with pytest.raises(InputError, match="single member"):
        EnsembleRatio((KNOWN,)).spread(X)


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=5), st.floats(1e-3, 1.0))
def test_round_trip(r, alpha):
    """To the mixture and back, within rounding of 1 / alpha; the corrected eq. 3.11."""
    back = signal_ratio(mixture_ratio(r, alpha), alpha)
    assert_allclose(back, r, rtol=1e-12, atol=1e-15 / alpha)


def test_mixture_by_its_densities():
    """(alpha p_S + (1 - alpha) p_B) / p_B, from numbers and from ratios, with logarithms."""
    alpha = 0.1
    lam = (alpha * norm.pdf(X, 0.5) + (1 - alpha) * norm.pdf(X)) / norm.pdf(X)
    assert_allclose(mixture_ratio(KNOWN(X), alpha), lam)
    mixture = MixtureRatio(KNOWN, alpha)
    assert_allclose(mixture(X), lam)
    assert_allclose(mixture.log(X), np.log(lam), atol=1e-14)
    assert_allclose(SignalRatio(mixture, alpha)(X), KNOWN(X), rtol=1e-12)
    assert_allclose(MixtureRatio(KNOWN, 1.0)(X), KNOWN(X))


def test_ratios_below_the_mixture():
    """An error with the share, or the floor with a warning."""
    lam = [0.85, 0.9, 1.9, 0.8]
    with pytest.raises(InputError, match=r"2 of 4 ratios \(0.5\), down to r = -1"):
        signal_ratio(lam, 0.1)
    with pytest.warns(ClipWarning, match=r"\(0.5\)"):
        assert_allclose(signal_ratio(lam, 0.1, floor=0.0), [0.0, 0.0, 10.0, 0.0], atol=1e-12)
    below = SignalRatio(AnalyticRatio(lambda x: np.log(x)), 0.1, floor=0.5)
    with pytest.warns(ClipWarning, match="3 of 4"):
        assert_allclose(below(lam), [0.5, 0.5, 10.0, 0.5])


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.1, np.nan])
def test_bad_shares(alpha):
    """The share of signal is above 0 and at most 1."""
    for make in (
        lambda: mixture_ratio([1.0], alpha),
        lambda: signal_ratio([1.0], alpha),
        lambda: MixtureRatio(KNOWN, alpha),
        lambda: SignalRatio(KNOWN, alpha),
    ):
        with pytest.raises(InputError, match="alpha"):
            make()
    with pytest.raises(InputError, match="r: is -1"):
        mixture_ratio([-1.0], 0.5)


def test_binned_ratio():
    """Shares over shares, events outside counted, with binomial errors."""
    found = binned_ratio([0.1, 0.2, 1.5, 5.0], [0.5, 1.1, 1.2, 1.3, 2.5], [0.0, 1.0, 2.0, 3.0, 4.0])
    assert_allclose(found.ratios[:3], [0.5 / 0.2, 0.25 / 0.6, 0.0])
    assert np.isnan(found.ratios[3])
    variance = 0.5 * 0.5 / 4 + 2.5**2 * 0.2 * 0.8 / 5
    assert found.errors[0] == pytest.approx(np.sqrt(variance) / 0.2)
    again = type(found).from_json(found.to_json())
    assert_array_equal(again.ratios, found.ratios)


def test_errors_of_binned_ratios():
    """Over 400 samples the pulls have a width of 1, with weights; its own error is 1 / sqrt(800)."""
    rng = np.random.default_rng(3)
    pulls = []
    for _ in range(400):
        s, b = rng.normal(0.5, 1.0, 1000), rng.normal(0.0, 1.0, 1000)
        w = rng.choice([0.5, 2.0], 1000)
        found = binned_ratio(s, b, [0.0, 1.0], signal_weights=w)
        truth = (norm.cdf(0.5) - norm.cdf(-0.5)) / (norm.cdf(1.0) - 0.5)
        pulls.append((found.ratios[0] - truth) / found.errors[0])
    assert abs(np.mean(pulls)) < 4 / np.sqrt(400)
    assert abs(np.std(pulls) - 1.0) < 4 / np.sqrt(800)


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1 / 3, 0.7])
def test_rounding_of_lambda_is_no_negative_ratio(alpha):
    """Events without signal survive the way to the mixture and back; a ratio that is negative by more does not."""
    zero = AnalyticRatio(lambda x: np.where(np.asarray(x) > 0, 0.0, -np.inf))
    r = SignalRatio(MixtureRatio(zero, alpha), alpha)([-1.0, 1.0])
    assert_allclose(r, [0.0, 1.0], atol=1e-15)
    with pytest.raises(InputError, match="lam"):
        signal_ratio([(1 - alpha) * (1 - 1e-9)], alpha)
