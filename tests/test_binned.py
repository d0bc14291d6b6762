"""The room that talks to pyhf: models, likelihoods, fits and tests against formulas and published numbers."""

import numpy as np
import pyhf
import pytest
from scipy.special import gammaln
from scipy.stats import norm, poisson

from hepstat.binned import PyhfFits, PyhfTest, log_lambda, model_of, nlls, pyhf_cls, pyhf_model
from hepstat.errors import FitError, InputError

RNG = np.random.default_rng(5)
S, B = [3.0, 5.0, 1.0], [20.0, 10.0, 4.0]


def test_published_limit():
    """One bin, s = 10, b = 50 +- 7, n = 55: CLs and its band to the digits that pyhf's default tolerance gives."""
    found = pyhf_cls(pyhf_model([10.0], [50.0], background_errors=[7.0]), [55.0], statistic="q_mu")
    assert found.cl_s == pytest.approx(0.454189, abs=5e-6)
    assert found.expected_cl_s == pytest.approx([0.063720, 0.150969, 0.327966, 0.604614, 0.866265], abs=1e-5)
    assert PyhfTest.from_json(found.to_json()).cl_sb == found.cl_sb


def test_published_discovery():
    """One bin, s = 25, b = 50 +- 7, n = 80: p0."""
    found = pyhf_cls(pyhf_model([25.0], [50.0], background_errors=[7.0]), [80.0], statistic="q0")
    assert found.cl_sb == pytest.approx(0.00393688, rel=2e-5)


def test_on_off():
    """n_on = 150, n_off = 100, tau = 1: the profile likelihood gives 3.173, Li and Ma's formula."""
    fits = nlls(pyhf_model([10.0], [100.0], background_errors=[10.0]), [150.0])
    z = np.sqrt(2 * (fits.nll_zero - fits.nll_best))
    assert z == pytest.approx(np.sqrt(2 * (150 * np.log(1.2) + 100 * np.log(0.8))), abs=1e-8)
    assert z == pytest.approx(3.173, abs=5e-5)
    assert fits.mu_hat == pytest.approx(5.0, abs=1e-4)
    assert fits.best["background_bins"] == pytest.approx([1.0], abs=1e-5)
    # at mu = 1 200 gamma - 150 log(10 + 100 gamma) - 100 log(gamma) is least at a root of a parabola
    gamma = max(np.roots([200.0, 20.0 - 250.0, -10.0]))
    assert fits.held["background_bins"] == pytest.approx([gamma], abs=1e-5)


def test_constant():
    """Less the constant, a minimum is made of what depends on parameters."""
    model = pyhf_model([3.0, 1.0], [9.0, 4.0], background_relative=0.2, background_errors=[2.0, 0.0])
    tau = 81.0 / 4.0
    fits = nlls(model, [14.0, 3.0])
    gamma, alpha = fits.best["background_bins"][0], fits.best["background_yield"][0]
    mean = fits.mu_hat * np.array([3.0, 1.0]) + np.array([9.0 * gamma, 4.0]) * 1.2**alpha
    without = (mean - [14.0, 3.0] * np.log(mean)).sum() + tau * gamma - tau * np.log(gamma) + alpha**2 / 2
    assert fits.nll_best - fits.constant == pytest.approx(without, abs=1e-9)
    full = poisson.logpmf([14, 3], mean).sum() + norm.logpdf(alpha)
    full += tau * np.log(tau * gamma) - tau * gamma - gammaln(tau + 1)
    full += -1.0  # the second bin, without uncertainty, counts as one event where one is expected
    assert fits.nll_best == pytest.approx(-full, abs=1e-9)
    again = PyhfFits.from_json(fits.to_json())
    assert again.best["background_bins"] == pytest.approx([gamma, 1.0])


def test_log_normal_yields():
    """A relative uncertainty is (1 + d)^alpha on either side."""
    model = pyhf_model(S, B, signal_relative=0.1, background_relative=0.25)
    order = model.config.par_order
    assert sorted(order) == ["background_yield", "mu", "signal_yield"]
    for alpha in (-2.5, -1.0, 0.3, 4.0):
        values = {"mu": 2.0, "signal_yield": alpha, "background_yield": -alpha}
        found = model.expected_actualdata([values[name] for name in order])
        assert found == pytest.approx(2.0 * 1.1**alpha * np.array(S) + 1.25**-alpha * np.array(B), rel=1e-12)


def test_log_lambda():
    """Many data sets at once: the formula, and pyhf's own log-density one by one."""
    model = pyhf_model(S, B)
    n = RNG.poisson(B, (50, 3))
    found = log_lambda(model, n)
    assert found == pytest.approx(n @ np.log1p(np.array(S) / B) - np.sum(S), abs=1e-10)
    single = [float(model.logpdf([1.0], row)[0] - model.logpdf([0.0], row)[0]) for row in n.astype(float)]
    assert found == pytest.approx(single, abs=1e-10)


