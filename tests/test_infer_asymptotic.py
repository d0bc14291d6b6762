"""Asymptotic distributions: against Gaussian toys and integrals, and p-values against pyhf."""

import numpy as np
import pyhf
import pytest
from pyhf.infer import hypotest
from pyhf.infer.calculators import generate_asimov_data
from pyhf.infer.mle import fit, fixed_poi_fit
from scipy import stats
from scipy.integrate import quad

from hepstat.errors import InputError
from hepstat.infer import (
    STATISTICS,
    AsymptoticDistribution,
    CLs,
    asimov_sigma,
    asymptotic_cls,
    asymptotic_log_tails,
    statistic,
)

MODELS = {
    "one bin": (pyhf.simplemodels.uncorrelated_background([10.0], [50.0], [7.0]), [55.0]),
    "two bins": (pyhf.simplemodels.uncorrelated_background([12.0, 11.0], [50.0, 52.0], [3.0, 7.0]), [51.0, 48.0]),
    "correlated": (
        pyhf.simplemodels.correlated_background([5.0, 10.0], [50.0, 60.0], [55.0, 68.0], [44.0, 52.0]),
        [58.0, 75.0],
    ),
    "large excess": (pyhf.simplemodels.uncorrelated_background([10.0, 4.0], [50.0, 20.0], [5.0, 2.0]), [85.0, 30.0]),
    "deficit": (pyhf.simplemodels.uncorrelated_background([10.0], [50.0], [5.0]), [33.0]),
}


def _distribution(name, mu, mu_true, sigma=0.6):
    return AsymptoticDistribution(name, 0.0 if name == "q0" else mu, mu_true, sigma)


def _pyhf_statistic(name, model, data, mu, low):
    """Our statistic from pyhf's minima, the signal strength limited from below."""
    settings = (model.config.suggested_init(), model.config.suggested_bounds(), model.config.suggested_fixed())
    settings[1][model.config.poi_index] = (low, 10.0)
    best, twice_best = fit(data, model, *settings, return_fitted_val=True)
    twice_fixed = fixed_poi_fit(mu, data, model, *settings, return_fitted_val=True)[1]
    twice_zero = fixed_poi_fit(0.0, data, model, *settings, return_fitted_val=True)[1]
    return statistic(
        name,
        nll_zero=twice_zero / 2,
        nll_mu=twice_fixed / 2,
        nll_best=twice_best / 2,
        mu=mu,
        mu_hat=best[model.config.poi_index],
    )


def _both(name, label, mu):
    """Our CLs, and what pyhf says, on the same fits."""
    model, counts = MODELS[label]
    data = counts + model.config.auxdata
    low = {"q_mu": -5.0, "q_mu_tilde": 0.0, "q0": -5.0}[name]
    kind = {"q_mu": "q", "q_mu_tilde": "qtilde", "q0": "q0"}[name]
    settings = (model.config.suggested_init(), model.config.suggested_bounds(), model.config.suggested_fixed())
    settings[1][model.config.poi_index] = (low, 10.0)
    asimov = generate_asimov_data(1.0 if name == "q0" else 0.0, data, model, *settings)
    q, q_a = (_pyhf_statistic(name, model, d, mu, low) for d in (data, asimov))
    peer = hypotest(mu, data, model, *settings, test_stat=kind, return_tail_probs=True, return_expected_set=True)
    return asymptotic_cls(q, q_a, statistic=name, mu=mu), peer


@pytest.mark.parametrize("label", MODELS)
@pytest.mark.parametrize("name", ["q_mu", "q_mu_tilde"])
def test_limits_agree_with_pyhf(name, label):
    """CLs, CLs+b, CLb and the expected band are pyhf's on the same minima."""
    for mu in (0.5, 1.0, 2.0):
        ours, (cls, (cl_sb, cl_b), band) = _both(name, label, mu)
        np.testing.assert_allclose([ours.cl_s, ours.cl_sb, ours.cl_b], [cls, cl_sb, cl_b], rtol=1e-10)
        np.testing.assert_allclose(ours.expected_cl_s, np.ravel(band), rtol=1e-10)


