"""Optimisers against the published rules, written out in numpy; schedules, limits and penalties by value."""

import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.kernels import optimise
from hepstat.learn.optimisers import SGD, Adam, AdamW, Constant, Cosine, Optimiser, RAdam, RMSprop, Step, Warmup

pytestmark = pytest.mark.kernels

START = np.array([1.0, -2.0, 0.5, 3.0, -0.25])
GRADIENTS = np.array([START * math.cos(t) + math.sin(t) for t in range(12)])


def plain_sgd(theta, gradients, rate=0.1, decay=0.01):
    """Descend without memory."""
    for g in gradients:
        theta = theta - rate * (g + decay * theta)
    return theta


def heavy_ball(theta, gradients, rate=0.1, mu=0.8, decay=0.01):
    """Descend with momentum, Sutskever et al. eqs. (1) and (2), with the learning rate outside of the velocity."""
    v = np.zeros_like(theta)
    for g in gradients:
        v = mu * v - (g + decay * theta)
        theta = theta + rate * v
    return theta


def sutskever(theta, gradients, rate=0.1, mu=0.8):
    """Descend by Nesterov's rule, eqs. (3) and (4), with the velocity in steps; gradients belong to theta + mu v."""
    ahead, v = theta, np.zeros_like(theta)
    for g in gradients:
        position = ahead - mu * v
        v = mu * v - rate * g
        ahead = position + v + mu * v
    return ahead


def kingma(theta, gradients, rate=0.1, b1=0.8, b2=0.95, eps=1e-3, decay=0.01):
    """Adam, algorithm 1, with the decay in the gradient."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, gradient in enumerate(gradients, 1):
        g = gradient + decay * theta
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        theta = theta - rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return theta


def loshchilov(theta, gradients, rate=0.1, b1=0.8, b2=0.95, eps=1e-3, decay=0.1):
    """AdamW, algorithm 2, where the decay is multiplied by the rate too, as in torch."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        theta = theta - rate * ((m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps) + decay * theta)
    return theta