def test_specification():
    """A model of any specification, with other interpolation if wanted."""
    shape = {"name": "tilt", "type": "histosys", "data": {"hi_data": [12.0, 8.0], "lo_data": [8.0, 12.0]}}
    signal = {"name": "s", "data": [1.0, 2.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    channel = {"name": "c", "samples": [signal, {"name": "b", "data": [10.0, 10.0], "modifiers": [shape]}]}
    model = model_of({"channels": [channel]}, histosys="code0")
    values = {"mu": 0.0, "tilt": 0.5}
    assert model.expected_actualdata([values[name] for name in model.config.par_order]) == pytest.approx([11.0, 9.0])
    with pytest.raises(InputError, match="refused"):
        model_of({"channels": []})
    with pytest.raises(InputError, match="refused"):
        model_of({"channels": [{**channel, "samples": [{**signal, "modifiers": [{**shape, "type": "odd"}]}]}]})


def test_bounds():
    """Strengths beyond pyhf's default of 10, negative ones, and bounds of one's own."""
    model = pyhf_model([0.1], [50.0])
    assert nlls(model, [55.0]).mu_hat == pytest.approx(50.0, rel=1e-4)
    assert nlls(model, [48.0]).mu_hat == pytest.approx(-20.0, rel=1e-4)
    assert nlls(model, [55.0], mu_bounds=(2.0, 30.0)).mu_hat == pytest.approx(30.0)
    negative, zero = (nlls(model, [48.0], mu_bounds=bounds).mu_hat for bounds in ((-30.0, 5.0), (0.0, 5.0)))
    assert (negative, zero) == (pytest.approx(-20.0, rel=1e-4), pytest.approx(0.0, abs=1e-9))
    with pytest.raises(InputError, match="mu_bounds"):
        pyhf_cls(model, [48.0], mu_bounds=(-2.0, -1.0))


def test_settings_of_pyhf_stay():
    """Backend and optimiser are those that were there, also after an error."""
    before = pyhf.get_backend()
    pyhf_cls(pyhf_model(S, B), [20.0, 12.0, 5.0])
    with pytest.raises(InputError):
        model_of({})
    assert pyhf.get_backend() == before


def test_no_minimum(monkeypatch):
    """Where every optimiser fails the error is ours."""

    def fail(*_, **__):
        raise pyhf.exceptions.FailedMinimization(type("result", (), {"message": "lost"}))

    monkeypatch.setattr(pyhf.infer.mle, "fit", fail)
    with pytest.raises(FitError, match="lost"):
        nlls(pyhf_model(S, B), [20.0, 12.0, 5.0])


def test_refusals():
    """Each with the argument it is about."""
    model = pyhf_model(S, B)
    norm_only = [{"name": "norm", "type": "normfactor", "data": None}]
    plain = {"channels": [{"name": "c", "samples": [{"name": "b", "data": [1.0], "modifiers": norm_only}]}]}
    for wrong in (
        lambda: pyhf_model(S, B[:2]),
        lambda: pyhf_model(S, [1.0, -1.0, 2.0]),
        lambda: pyhf_model(S, B, background_errors=[1.0]),
        lambda: pyhf_model(S, B, signal_relative=0.0),
        lambda: pyhf_model(S, B, background_relative=-1.0),
        lambda: log_lambda(model, [[1.0, 2.0]]),
        lambda: log_lambda(model, [[1.0, 2.0, -1.0]]),
        lambda: log_lambda(pyhf_model(S, B, signal_relative=0.1), [[1.0, 2.0, 3.0]]),
        lambda: nlls(model, [1.0, 2.0]),
        lambda: nlls(model, [1.0, 2.0, -3.0]),
        lambda: pyhf_cls(model, [1.0, 2.0, 3.0], statistic="t_mu"),
        lambda: pyhf_cls(model, [1.0, 2.0, 3.0], 2.0, statistic="q0"),
        lambda: model_of(plain),
        lambda: nlls(pyhf.Model(plain, poi_name=""), [1.0]),
    ):
        with pytest.raises(InputError):
            wrong()


@pytest.mark.parametrize("scale", [1e-4, 1e3, 1e4, 1e6])
def test_scales(scale: float) -> None:
    """A signal so many times as large is the same test of a strength as many times smaller."""
    unit, other = (pyhf_model([10.0 * s], [50.0], background_errors=[7.0]) for s in (1.0, scale))
    first, second = nlls(unit, [58.0]), nlls(other, [58.0], 1.0 / scale)
    assert second.mu_hat * scale == pytest.approx(first.mu_hat, abs=0.02)
    assert second.nll_best == pytest.approx(first.nll_best, abs=1e-3)
    assert pyhf_cls(other, [58.0], 1.0 / scale).cl_s == pytest.approx(pyhf_cls(unit, [58.0]).cl_s, abs=1e-3)