@pytest.mark.parametrize("label", ["one bin", "two bins", "large excess"])
def test_discovery_agrees_with_pyhf(label):
    """The p-value of the background, that of the signal, and the band of the former."""
    ours, (p0, (tail,), band) = _both("q0", label, 0.0)
    np.testing.assert_allclose([ours.cl_sb, ours.cl_b], [p0, tail], rtol=1e-10)
    np.testing.assert_allclose(ours.expected_cl_sb, np.ravel(band), rtol=1e-10)


def test_known_values():
    """CLs of s = 10, b = 50 +- 7, n = 55 and its band; p0 of s = 25, n = 80."""
    ours, _ = _both("q_mu", "one bin", 1.0)
    assert ours.cl_s == pytest.approx(0.454189, abs=1e-5)
    band = [0.063720, 0.150969, 0.327966, 0.604614, 0.866265]
    np.testing.assert_allclose(ours.expected_cl_s, band, atol=1e-5)
    model = pyhf.simplemodels.uncorrelated_background([25.0], [50.0], [7.0])
    q = _pyhf_statistic("q0", model, [80.0, *model.config.auxdata], 0.0, -5.0)
    assert np.exp(asymptotic_log_tails(q, 1.0, statistic="q0")[0]) == pytest.approx(0.00393688, abs=1e-7)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("mu_true", [-0.5, 0.0, 0.9, 2.0])
def test_distribution_of_gaussian_toys(name, mu_true):
    """The distribution function is that of 20,000 toys of a parabola, to 4 standard errors anywhere."""
    mu, sigma, n = 0.9, 0.6, 20_000
    hat = np.random.default_rng(3).normal(mu_true, sigma, n)

    def nll(at):
        return 0.5 * ((at - hat) / sigma) ** 2

    q = statistic(name, nll_zero=nll(0.0), nll_mu=nll(mu), nll_best=nll(hat), mu=mu, mu_hat=hat)
    d = _distribution(name, mu, mu_true, sigma)
    at = np.quantile(q, [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 0.999])
    expected = d.cdf(at)
    seen = np.mean(q <= at[:, None], axis=1)
    assert np.all(np.abs(seen - expected) < 4 * np.sqrt(expected * (1 - expected) / n) + 1 / n)


@pytest.mark.parametrize("name", STATISTICS)
def test_tails_density_and_quantiles_belong_together(name):
    """Tails add up to 1, the density is the slope of the distribution, quantiles invert it."""
    d = _distribution(name, 1.3, 0.4)
    q = np.array([0.01, 0.4, 2.0, 4.6, 4.8, 9.0, 30.0])
    np.testing.assert_allclose(d.cdf(q) + d.sf(q), 1.0, rtol=1e-14)
    np.testing.assert_allclose(np.log(d.sf(q)), d.log_sf(q), rtol=1e-12)
    mass = quad(d.pdf, 0.3, 9.0, points=[(1.3 / 0.6) ** 2], epsabs=1e-12)[0]
    assert mass == pytest.approx(d.cdf(9.0) - d.cdf(0.3), abs=1e-10)
    p = np.array([0.3, 0.6, 0.9, 0.999])
    reached = p > d.cdf(0.0)
    np.testing.assert_allclose(d.cdf(d.quantile(p))[reached], p[reached], rtol=1e-12)
    tail = np.array([1e-20, 1e-6, 0.05])
    np.testing.assert_allclose(d.sf(d.isf(tail)), tail, rtol=1e-9)
    assert d.quantile(1.0) == np.inf
    assert d.isf(0.0) == np.inf
    assert d.quantile(0.0) == (-np.inf if name == "simple" else 0.0)


def test_known_distributions():
    """t_mu is chi^2 of one degree of freedom at the true mu, noncentral elsewhere; q_mu half of it and half 0."""
    q = np.array([0.1, 1.0, 5.0])
    np.testing.assert_allclose(_distribution("t_mu", 1.0, 1.0).sf(q), stats.chi2.sf(q, 1), rtol=1e-13)
    np.testing.assert_allclose(_distribution("t_mu", 1.0, 0.0).sf(q), stats.ncx2.sf(q, 1, 0.6**-2), rtol=1e-9)
    np.testing.assert_allclose(_distribution("q_mu", 1.0, 1.0).sf(q), 0.5 * stats.chi2.sf(q, 1), rtol=1e-13)
    d = _distribution("simple", 1.2, 0.5)
    gauss = stats.norm((1.2**2 - 2 * 1.2 * 0.5) / 0.36, 2 * 1.2 / 0.6)
    np.testing.assert_allclose([d.pdf(q), d.sf(q)], [gauss.pdf(q), gauss.sf(q)], rtol=1e-12)
    assert _distribution("q0", 0.0, 0.0).log_sf(100.0**2) == pytest.approx(stats.norm.logsf(100.0))