def liu(theta, gradients, rate=0.1, b1=0.8, b2=0.95, eps=1e-3, threshold=5):
    """RAdam, algorithm 2, with eps beside the root and the threshold of the authors' program."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    longest = 2 / (1 - b2) - 1
    for t, g in enumerate(gradients, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        mean, rho = m / (1 - b1**t), longest - 2 * t * b2**t / (1 - b2**t)
        if rho > threshold:
            r = math.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
            theta = theta - rate * r * mean * math.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
        else:
            theta = theta - rate * mean
    return theta


def hinton(theta, gradients, rate=0.1, alpha=0.9, eps=1e-3, mu=0.5, decay=0.01):
    """RMSprop with momentum, as in torch."""
    square, v = np.zeros_like(theta), np.zeros_like(theta)
    for gradient in gradients:
        g = gradient + decay * theta
        square = alpha * square + (1 - alpha) * g**2
        v = mu * v + g / (np.sqrt(square) + eps)
        theta = theta - rate * v
    return theta


BETAS = {"beta1": 0.8, "beta2": 0.95, "eps": 1e-3}
RULES = {
    "sgd": (SGD(0.1, weight_decay=0.01), plain_sgd),
    "momentum": (SGD(0.1, 0.8, weight_decay=0.01), heavy_ball),
    "nesterov": (SGD(0.1, 0.8, nesterov=True), sutskever),
    "adam": (Adam(0.1, **BETAS, weight_decay=0.01), kingma),
    "adamw": (AdamW(0.1, **BETAS, weight_decay=0.1), loshchilov),
    "radam": (RAdam(0.1, **BETAS), liu),
    "rmsprop": (RMSprop(0.1, 0.9, 1e-3, 0.5, weight_decay=0.01), hinton),
}


def descend(optimiser, gradients, start=START, dtype=np.float64):
    """Return the parameters after steps with these gradients, which are arrays or functions of the parameters."""
    theta = start.astype(dtype)
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    rates = optimiser.rates(len(gradients), 1)
    for step, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        gradient = np.asarray(g(theta) if callable(g) else g, dtype=dtype)
        optimise.update(optimiser.code, optimiser.hyper, step, float(rate), theta, gradient, first, second)
    return theta


@pytest.mark.parametrize("n", [1, 3, 12])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-6)])
@pytest.mark.parametrize("name", RULES)
def test_published_rules(name, dtype, tolerance, n):
    """One, three and twelve steps are those of the rule as published."""
    optimiser, rule = RULES[name]
    theta = descend(optimiser, GRADIENTS[:n], dtype=dtype)
    assert theta.dtype == dtype
    assert_allclose(theta, rule(START, GRADIENTS[:n]), rtol=tolerance, atol=tolerance)


def test_three_steps_by_hand():
    """A gradient of one: momentum 1/2 sums to 1, 1.5, 1.75, Nesterov looks ahead, Adam steps by its rate."""
    ones = np.ones((3, 1))
    zero = np.zeros(1)
    assert_allclose(descend(SGD(0.1), ones, zero), -0.3)
    assert_allclose(descend(SGD(0.1, 0.5), ones, zero), -0.1 * (1 + 1.5 + 1.75))
    assert_allclose(descend(SGD(0.1, 0.5, nesterov=True), ones, zero), -0.1 * (1.5 + 1.75 + 1.875))
    assert_allclose(descend(Adam(0.1), ones, zero), -0.3, rtol=1e-7)
    assert_allclose(descend(RAdam(0.1), ones, zero), -0.3)
    assert_allclose(descend(RMSprop(0.1, alpha=0.75), ones, zero), -0.1 * sum((1 - 0.75**t) ** -0.5 for t in (1, 2, 3)))


def test_radam_is_rectified_from_the_sixth_step():
    """With beta2 = 0.999 the average has a length of 4.996 at step 5 and 5.994 at step 6."""
    zero = np.zeros(1)
    path = [descend(RAdam(1.0), np.full((n, 1), 0.01), zero)[0] for n in range(1, 8)]
    lengths = -np.diff(path, prepend=0.0)
    assert_allclose(lengths[:5], 0.01)
    longest = 1999.0
    for t in (6, 7):
        rho = longest - 2 * t * 0.999**t / (1 - 0.999**t)
        r = math.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
        assert_allclose(lengths[t - 1], r, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "optimiser",
    [
        SGD(0.1),
        SGD(0.03, 0.8),
        SGD(0.03, 0.8, nesterov=True),
        Adam(0.1, schedule=Cosine()),
        AdamW(0.1, weight_decay=1e-5, schedule=Cosine()),
        RAdam(0.1, schedule=Cosine()),
        RMSprop(0.05, schedule=Cosine()),
        RMSprop(0.01, momentum=0.8, schedule=Cosine()),
    ],
    ids=repr,
)
def test_minimum_of_a_quadratic_form(optimiser, dtype):
    """Every optimiser finds the minimum, with curvatures from 1 to 10."""
    curvature, minimum = np.linspace(1, 10, 5), np.array([0.3, -0.5, 1.0, 2.0, -1.0])
    theta = descend(optimiser, [lambda theta: curvature * (theta - minimum)] * 400, dtype=dtype)
    assert_allclose(theta, minimum, atol=1e-4)


def test_gradient_of_zero_and_nan():
    """Without a gradient nothing moves; NaN is not hidden."""
    for optimiser in (SGD(0.1, 0.5), Adam(), RAdam(), RMSprop(momentum=0.5)):
        assert_array_equal(descend(optimiser, np.zeros((7, 5))), START)
        nan_first = GRADIENTS[:7].copy()
        nan_first[2, 0] = np.nan
        theta = descend(optimiser, nan_first)
        assert np.isnan(theta[0])
        assert np.isfinite(theta[1:]).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_clipping(dtype):
    """First the norm, then the entries; infinity switches either off; short gradients stay as they are."""
    inf = math.inf

    def clipped(g, max_norm, max_value):
        g = np.array(g, dtype=dtype)
        with np.errstate(invalid="ignore"):  # infinity times zero, when interpreted
            optimise.clip_gradient(g, max_norm, max_value)
        return g

    assert_allclose(clipped([3, -4], 1.0, inf), [0.6, -0.8], rtol=1e-6)
    assert_allclose(clipped([3, -4], 1.0, 0.7), [0.6, -0.7], rtol=1e-6)
    assert_array_equal(clipped([3, -4], inf, 3.5), [3, -3.5])
    assert_array_equal(clipped([3, -4], 5.0, inf), [3, -4])
    assert_array_equal(clipped([3, -4], inf, inf), [3, -4])
    assert_array_equal(clipped([0, 0], 1.0, 1.0), [0, 0])
    assert_allclose(clipped(np.full(1001, 1e30), 1e31, inf), 1e31 / math.sqrt(1001), rtol=1e-6)  # squares in float64
    assert_array_equal(clipped([np.nan, 2], inf, 1.0), [np.nan, 1])
    assert np.isnan(clipped([np.nan, 2], 1.0, inf)[0])
    assert np.isnan(clipped([inf, 2], 1.0, inf)[0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_penalties(dtype):
    """Weights are drawn to zero, biases are not, and l1 leaves a zero alone."""
    theta = np.array([2, -3, 0, 5], dtype=dtype)
    is_weight = np.array([1, 1, 1, 0], dtype=dtype)
    gradient = np.full(4, 10, dtype=dtype)
    optimise.penalise(theta, gradient, is_weight, 0.5, 0.25)
    assert_array_equal(gradient, [11, 8.75, 10, 10])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_limits(dtype):
    """Each parameter has a bound of its own; infinity is none, and NaN stays."""
    theta = np.array([2, -3, 0.5, -5, np.nan], dtype=dtype)
    optimise.limit(theta, np.array([1, 1, 1, np.inf, 1], dtype=dtype))
    assert_array_equal(theta, [1, -1, 0.5, -5, np.nan])


def test_schedules_by_value():
    """Rates of eight steps, two to an epoch."""
    rates = {
        "constant": (Constant(), np.ones(8)),
        "cosine": (Cosine(0.2), 0.2 + 0.4 * (1 + np.cos(np.pi * np.arange(8) / 8))),
        "step": (Step(2, 0.5), [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]),
        "step of one epoch": (Step(1), [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]),
        "warm-up": (Warmup(4), [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        "warm-up in epochs": (Warmup(epochs=1, then=Step(1, 0.5)), [0.5, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]),
        "warm-up then cosine": (Warmup(2, then=Cosine()), [0.5, 1, *(0.5 * (1 + np.cos(np.pi * np.arange(6) / 6)))]),
        "longer than the training": (Warmup(16), np.arange(1, 9) / 16),
        "a function": (lambda step, n_steps, steps_per_epoch: step / (n_steps * steps_per_epoch), np.arange(1, 9) / 16),
    }
    for name, (schedule, wanted) in rates.items():
        assert_allclose(SGD(0.1, schedule=schedule).rates(8, 2), 0.1 * np.asarray(wanted), err_msg=name)


def test_numbers_for_the_kernels():
    """The optimisers differ in their codes, and hyper says decay, memories and eps."""
    assert [RULES[name][0].code for name in ("sgd", "momentum", "nesterov", "adam", "adamw", "radam", "rmsprop")] == [
        *(0, 0, 1, 2, 3, 4, 5)
    ]
    assert_array_equal(AdamW().hyper, [1e-2, 0.9, 0.999, 1e-8])
    assert_array_equal(RMSprop(momentum=0.5).hyper, [0, 0.5, 0.99, 1e-8])
    assert (Adam().max_norm, Adam(max_value=2).max_value) == (math.inf, 2)


def test_rules_are_inherited():
    """A subclass has the rule of its class whatever its name, and what has no rule cannot be made."""

    class Mine(Adam):
        """Adam by another name."""

    class Ahead(SGD):
        """As for the rules of which there are two."""

    assert (Mine().code, Ahead(momentum=0.5, nesterov=True).code) == (Adam().code, 1)
    assert_array_equal(Mine(beta1=0.8).hyper, Adam(beta1=0.8).hyper)
    with pytest.raises(TypeError, match="abstract"):
        Optimiser()


def test_optimisers_are_values():
    """Equal arguments make equal optimisers, which can be pickled; the arguments come in the documented order."""
    one = Adam(0.1, 0.8, 0.9, 1e-6, schedule=Warmup(3, then=Cosine()))
    assert (
        one
        == pickle.loads(pickle.dumps(one))
        == Adam(rate=0.1, beta1=0.8, beta2=0.9, eps=1e-6, schedule=Warmup(3, then=Cosine()))
    )
    assert one != Adam()


BAD = {
    "rate": [lambda: SGD(0.0), lambda: Adam(math.nan), lambda: RMSprop("fast")],
    "momentum": [lambda: SGD(momentum=1.0), lambda: SGD(momentum=-0.1), lambda: RMSprop(momentum=2)],
    "nesterov": [lambda: SGD(nesterov=True)],
    "beta1": [lambda: Adam(beta1=1)],
    "beta2": [lambda: RAdam(beta2=-0.5), lambda: AdamW(beta2=math.inf)],
    "alpha": [lambda: RMSprop(alpha=1.0)],
    "eps": [lambda: Adam(eps=0), lambda: RMSprop(eps=-1)],
    "weight_decay": [lambda: SGD(weight_decay=-1), lambda: AdamW(weight_decay=math.inf)],
    "max_norm": [lambda: Adam(max_norm=0), lambda: Adam(max_norm=math.nan), lambda: Adam(max_norm=-math.inf)],
    "max_value": [lambda: SGD(max_value=-1)],
    "schedule": [
        lambda: Adam(schedule=1.0),
        lambda: Adam(schedule=lambda step, n, e: step[1:]).rates(5, 1),
        lambda: Adam(schedule=lambda step, n, e: -step).rates(5, 1),
        lambda: Adam(schedule=lambda step, n, e: step * np.nan).rates(5, 1),
    ],
    "n_steps": [lambda: Adam().rates(0, 1), lambda: Warmup(), lambda: Warmup(3, 1.0), lambda: Warmup(0)],
    "steps_per_epoch": [lambda: Adam().rates(5, 0.5)],
    "epochs": [lambda: Warmup(epochs=0.0)],
    "every_epochs": [lambda: Step(0)],
    "factor": [lambda: Step(1, 0.0)],
    "final": [lambda: Cosine(1.5), lambda: Cosine(-0.1)],
}


@pytest.mark.parametrize("argument", BAD)
def test_bad_arguments_are_named(argument):
    """What is out of range is refused where it is given."""
    for call in BAD[argument]:
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.argument == argument
