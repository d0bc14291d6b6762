"""The likelihood of the learning machine and its maximisation against plain numpy: values, slopes, matrices, steps."""

import naive_nplm as naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.kernels.nplm.maximise import loss_at
from hepstat.kernels.nplm.nuisances import GAUSSIAN, NUMBERS, Nuisances
from hepstat.learn import Network
from hepstat.nplm.effects import Normalisation
from hepstat.nplm.likelihood import Likelihood, Sample, join
from hepstat.nplm.machine import NewPhysicsTest
from hepstat.nplm.maximise import Adam, profile, train
from hepstat.nplm.nuisances import Gaussian

MEASURED, SIGMAS = np.array([0.1, -0.2]), np.array([0.15, 0.1])
SCALES = np.array([1.0, 0.5])
EXPONENTS = np.array([[1, 0], [0, 1], [0, 2], [1, 1]])
MATRIX = np.array([[1.0, 0.0, 0.0, 0.3], [0.0, 0.5, 0.2, 0.0], [0.0, 0.0, -0.1, 0.0]])
NO_MATRIX, NO_EXPONENTS = np.zeros((0, 0)), np.zeros((0, 0), dtype=np.int64)


def planes(x):
    """Return 1, the first feature, and its sine (n, 3)."""
    return np.stack([np.ones(len(x)), x[:, 0], np.sin(x[:, 0])], axis=1)


def log_r(x, nu):
    """Return the effect of two nuisances that MATRIX and EXPONENTS describe (n,)."""
    a, b = nu[0], nu[1] / 0.5
    return a + 0.3 * a * b + x[:, 0] * (0.5 * b + 0.2 * b * b) - 0.1 * np.sin(x[:, 0]) * b * b


def machine_of(hidden, d=1, *, nuisances=False, n=700, expected=200.0, seed=1):
    """Return a machine with exponential reference of n events and data with a bump."""
    rng = np.random.default_rng(seed)
    reference, weights = rng.exponential(size=(n, d)), rng.uniform(0.5, 1.5, n)
    data = np.concatenate(
        [rng.exponential(size=(rng.poisson(expected), d)), rng.normal(3, 0.2, (int(expected / 20), d))]
    )
    machine = naive.Machine((d, *hidden, 1), "sigmoid", data, reference, weights * expected / weights.sum())
    return machine._replace(n_nu=2, log_r=log_r, log_a=naive.gaussians(MEASURED, SIGMAS)) if nuisances else machine


def likelihood_of(machine, limits, dtype="float64"):
    """Return our likelihood of a machine, with the same limits for all parameters and none for nuisances."""
    hidden, d = tuple(machine.widths[1:-1]), machine.widths[0]
    network = Network(d, hidden, activation="sigmoid", dtype=dtype)
    samples = [
        Sample(x, planes(x) if machine.n_nu else np.empty((len(x), 0)), w, n)
        for x, w, n in (
            (machine.reference, machine.weights, np.zeros(len(machine.reference))),
            (machine.data, np.zeros(len(machine.data)), np.ones(len(machine.data))),
        )
    ]
    numbers = np.zeros((machine.n_nu, NUMBERS))
    if machine.n_nu:
        numbers[:, :4] = np.stack([MEASURED, SIGMAS, [-np.inf] * 2, [np.inf] * 2], axis=1)
    matrix, exponents = (MATRIX, EXPONENTS) if machine.n_nu else (NO_MATRIX, NO_EXPONENTS)
    kinds = np.full(machine.n_nu, GAUSSIAN)
    nuisances = Nuisances(matrix, exponents, SCALES[: machine.n_nu], kinds, numbers, np.empty((0, 2)))
    bound = np.concatenate([np.full(network.n_weights, limits), np.full(machine.n_nu, np.inf)])
    return Likelihood(network, join(samples, dtype), nuisances, -bound, bound)


def points(machine, n, size=1.0, seed=2):
    """Return some points (n, P + n_nu)."""
    rng = np.random.default_rng(seed)
    return np.hstack([size * rng.normal(size=(n, machine.n_theta)), 0.3 * rng.normal(size=(n, machine.n_nu))])