def test_limits_of_the_support():
    """Below 0 nothing of all but the simple ratio; at 0 what lies on the other side."""
    d = _distribution("q_mu", 1.0, 1.0)
    assert [d.cdf(-1.0), d.sf(-1.0), d.pdf(-1.0), d.cdf(0.0), d.sf(0.0)] == [0.0, 1.0, 0.0, 0.5, 0.5]
    assert d.pdf(0.0) == np.inf
    assert d.quantile(0.4) == 0.0
    assert _distribution("simple", 1.0, 1.0).cdf(-1.0) > 0.0


@pytest.mark.parametrize("name", STATISTICS)
def test_tails_from_the_asimov_value(name):
    """p-values are the tails of both distributions with sigma from the Asimov value."""
    q_a, q = 3.1, np.array([0.2, 2.0, 3.2, 12.0])
    sigma = asimov_sigma(1.0, q_a)
    null, other = (0.0, 1.0) if name == "q0" else (1.0, 0.0)
    for found, true in zip(asymptotic_log_tails(q, q_a, statistic=name), (null, other), strict=True):
        np.testing.assert_allclose(found, AsymptoticDistribution(name, null, true, sigma).log_sf(q), rtol=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
def test_expected_band(name):
    """Expected values rise, CLb is the normal distribution function, and the median is that of Asimov data."""
    found = asymptotic_cls(1.0, 4.0, statistic=name)
    assert np.all(np.diff(found.expected_cl_s) > 0)
    np.testing.assert_allclose(found.expected_cl_b, stats.norm.cdf([-2, -1, 0, 1, 2]), rtol=1e-9)
    if not name.startswith("t_"):
        at = asymptotic_cls(4.0, 4.0, statistic=name)
        assert at.cl_s == pytest.approx(at.expected_cl_s[2])


def test_no_sensitivity():
    """With an Asimov value of 0 the hypotheses do not differ, so nothing is excluded."""
    for name in STATISTICS:
        found = asymptotic_cls(0.0, 0.0, statistic=name)
        assert found.cl_s == 1.0
        np.testing.assert_array_equal(found.expected_cl_s, 1.0)


def test_deep_tails_and_json():
    """CLs is a difference of logarithms, so it survives where both tails underflow; results travel."""
    found = asymptotic_cls(60.0**2, 10.0**2, statistic="q_mu")
    assert (found.cl_sb, found.cl_b) == (0.0, 0.0)
    assert np.log(found.cl_s) == pytest.approx(stats.norm.logsf(60) - stats.norm.logsf(50))
    again = CLs.from_json(found.to_json())
    assert again.to_dict() == found.to_dict()
    d = AsymptoticDistribution("q_mu", 1.0, 0.0, 0.5)
    assert AsymptoticDistribution.from_json(d.to_json()) == d
    assert "asymptotic" in repr(found)


def test_bad_input():
    """Names, signs and coincident hypotheses."""
    for arguments in (
        ("q", 1.0, 0.0, 1.0),
        ("q0", 1.0, 0.0, 1.0),
        ("q_mu_tilde", 0.0, 0.0, 1.0),
        ("q_mu", 1.0, 0.0, 0.0),
    ):
        with pytest.raises(InputError):
            AsymptoticDistribution(*arguments)
    with pytest.raises(InputError, match="q_asimov"):
        asimov_sigma(1.0, 0.0)
    with pytest.raises(InputError, match="Test another mu"):
        asimov_sigma(1.0, 2.0, 1.0)
    with pytest.raises(InputError, match="outside"):
        asymptotic_log_tails(-1.0, 2.0)
    with pytest.raises(InputError, match="statistic"):
        asymptotic_cls(1.0, 2.0, statistic="q")
