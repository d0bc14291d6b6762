"""The Laplace approximation: derivatives, known covariances, evidence, and what repeated samples say."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar
from scipy.special import expit

from hepstat.errors import InputError
from hepstat.kernels.activations import ACTIVATIONS
from hepstat.kernels.batch import Events
from hepstat.learn import (
    Adam,
    BinaryCrossEntropy,
    Cosine,
    Hinge,
    LinearRatio,
    LovaszZ,
    MaximumLikelihoodRatio,
    Model,
    Network,
    SquaredError,
    minimise,
    train,
)
from hepstat.learn.buffers import NO_KEY
from hepstat.learn.gradient import BatchGradient
from hepstat.uncertainty import Laplace, laplace, precision
from hepstat.uncertainty.jacobian import jacobian, last_layer

RNG = np.random.default_rng(5)
N = 400
X = np.concatenate([RNG.normal(0.7, 1.0, (N, 2)), RNG.normal(-0.3, 1.2, (N, 2))])
Y = np.repeat([1.0, 0.0], N)
LINEAR = Network(2, (), dtype="float64")
SMALL = Network(2, (4,), activation="tanh", dtype="float64")


def random_model(hidden, activation, seed=1):
    """Return a model with random weights and biases, shifts and scales."""
    network = Network(2, hidden, activation=activation, dtype="float64")
    theta = np.random.default_rng(seed).normal(0, 0.7, network.n_weights)
    return Model(network, theta, np.array([0.2, -0.1]), np.array([1.5, 0.7]))


def fitted(loss, w=None, network=LINEAR):
    """Return a model at the minimum of the loss."""
    return minimise(network, (X, Y) if w is None else (X, Y, w), loss, rng=1).model


def design(model):
    """Return standardised features and 1, (n, 3)."""
    return np.column_stack([(X - model.mean) / model.scale, np.ones(len(X))])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(3,), (4, 3, 2)])
def test_derivatives_of_every_activation(hidden, activation):
    """Those of single scores by each parameter are the numerical ones; those of the output are the last of them."""
    model, x, step = random_model(hidden, activation), X[::80], 1e-6
    inputs = model.inputs(x)
    numerical = []
    for i in range(model.theta.size):
        shift = step * (np.arange(model.theta.size) == i)
        up, down = (replace(model, theta=model.theta + sign * shift) for sign in (1, -1))
        numerical.append((up(x) - down(x)) / (2 * step))
    derivatives = jacobian(model, inputs)
    assert_allclose(derivatives, np.transpose(numerical), atol=1e-8)
    assert_allclose(last_layer(model, inputs), derivatives[:, -hidden[-1] - 1 :])


def test_summed_gradient_is_that_of_training():
    """Slopes of the loss times derivatives of scores add up to what the kernels give."""
    model, loss, w = random_model((4, 3), "elu"), BinaryCrossEntropy(), RNG.random(2 * N)
    events, gradient = Events(model.inputs(X), Y, w), np.zeros(model.theta.size)
    batch = BatchGradient(model.network, events, loss, 2 * N)
    batch(np.array(model.theta), np.arange(2 * N), np.ones(2 * N), loss.final_constants, NO_KEY, 0, gradient)
    assert_allclose(loss(model(X), Y, w)[1] @ jacobian(model, model.inputs(X)), gradient, rtol=1e-9)


def test_logistic_regression():
    """The covariance is (X^T W X + prior)^-1, and the variance of a score x C x."""
    model = fitted(BinaryCrossEntropy())
    result, a = laplace(model, (X, Y), BinaryCrossEntropy(), prior_precision=0.5), design(model)
    p = expit(model(X))
    expected = np.linalg.inv((a * (p * (1 - p))[:, np.newaxis]).T @ a + 0.5 * np.eye(3))
    assert_allclose(result.covariance, expected, rtol=1e-6)
    assert_allclose(result.variance(X), np.einsum("ni,ij,nj->n", a, expected, a), rtol=1e-6)
    assert result.variance(np.empty((0, 2))).shape == (0,)
    assert "3 parameters" in repr(result)


def test_linear_regression():
    """Squared error: the textbook covariance with the estimated variance of the labels."""
    model = fitted(SquaredError())
    result, a = laplace(model, (X, Y), SquaredError(), prior_precision=1e-9), design(model)
    noise = np.mean((model(X) - Y) ** 2)
    assert result.noise_variance == pytest.approx(noise)
    assert_allclose(result.covariance, noise * np.linalg.inv(a.T @ a), rtol=1e-5, atol=1e-12)


def test_likelihood_ratio_keeps_its_weights():
    """The loss that is a log likelihood is not scaled: curvature w e^f of the reference alone."""
    w = np.where(Y == 1, 1.0, 0.25)
    model = fitted(MaximumLikelihoodRatio(), w)
    result, a = laplace(model, (X, Y, w), MaximumLikelihoodRatio(), prior_precision=1.0), design(model)
    curvature = np.where(Y == 1, 0.0, w * np.exp(model(X)))
    assert_allclose(result.covariance, np.linalg.inv((a * curvature[:, np.newaxis]).T @ a + np.eye(3)), rtol=1e-5)


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), LinearRatio()], ids=["cross-entropy", "linear ratio"])
def test_sandwich_is_the_variance_over_samples(loss):
    """Linear models on weighted bootstrap samples: 120 know a standard deviation to 6.5%, four of them allowed."""
    w = np.where(Y == 1, 1.0, RNG.exponential(1.0, 2 * N))
    model = fitted(loss, w)
    result = laplace(model, (X, Y, w), loss, prior_precision=1e-6, covariance="sandwich")
    drawn = []
    for _ in range(120):
        counts = np.concatenate([RNG.multinomial(N, np.full(N, 1 / N)) for _ in range(2)])
        drawn.append(minimise(model, (X, Y, w * counts), loss, rng=1).model(X[::100]))
    ratio = np.std(drawn, axis=0) / np.sqrt(result.variance(X[::100]))
    assert_allclose(ratio, 1.0, atol=0.26)


def test_evidence_is_largest_at_the_chosen_prior():
    """The root of MacKay's equation is what a search finds."""
    model = fitted(BinaryCrossEntropy(), network=SMALL)
    best = laplace(model, (X, Y), BinaryCrossEntropy())

    def minus_evidence(log_a):
        return -laplace(model, (X, Y), BinaryCrossEntropy(), prior_precision=float(np.exp(log_a))).log_evidence

    found = minimize_scalar(minus_evidence, bounds=(-12, 6), method="bounded")
    assert found.x == pytest.approx(np.log(best.prior_precision), abs=1e-3)
    assert -found.fun == pytest.approx(best.log_evidence)
    assert best.prior_precision * float(model.theta @ model.theta) == pytest.approx(best.n_effective, rel=1e-6)


