"""Test statistics from minima: against a parabola, and against pyhf on the same fits."""

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.infer import STATISTICS, q0, q_mu, q_mu_tilde, simple_ratio, statistic, t_mu, t_mu_tilde

SIGMA = 0.7
MU_HAT = np.array([-1.0, -0.1, 0.0, 0.4, 1.2, 3.0])


def _nll(mu):
    """Parabola of Wald's approximation around every best fit."""
    return 5.0 + 0.5 * ((mu - MU_HAT) / SIGMA) ** 2


def _minima(mu):
    return {"nll_zero": _nll(0.0), "nll_mu": _nll(mu), "nll_best": _nll(MU_HAT), "mu": mu, "mu_hat": MU_HAT}


def test_formulae_of_a_parabola():
    """Eqs. 8, 11, 12, 14 and 16 on a parabola, and eq. 73 for the ratio of two fixed hypotheses."""
    mu, m = 1.2, _minima(1.2)
    t = ((mu - MU_HAT) / SIGMA) ** 2
    bounded = np.where(MU_HAT < 0, (mu**2 - 2 * mu * MU_HAT) / SIGMA**2, t)
    expected = {
        "q0": np.where(MU_HAT > 0, (MU_HAT / SIGMA) ** 2, 0.0),
        "q_mu": np.where(mu < MU_HAT, 0.0, t),
        "q_mu_tilde": np.where(mu < MU_HAT, 0.0, bounded),
        "t_mu": t,
        "t_mu_tilde": bounded,
        "simple": (mu**2 - 2 * mu * MU_HAT) / SIGMA**2,
    }
    assert set(expected) == set(STATISTICS)
    for name, values in expected.items():
        np.testing.assert_allclose(statistic(name, **m), values, atol=1e-12, err_msg=name)


def test_names_are_the_functions():
    """The function by name gives what the single functions give."""
    m = _minima(0.5)
    zero, fixed, best, mu, hat = m["nll_zero"], m["nll_mu"], m["nll_best"], 0.5, MU_HAT
    pairs = {
        "q0": q0(zero, best, hat),
        "q_mu": q_mu(fixed, best, mu, hat),
        "q_mu_tilde": q_mu_tilde(fixed, best, zero, mu, hat),
        "t_mu": t_mu(fixed, best),
        "t_mu_tilde": t_mu_tilde(fixed, best, zero, hat),
        "simple": simple_ratio(fixed, zero),
    }
    for name, values in pairs.items():
        np.testing.assert_array_equal(statistic(name, **m), values)


def test_broadcasting():
    """Several signal strengths against several data sets; scalars give float."""
    mu = np.array([[0.5], [1.0]])
    values = q_mu_tilde(_nll(mu), _nll(MU_HAT), _nll(0.0), mu, MU_HAT)
    assert values.shape == (2, 6)
    np.testing.assert_array_equal(values[1], statistic("q_mu_tilde", **_minima(1.0)))
    assert type(q_mu(1.0, 0.5, 1.0, 0.2)) is float
    assert q_mu(1.0, 0.5, 1.0, 0.2) == 1.0


def test_within_the_tolerance_is_zero():
    """A best fit a hair above the fixed one counts as equal; more than the tolerance is refused."""
    assert t_mu(1.0, 1.0 + 4e-4) == 0.0
    for function in (lambda: t_mu(1.0, 1.1), lambda: q_mu(1.0, 1.1, 1.0, 0.5), lambda: q0(1.0, 1.1, 0.5)):
        with pytest.raises(InputError, match="missed its minimum"):
            function()
    assert t_mu(1.0, 1.1, tolerance=0.3) == 0.0
    with pytest.raises(InputError, match="lies above nll_zero"):
        t_mu_tilde(2.0, 1.5, 1.0, -0.1)


def test_bad_input():
    """Unknown names, missing minima and NaN are refused."""
    with pytest.raises(InputError, match="Choose from"):
        statistic("q", nll_mu=1.0)
    with pytest.raises(InputError, match="nll_best: is missing"):
        statistic("t_mu", nll_mu=1.0)
    with pytest.raises(InputError, match="nll_mu"):
        t_mu(np.nan, 1.0)
    with pytest.raises(InputError, match="nll_null"):
        simple_ratio([1.0, np.inf], 1.0)
