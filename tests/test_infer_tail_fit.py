"""Tails of a statistic: against the true ones, their errors over repeated sets, and toys that failed."""

import warnings

import numpy as np
import pytest
from scipy import stats

from hepstat.errors import InputError
from hepstat.infer import TailFit, fit_tail

N = 10_000


@pytest.mark.parametrize(("kind", "slack"), [("square", 0.15), ("exponential", 0.3), ("pareto", 0.35)])
def test_tail(kind, slack):
    """Tails of the largest of five normal numbers meet the true global significance of Z = 4."""
    z = np.random.default_rng(3).standard_normal((N, 5)).max(axis=1)
    fit = fit_tail(z, kind)
    true = stats.norm.isf(-np.expm1(5.0 * stats.norm.logcdf(4.0)))
    value, error = fit.z(4.0)
    assert abs(value - true) < slack + 2.0 * error
    assert np.isnan(fit.p(fit.threshold - 0.1)[0])
    assert fit.p(fit.threshold)[0] == pytest.approx(0.02)
    assert kind in repr(fit)
    assert fit.ks_p > 1e-3
    assert TailFit.from_json(fit.to_json()).scale == fit.scale


@pytest.mark.parametrize("kind", ["exponential", "pareto"])
def test_tail_error(kind):
    """The error of the logarithm of p is what repeated sets of toys scatter by, and influences say the same."""
    rng, values, errors, influences = np.random.default_rng(4), [], [], []
    for _ in range(50):
        z = rng.standard_exponential(4000)
        fit = fit_tail(z, kind, share=0.1)
        log_p, error = fit.log_p(4.5)
        values.append(log_p)
        errors.append(error)
        moved = fit.influence(np.array([4.5]), np.array([1.0]), z)
        influences.append(moved.std() / np.sqrt(z.size) / np.exp(log_p))
    assert np.mean(values) == pytest.approx(-4.5, abs=0.3)
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.35)
    assert np.mean(influences) == pytest.approx(np.mean(errors), rel=0.1)


def test_tail_with_failed_toys():
    """Toys that failed lie beyond any value, with a tail as well."""
    z = np.random.default_rng(5).standard_exponential(5000)
    fit = fit_tail(z, "exponential", n_failed=100)
    assert fit.p(30.0)[0] == pytest.approx(100 / 5100, rel=1e-6)
    assert fit.p(30.0)[1] == pytest.approx(10 / 5100, rel=0.02)
    every = np.append(z, np.full(100, np.inf))
    assert fit.influence(np.array([30.0]), np.ones(1), every).std() / np.sqrt(5100) == pytest.approx(
        10 / 5100, rel=0.02
    )


def test_below_threshold_with_failed_toys():
    """Below its threshold a tail with failed toys says nothing, without a warning."""
    fit = fit_tail(np.random.default_rng(5).standard_exponential(5000), "exponential", n_failed=5, check=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_p = fit.log_p([0.1, 9.0])[0]
    assert np.isnan(log_p).tolist() == [True, False]


def test_ties():
    """Toys tied with the threshold are not above it: what is left of the share has to be enough."""
    z = np.append(np.random.default_rng(7).uniform(0.0, 1.0, 4000), np.full(1000, 3.0))
    with pytest.raises(InputError, match=r"share: = 0\.02 leaves 0 of 5000 toys, 100 others are tied"):
        fit_tail(z, "exponential")
    assert fit_tail(np.append(z, np.linspace(4.0, 5.0, 60)), "exponential", check=False).n_above == 60


def test_unchecked():
    """Without its check the fit is the same, and says that there was none."""
    z = np.random.default_rng(6).standard_exponential(5000)
    fit, checked = fit_tail(z, "exponential", check=False), fit_tail(z, "exponential")
    assert np.isnan(fit.ks_p)
    assert (fit.scale, fit.log_p(9.0)) == (checked.scale, checked.log_p(9.0))
    assert "not checked" in repr(fit)