def test_draws_have_the_variance():
    """4000 draws: standard deviations to 1.1%, means to 1.6% of them; four of these allowed."""
    model = fitted(BinaryCrossEntropy(), network=SMALL)
    for layers in ("all", "last"):
        result = laplace(model, (X, Y), BinaryCrossEntropy(), layers=layers)
        draws, sigma = result.sample_scores(X[::200], 4000, rng=3), np.sqrt(result.variance(X[::200]))
        assert_allclose(draws.std(axis=0) / sigma, 1.0, atol=0.045)
        assert_allclose((draws.mean(axis=0) - model(X[::200])) / sigma, 0.0, atol=0.065)


def test_order_of_magnitude_of_a_bootstrap_ensemble():
    """A small network: the rms over events agrees with that of 10 trainings on bootstrap samples within a factor 2."""
    at = np.random.default_rng(8).normal(0.2, 1.0, (200, 2))
    options = {"epochs": 100, "optimiser": Adam(rate=0.02, schedule=Cosine())}
    found = precision(
        SMALL, (X, Y), BinaryCrossEntropy(), rng=1, n=10, kinds=("bootstrap",), evaluate_at=at, workers=2, **options
    )
    model = train(SMALL, (X, Y), BinaryCrossEntropy(), rng=1, **options).model
    rms = np.sqrt(laplace(model, (X, Y), BinaryCrossEntropy()).variance(at).mean())
    assert 0.5 < rms / found.rms["bootstrap"] < 2.0


def test_last_layer_of_a_large_network():
    """Too many parameters are refused with the remedy; the last layer works."""
    model = Network(2, (64, 64), activation="tanh", dtype="float64").initial(1)
    with pytest.raises(InputError, match="layers='last'"):
        laplace(model, (X, Y), BinaryCrossEntropy())
    result = laplace(model, (X, Y), BinaryCrossEntropy(), layers="last")
    assert isinstance(result, Laplace)
    assert result.root.shape == (65, 65)
    assert (result.variance(X) > 0).all()


def test_bad_input():
    """Every refusal names its argument."""
    model = random_model((), "identity")
    for argument, error in (
        ({"loss": LovaszZ(0.5)}, "loss"),
        ({"layers": "first"}, "layers"),
        ({"covariance": "full"}, "covariance"),
        ({"prior_precision": -1.0}, "prior_precision"),
    ):
        options = {"loss": BinaryCrossEntropy(), **argument}
        with pytest.raises(InputError, match=rf"^{error}"):
            laplace(model, (X, Y), **options)
    with pytest.raises(InputError, match=r"^model: has 2 outputs"):
        laplace(Network(2, (), n_outputs=2).initial(1), (X, Y), BinaryCrossEntropy())
    with pytest.raises(InputError, match=r"^data: determine no parameter"):
        laplace(model, (X, Y), Hinge())
    with pytest.raises(InputError, match=r"^data: leave 0 as variance"):
        laplace(model, (X, model(X)), SquaredError())
    with pytest.raises(InputError, match=r"^model: has all parameters at 0"):
        laplace(Model(LINEAR, np.zeros(3)), (X, Y), BinaryCrossEntropy())


def test_parameters_of_a_hypothesis():
    """They are inputs as any other: the same answer as with a feature more."""
    mass = RNG.normal(size=(2 * N, 1))
    theta = np.random.default_rng(1).normal(0, 0.5, Network(3, (3,), activation="elu").n_weights)
    one = Model(Network(2, (3,), activation="elu", dtype="float64", n_parameters=1), theta)
    two = Model(Network(3, (3,), activation="elu", dtype="float64"), theta)
    first = laplace(one, (X, Y), BinaryCrossEntropy(), parameters=mass)
    second = laplace(two, (np.hstack([X, mass]), Y), BinaryCrossEntropy())
    assert_allclose(first.variance(X, mass), second.variance(np.hstack([X, mass])))
    assert_allclose(first.sample_scores(X, 2, 1, mass), second.sample_scores(np.hstack([X, mass]), 2, 1))