CASES = [((4,), 1, False), ((4,), 1, True), ((5, 5, 5), 5, True), ((3, 2), 2, True)]


@pytest.mark.kernels
@pytest.mark.parametrize(("hidden", "d", "nuisances"), CASES)
def test_derivatives(hidden, d, nuisances):
    """Value, gradient, Gauss-Newton part, and what is left of the Hessian by nuisances."""
    machine = machine_of(hidden, d, nuisances=nuisances)
    likelihood = likelihood_of(machine, np.inf)
    b = likelihood.buffers(matrix=True)
    for phi in points(machine, 2):
        found, matrix = b.gradient, np.zeros((phi.size, phi.size))
        value = loss_at(likelihood.problem, phi, b.coefficients, b.work, b.totals, found, matrix)
        assert value == pytest.approx(naive.loss(machine, phi), rel=1e-12)
        expected = naive.gradient(machine, phi)
        assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())
        products = naive.gauss_newton(machine, phi)
        if nuisances:
            products[-2:, -2:] = naive.hessian_rows(machine, phi, 2)[:, -2:]
            assert_allclose(
                matrix[-2:, -2:], np.tril(products[-2:, -2:]), rtol=1e-6, atol=1e-6 * np.abs(products[-2:, -2:]).max()
            )
            products[-2:, -2:] = matrix[-2:, -2:]
        assert_allclose(matrix, np.tril(products), rtol=1e-9, atol=1e-10 * np.abs(products).max())


@pytest.mark.kernels
def test_delta():
    """Newton's minimum over nuisances is that of BFGS; without nuisances Delta is 0."""
    machine = machine_of((4,), nuisances=True)
    expected, nu = naive.delta(machine)
    found = profile(likelihood_of(machine, 9.0))
    assert -2 * found.loss == pytest.approx(expected, abs=1e-8)
    assert_allclose(found.phi, nu, atol=1e-5)
    assert profile(likelihood_of(machine_of((4,)), 9.0)).loss == 0


@pytest.mark.parametrize("nuisances", [False, True])
def test_adam(nuisances):
    """Steps of the published training, clipped on the way, with any number of threads."""
    machine = machine_of((4,), nuisances=nuisances)
    start = points(machine, 1, 0.5)[0]
    for clip, epochs in ((np.inf, 150), (0.6, 150)):
        likelihood = likelihood_of(machine, clip)
        end, losses = naive.adam(machine, start, epochs, lower=likelihood.lower, upper=likelihood.upper, rate=5e-3)
        method = Adam(epochs=epochs, rate=5e-3, history=1)
        found = train(likelihood, method, start)
        assert_allclose(found.phi, end, rtol=1e-9, atol=1e-10)
        assert_allclose(found.losses[:-1], losses, rtol=1e-9, atol=1e-9)
        assert (np.abs(end[: machine.n_theta]).max() == clip) == (clip == 0.6)
        assert found.loss == pytest.approx(naive.loss(machine, end), abs=1e-9)
    large = likelihood_of(machine_of((4,), nuisances=nuisances, n=40_000), 9.0)
    ends = [train(large, Adam(epochs=5, history=0), start, workers=workers).phi for workers in (1, 2)]
    assert_array_equal(*ends)


@pytest.mark.parametrize("nuisances", [False, True])
def test_training_on_nodes(nuisances):
    """A training on nodes that stand for the events of one feature ends where that on all events does."""
    rng = np.random.default_rng(3)
    known = {"nuisances": [Gaussian("norm", 0.1)], "effects": [Normalisation("norm")]} if nuisances else {}
    method = Adam(epochs=1000, history=0)
    test = NewPhysicsTest(rng.exponential(size=20_000), expected=500, clip=9.0, method=method, **known)
    data = rng.exponential(size=480)
    start = test.network.initial(1)
    expected = test.run(data, start=start)
    found = test.replace(method=Adam(epochs=1000, history=0, compress=1e-8)).run(data, start=start)
    assert found.t == pytest.approx(expected.t, abs=1e-8)
    assert abs(found.shift) < 1e-8
    assert_allclose(found.model.theta, expected.model.theta, atol=1e-9)
