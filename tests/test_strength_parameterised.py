"""Fits of parameters of the densities, with models made anew at every step."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from hepstat.errors import InputError
from hepstat.strength import Binned, Component, Model, ParameterisedFit, fit, fit_parameterised


def model_at(p: Any) -> Model:
    """Ten bins, a Gaussian signal at p on a flat background."""
    shape = np.exp(-0.5 * ((np.arange(10) - p[0]) / 1.5) ** 2)
    signal = Component("s", 50 * shape / shape.sum(), signal=True)
    return Model(Binned([signal, Component("b", np.full(10, 20.0))]))


DATA = model_at([4.3]).expected(model_at([4.3]).theta(1.0)).sum(axis=1)


@pytest.mark.parametrize("bounds", [None, [(2.0, 7.0)]])
def test_expected_data(bounds: Any) -> None:
    """Without fluctuations the truth is the minimum."""
    found = fit_parameterised(model_at, DATA, [5.0], bounds=bounds)
    assert found.parameters == pytest.approx([4.3], abs=5e-3)
    assert found.mu == pytest.approx(1.0, abs=5e-3)
    assert found.nll == pytest.approx(fit(model_at([4.3]), DATA).nll, abs=1e-5)
    assert found.to_json() == ParameterisedFit.from_json(found.to_json()).to_json()


@pytest.mark.parametrize("mu", [None, 0.6])
def test_penalty_and_held_strength(mu: float | None) -> None:
    """The minimum is that of a search in one dimension, with a measurement of the parameter and with mu held."""

    def penalty(p: Any) -> float:
        return float(0.5 * ((p[0] - 5.0) / 0.2) ** 2)

    def value(p: float) -> float:
        return fit(model_at([p]), DATA, mu=mu).nll + penalty([p])

    best = minimize_scalar(value, bounds=(3.0, 6.0), method="bounded", options={"xatol": 1e-8})
    found = fit_parameterised(model_at, DATA, [5.0], penalty=penalty, mu=mu)
    assert found.parameters == pytest.approx([best.x], abs=2e-3)
    assert found.nll == pytest.approx(best.fun, abs=1e-5)
    assert mu is None or found.mu == mu


def test_bad_input() -> None:
    """Bounds that do not fit are named; a start at 0 is one."""
    with pytest.raises(InputError, match="bounds"):
        fit_parameterised(model_at, DATA, [5.0], bounds=[(0, 1), (0, 1)])
    assert fit_parameterised(lambda p: model_at([p[0] + 4.0]), DATA, [0.0]).parameters == pytest.approx([0.3], abs=5e-3)
