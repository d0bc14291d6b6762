"""Gradients of the binned likelihood alone, and what else the fits of toys at many places are built of."""

import naive_fit as naive
import numpy as np
import pytest
from fit_families import FAMILIES, spectrum_of

from hepstat.fit.compiled import Compiled, compile_spectrum
from hepstat.kernels import binned
from hepstat.kernels.model import ORDER, Model
from hepstat.shapes import Exponential
from hepstat.types import Floats

LIMITS = (132.0, 168.0)
EDGES = np.linspace(*LIMITS, 37)


def first_order(compiled: Compiled) -> Model:
    """Return the model without derivatives of second order."""
    table = compiled.model.table.copy()
    table[:, ORDER] = np.minimum(table[:, ORDER], 1)
    return compiled.model._replace(table=table)


def contents_at(compiled: Compiled, edges: Floats, theta: Floats) -> Floats:
    """Return what the spectrum itself expects at these coordinates of the kernels."""
    user = theta[None, :].copy()
    compiled.transform_back(user, np.empty((0, theta.size, theta.size)))
    spectrum = compiled.spectrum
    return spectrum.expected(edges, dict(zip(spectrum.names, user[0].tolist(), strict=True)))


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients(name: str) -> None:
    """Slopes are the gradient of the full likelihood, the Jacobian that of the contents, for any counts and scale."""
    random = np.random.default_rng(4)
    spectrum, edges = spectrum_of(name, signal=True, n_signal=150.0).release("signal_sigma"), FAMILIES[name].edges
    compiled = compile_spectrum(spectrum, edges)
    model, n, bins = first_order(compiled), len(spectrum.names), edges.size - 1
    theta = compiled.coordinates(compiled.starting_point({}))[0]
    theta *= 1.0 + 0.01 * random.standard_normal(n)
    counts = random.poisson(spectrum.expected(edges)).astype(float)
    scale = random.uniform(0.2, 3.0, bins)
    scale[3] = counts[7] = 0.0
    work, full_work = binned.allocate_binned(model), binned.allocate_binned(compiled.model)
    slopes, gradient, matrices = np.full(n, np.nan), np.empty(n), np.empty((2, n, n))
    binned.binned_value(compiled.model, theta, counts, scale, binned.NOTHING, full_work, gradient, *matrices)
    size = np.abs(gradient).max()
    for known in (binned.NOTHING, binned.FIXED_SHAPES, binned.ALL_SHAPES):
        assert binned.binned_slopes(model, theta, counts, scale, known, work, slopes)
        np.testing.assert_allclose(slopes, gradient, rtol=1e-9, atol=1e-11 * size)
    contents, jacobian = np.empty(bins), np.empty((n, bins))
    assert binned.binned_jacobian(model, theta, contents, jacobian)
    np.testing.assert_allclose(contents, contents_at(compiled, edges, theta), rtol=1e-9)
    np.testing.assert_array_equal(contents, work.contents)
    np.testing.assert_allclose(jacobian @ (scale * (1.0 - counts / contents)), gradient, rtol=1e-9, atol=1e-9 * size)
    for i, row in enumerate(jacobian):
        step = 1e-4 * max(1.0, abs(theta[i]), 1e-3 * contents.sum() / max(np.abs(row).max(), 1e-300))
        at = [contents_at(compiled, edges, theta + k * step * (np.arange(n) == i)) for k in (-2, -1, 1, 2)]
        numerical = (at[0] - 8.0 * at[1] + 8.0 * at[2] - at[3]) / (12.0 * step)
        np.testing.assert_allclose(row, numerical, rtol=1e-5, atol=1e-5 * np.abs(row).max() + 1e-12)


def test_value_of_contents() -> None:
    """Half the deviance, with empty bins, bins left out, and any scale."""
    spectrum = spectrum_of("exponential", signal=True, n_signal=30.0, n_background=60.0)
    counts = np.random.default_rng(2).poisson(spectrum.expected(EDGES)).astype(float)
    assert (counts == 0).any()
    scale = np.linspace(0.0, 2.0, 36)
    found = binned.contents_value(counts, scale, spectrum.expected(EDGES))
    assert found == pytest.approx(naive.binned_nll(spectrum, EDGES, counts, {}, scale), rel=1e-7)


def test_slopes_refuse_impossible_contents() -> None:
    """Negative ones anywhere, none where there are counts; bins left out may expect what they will."""
    spectrum = spectrum_of("exponential", signal=True, n_signal=-2e4)
    compiled = compile_spectrum(spectrum, EDGES)
    model, theta = first_order(compiled), compiled.coordinates(compiled.starting_point({}))[0]
    work, gradient, counts, scale = binned.allocate_binned(model), np.empty(len(theta)), np.ones(36), np.ones(36)
    assert not binned.binned_slopes(model, theta, counts, scale, binned.NOTHING, work, gradient)
    negative = work.contents < 0
    assert negative.any()
    assert not binned.binned_slopes(model, theta, 0 * counts, scale, binned.NOTHING, work, gradient)
    assert binned.binned_slopes(model, theta, counts, np.where(negative, 0.0, 1.0), binned.NOTHING, work, gradient)
    assert np.isfinite(gradient).all()
    theta[:2] = 0.0
    assert not binned.binned_slopes(model, theta, counts, scale, binned.NOTHING, work, gradient)
    assert binned.binned_slopes(model, theta, 0 * counts, scale, binned.NOTHING, work, gradient)


def test_a_held_plane_is_a_signal() -> None:
    """Contents become those of the template times the yield."""
    compiled = compile_spectrum(spectrum_of("exponential", signal=True, n_signal=100.0, n_background=0.0), EDGES)
    model, theta = first_order(compiled), compiled.coordinates(compiled.starting_point({}))[0]
    work, gradient = binned.allocate_binned(model), np.empty(len(theta))
    counts, template = np.ones(36), np.linspace(0.0, 2.0, 36) / 36
    binned.binned_slopes(model, theta, counts, counts, binned.NOTHING, work, gradient)
    binned.hold_plane(work, 0, template)
    theta[1] = 5.0
    binned.binned_slopes(model, theta, counts, counts, binned.FIXED_SHAPES, work, gradient)
    slope = naive.integral(Exponential(-0.02), {"slope": -0.02}, EDGES, LIMITS)
    np.testing.assert_allclose(work.contents, 100.0 * template + 5.0 * slope / slope.sum(), rtol=1e-9)
    assert gradient[0] == pytest.approx(template @ (1.0 - 1.0 / work.contents), rel=1e-9)
