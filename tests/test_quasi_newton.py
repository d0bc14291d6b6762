"""Quasi-Newton: the minima of other solvers, limits, many starts, kinks, interruptions, bad input."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import check_grad, minimize

from hepstat.errors import InputError, TrainingError
from hepstat.kernels.batch import UNIT
from hepstat.learn import (
    SGD,
    AsimovZ,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    CustomLoss,
    EpsSchedule,
    LovaszZ,
    MaximumLikelihoodRatio,
    Model,
    Network,
    Process,
    SoftZ,
    SquaredError,
    mix,
    train,
)
from hepstat.learn.quasi_newton import Minimum, minimise
from hepstat.seeds import stream_key, toy_generator

LINEAR = Network(3, (), dtype="float64")
SMALL = Network(3, (4,), "tanh", dtype="float64")


def draw(n: int = 400, seed: int = 1) -> tuple[Any, Any, Any]:
    """Return events, labels and weights of two classes that overlap."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n).astype(float)
    return 2.0 * rng.normal(size=(n, 3)) + y[:, None] + [1.0, -2.0, 0.0], y, rng.uniform(0.5, 2.0, n)


def expected(n: int = 400) -> tuple[Any, Any, Any]:
    """Return events, labels and expected events, with ten times as much background as signal."""
    x, y, w = draw(n)
    return x, y, np.where(y == 1, 0.05, 0.5) * w


def logistic_newton(x: Any, y: Any, w: Any, l2: float) -> tuple[float, Any]:
    """Return value and parameters of logistic regression on standardised inputs, by Newton's method."""
    z = np.column_stack([(x - x.mean(axis=0)) / x.std(axis=0), np.ones(len(x))])
    w, penalty = w / w.sum(), l2 * np.array([1.0, 1.0, 1.0, 0.0])
    theta = np.zeros(4)
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-z @ theta))
        hessian = (z * (w * p * (1.0 - p))[:, None]).T @ z + np.diag(penalty)
        theta = theta - np.linalg.solve(hessian, z.T @ (w * (p - y)) + penalty * theta)
    f = z @ theta
    return float(w @ (np.logaddexp(0.0, f) - y * f) + 0.5 * penalty @ theta**2), theta


def assert_same(a: Minimum, b: Minimum) -> None:
    """Every bit and word agrees."""
    for name in ("value", "values", "n_best", "gradient_norm", "status", "message", "n_steps", "n_evaluations"):
        assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert_array_equal(a.model.theta, b.model.theta)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_logistic_regression_by_newton(l2: float) -> None:
    """A linear model has the minimum that Newton's method finds, with the penalty in the value and not on the bias."""
    x, y, w = draw()
    found = minimise(LINEAR, (x, y, w), BinaryCrossEntropy(), rng=1, l2=l2)
    value, theta = logistic_newton(x, y, w, l2)
    assert found.status == "converged"
    assert found.gradient_norm <= 1e-8
    assert_allclose(found.value, value, rtol=1e-12)
    assert_allclose(found.model.theta, theta, rtol=1e-6)
    scores = found.model.scores(x)
    penalty = 0.5 * l2 * float((found.model.theta[:3] ** 2).sum())
    assert_allclose(found.value, BinaryCrossEntropy()(scores, y, w)[0] / w.sum() + penalty, rtol=1e-12)


def test_logistic_regression_of_sklearn() -> None:
    """The same as scikit-learn's, whose C counts the other way."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y, w = draw()
    w /= w.sum()
    other = linear_model.LogisticRegression(C=1 / 0.2, tol=1e-10, max_iter=1000).fit(x, y, w)
    found = minimise(LINEAR, (x, y, w), BinaryCrossEntropy(), rng=1, l2=0.2, standardise=False)
    assert_allclose(found.model.theta[:3], other.coef_[0], rtol=1e-5)
    assert_allclose(found.model.theta[3], other.intercept_[0], rtol=1e-5)


def test_least_squares() -> None:
    """Squared errors of a linear model: the solution of numpy."""
    x, y, w = draw()
    found = minimise(LINEAR, (x, y, w), SquaredError(), rng=1, standardise=False)
    root = np.sqrt(w)[:, None]
    theta = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]) * root, y * root[:, 0], rcond=None)[0]
    assert_allclose(found.model.theta, theta, rtol=1e-6)


def test_bounds_of_weights() -> None:
    """Weights end at their limits, where they do with another solver; biases are free or not, as wished."""
    x, y, w = draw()
    w /= w.sum()
    design = np.column_stack([x, np.ones(len(x))])

    def value(theta: Any) -> float:
        f = design @ theta
        return float(w @ (np.logaddexp(0.0, f) - y * f))

    for biases in (False, True):
        found = minimise(
            LINEAR, (x, y, w), BinaryCrossEntropy(), rng=1, bound=0.02, bound_biases=biases, standardise=False
        )
        assert np.abs(found.model.theta[:3]).max() == 0.02
        assert (abs(found.model.theta[3]) <= 0.02) == biases
        limits = [(-0.02, 0.02)] * 3 + [(-0.02, 0.02) if biases else (None, None)]
        other = minimize(value, np.zeros(4), bounds=limits, method="SLSQP", options={"ftol": 1e-15})
        assert_allclose(found.model.theta, other.x, atol=1e-5)
        assert found.gradient_norm <= 1e-8  # although that of the loss is not small
        assert found.status == "converged"


def test_a_model_beyond_the_bound_begins_at_it() -> None:
    """No point outside the limits is ever evaluated."""
    seen = []

    def squares(scores: Any, y: Any, w: Any) -> Any:
        seen.append(float(np.abs(scores).max()))
        return float(w @ (scores - y) ** 2), 2.0 * w * (scores - y)

    x = np.eye(3)
    model = Model(LINEAR, np.full(4, 5.0))
    found = minimise(model, (x, np.ones(3)), CustomLoss(squares), bound=0.5, bound_biases=True)
    assert max(seen) <= 1.0
    assert_allclose(found.model.theta, 0.5)


@pytest.mark.parametrize("workers", [2, 3])
def test_starts_are_sorted_and_the_same_for_any_number_of_workers(workers: int) -> None:
    """Values rise, the first is that of the model, and threads change no bit."""
    x, y, w = draw(200)
    options: dict[str, Any] = {"rng": 3, "starts": 5, "l2": 1e-3, "max_steps": 60}
    found = minimise(SMALL, (x, y, w), BinaryCrossEntropy(), **options)
    assert_same(found, minimise(SMALL, (x, y, w), BinaryCrossEntropy(), workers=workers, **options))
    assert found.values.shape == (5,)
    assert (np.diff(found.values) >= 0).all()
    assert found.value == found.values[0]
    assert found.n_best == int((found.values <= found.value * (1 + 1e-6)).sum())
    assert len(set(found.values)) > 1


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SoftZ(20.0)], ids=["sum", "set"])
def test_large_samples_are_shared_out(loss: Any) -> None:
    """Above a unit of events threads divide the sample, and change no bit."""
    data = expected(UNIT + 500)
    options: dict[str, Any] = {"rng": 3, "starts": 2, "max_steps": 5}
    assert_same(minimise(SMALL, data, loss, **options), minimise(SMALL, data, loss, workers=2, **options))


def test_start_zero_is_the_model() -> None:
    """A model needs no seed, keeps its standardisation, and more starts can only be better; random ones differ."""
    x, y, w = draw(200)
    begun = Model(
        SMALL, toy_generator(stream_key(5), 0).normal(size=SMALL.n_weights), np.full(4, 1.0)[:3], np.full(3, 3.0)
    )
    one = minimise(begun, (x, y, w), BinaryCrossEntropy(), l2=1e-3, max_steps=40)
    assert_array_equal(one.model.mean, begun.mean)
    assert_array_equal(one.model.scale, begun.scale)
    many = minimise(begun, (x, y, w), BinaryCrossEntropy(), rng=1, starts=4, l2=1e-3, max_steps=40)
    assert one.value in many.values
    assert many.value <= one.value
    assert len(set(many.values)) == 4
    again = minimise(one.model, (x, y, w), BinaryCrossEntropy(), l2=1e-3, max_steps=1)
    assert again.value <= one.value


def test_the_first_start_is_that_of_training() -> None:
    """A network and a seed give the first weights that training and `initial` give, one start or several."""
    data = draw()
    begun = replace(SMALL.initial(5), mean=data[0].mean(axis=0), scale=data[0].std(axis=0))
    one = minimise(SMALL, data, BinaryCrossEntropy(), rng=5, max_steps=3)
    assert_same(one, minimise(begun, data, BinaryCrossEntropy(), max_steps=3))
    assert one.value in minimise(SMALL, data, BinaryCrossEntropy(), rng=5, starts=3, max_steps=3).values
    trained = train(SMALL, data, BinaryCrossEntropy(), rng=5, optimiser=SGD(rate=1e-300), epochs=1)
    assert_allclose(trained.model.theta, begun.theta, atol=1e-290)


def test_seeds_choose_the_starts() -> None:
    """The same seed gives the same minimum, another another way."""
    data = draw(200)
    first, same, other = (minimise(SMALL, data, BinaryCrossEntropy(), rng=seed, max_steps=10) for seed in (1, 1, 2))
    assert_same(first, same)
    assert first.value != other.value


def test_screening() -> None:
    """Of nine starts three go on: fewer steps in all, and the others are left where they were."""
    x, y, w = draw(200)
    options: dict[str, Any] = {"rng": 3, "starts": 9, "l2": 1e-3}
    short = minimise(SMALL, (x, y, w), BinaryCrossEntropy(), max_steps=10, **options)
    screened = minimise(SMALL, (x, y, w), BinaryCrossEntropy(), screen=10, max_steps=50, **options)
    assert short.n_steps == 90
    assert screened.n_steps <= 90 + 3 * 40
    assert screened.values.shape == (9,)
    assert_array_equal(screened.values[3:], short.values[3:])
    assert (screened.values[:3] < short.values[:3]).all()
    assert_same(
        screened, minimise(SMALL, (x, y, w), BinaryCrossEntropy(), screen=10, max_steps=50, workers=2, **options)
    )


@pytest.mark.parametrize("loss", [SoftZ(20.0), AsimovZ(20.0, uncertainty=0.1), LovaszZ(1e3, error="sigmoid")])
def test_smooth_set_losses(loss: Any) -> None:
    """Losses of whole samples: the gradient vanishes at the end, and the value is that of the loss itself."""
    x, y, w = expected()
    found = minimise(LINEAR, (x, y, w), loss, rng=1, l2=1e-3)
    penalty = 0.5e-3 * float((found.model.theta[:3] ** 2).sum())
    assert_allclose(found.value, loss(found.model.scores(x), y, w)[0] + penalty, rtol=1e-12)
    assert found.status == "converged"
    rng = np.random.default_rng(1)
    for _ in range(20):
        theta = found.model.theta + 0.05 * rng.normal(size=4)
        near = Model(LINEAR, theta, found.model.mean, found.model.scale).scores(x)
        assert loss(near, y, w)[0] + 0.5e-3 * float((theta[:3] ** 2).sum()) >= found.value


def test_lovasz_is_piecewise_linear() -> None:
    """The convex surrogate with the hinge comes near its minimum, and says that it stalled at a kink."""
    x, y, w = expected(100)
    x = x + 2.0 * y[:, None]
    loss = LovaszZ(1e3)
    starts = minimise(LINEAR, (x, y, w), loss, rng=1, starts=4, max_steps=200)
    assert starts.status in ("stalled", "step limit")
    mean, scale = starts.model.mean, starts.model.scale
    assert starts.value < 0.5 * loss(np.zeros(100), y, w)[0]

    def value(theta: Any) -> float:
        return loss(Model(LINEAR, theta, mean, scale).scores(x), y, w)[0]

    assert value(starts.model.theta) == pytest.approx(starts.value, rel=1e-12)
    other = minimize(value, starts.model.theta, method="Powell", options={"maxiter": 20})
    assert starts.value <= other.fun * 1.02


def test_schedules_count_where_they_end() -> None:
    """Of a schedule of eps the last is minimised."""
    data = expected()
    fixed = minimise(LINEAR, data, SoftZ(20.0), rng=1, max_steps=5)
    assert_same(fixed, minimise(LINEAR, data, SoftZ(EpsSchedule(100.0, 20.0, 7)), rng=1, max_steps=5))


def test_classes_and_samples() -> None:
    """Several outputs, and events of processes."""
    x, y, _ = draw()
    classes = Network(3, (4,), "tanh", 2, dtype="float64")
    found = minimise(classes, (x, y), CategoricalCrossEntropy(), rng=1, l2=1e-2)
    assert found.status == "converged"
    sample = mix([Process("s", x[y == 1], 2.0, True), Process("b", x[y == 0], 20.0)], 3.0)
    of_sample = minimise(LINEAR, sample, SoftZ(20.0), rng=1)
    assert_same(of_sample, minimise(LINEAR, (sample.x, sample.y, sample.w), SoftZ(20.0), rng=1))


def test_parameters_of_the_hypothesis() -> None:
    """A parameterised network sees them as further inputs."""
    x, y, w = draw()
    with_parameter = Network(2, (), dtype="float64", n_parameters=1)
    found = minimise(with_parameter, (x[:, :2], y, w), BinaryCrossEntropy(), rng=1, parameters=x[:, 2:])
    plain = minimise(LINEAR, (x, y, w), BinaryCrossEntropy(), rng=1)
    assert_array_equal(found.model.theta, plain.model.theta)


def test_step_limit() -> None:
    """Few steps do not converge, and the result says so."""
    found = minimise(SMALL, draw(), BinaryCrossEntropy(), rng=1, max_steps=3)
    assert found.status == "step limit"
    assert found.n_steps == 3
    assert "max_steps" in found.message


def test_value_and_gradient_fit() -> None:
    """The gradient that is reported belongs to the value, penalty included."""
    x, y, w = draw(50)
    found = minimise(LINEAR, (x, y, w), BinaryCrossEntropy(), rng=1, l2=0.3, max_steps=2)
    mean, scale = found.model.mean, found.model.scale

    def value(theta: Any) -> float:
        f = Model(LINEAR, theta, mean, scale).scores(x)
        return BinaryCrossEntropy()(f, y, w)[0] / w.sum() + 0.15 * float((theta[:3] ** 2).sum())

    slopes = np.array([(value(found.model.theta + h) - value(found.model.theta - h)) / 2e-6 for h in 1e-6 * np.eye(4)])
    assert_allclose(np.abs(slopes).max(), found.gradient_norm, rtol=1e-6)
    assert check_grad(value, lambda theta: slopes, found.model.theta) < 1e-6


def test_not_finite() -> None:
    """A loss without a minimum ends in an error that has the last finite point."""
    x = np.array([[-1.0], [1.0]])
    network = Network(1, (), dtype="float64")

    def falls(scores: Any, y: Any, w: Any) -> Any:
        with np.errstate(over="ignore", invalid="ignore"):
            return -float(np.exp(scores[1] * 4.0)), np.array([0.0, -4.0 * np.exp(scores[1] * 4.0)])

    with pytest.raises(TrainingError, match="not finite") as caught:
        minimise(network, (x, np.array([0.0, 1.0])), CustomLoss(falls, reduction="sum"), rng=1)
    assert math.isfinite(caught.value.training.value)
    assert np.isfinite(caught.value.training.model.theta).all()
    with pytest.raises(TrainingError, match="evaluation 1 of start 0") as caught:
        minimise(Model(network, [1e308, 0.0]), (10 * x, np.array([0.0, 1.0])), MaximumLikelihoodRatio())
    assert caught.value.training is None


def test_an_error_of_a_loss_in_python_comes_out() -> None:
    """Also with several starts and threads."""

    def fails(scores: Any, y: Any, w: Any) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        minimise(LINEAR, draw(50), CustomLoss(fails), rng=1, starts=4, workers=2)


def interrupting(after: int) -> CustomLoss:
    """Return the cross-entropy that is interrupted by the user after so many calls."""
    calls = [0]

    def loss(scores: Any, y: Any, w: Any) -> Any:
        calls[0] += 1
        if calls[0] > after:
            raise KeyboardInterrupt
        return BinaryCrossEntropy()(scores, y, w)

    return CustomLoss(loss, additive=True)


def test_interruption_returns_the_best_so_far() -> None:
    """In a later start, values are those of the starts that had begun; before anything is known it goes on up."""
    data = draw(50)
    found = minimise(SMALL, data, interrupting(30), rng=1, starts=9, max_steps=10)
    assert found.status == "interrupted"
    assert 1 < len(found.values) < 9
    assert found.value == found.values.min()
    assert found.n_evaluations == 30
    whole = minimise(SMALL, data, BinaryCrossEntropy(), rng=1, starts=9, max_steps=10)
    assert found.values[0] in whole.values or found.value >= whole.value
    with pytest.raises(KeyboardInterrupt):
        minimise(SMALL, data, interrupting(0), rng=1)


def test_a_custom_loss_is_as_good_as_a_compiled_one() -> None:
    """The same steps with a loss written in numpy."""
    data = draw(100)
    ours = minimise(SMALL, data, BinaryCrossEntropy(), rng=1, starts=2, max_steps=20)
    other = minimise(SMALL, data, interrupting(10**6), rng=1, starts=2, max_steps=20, workers=2, progress="starts")
    assert_allclose(other.values, ours.values, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"model": Network(3, (4,))}, "model"),
        ({"model": Network(3, (4,), dropout=0.1, dtype="float64")}, "model"),
        ({"rng": None}, "rng"),
        ({"model": Model(LINEAR, np.ones(4)), "starts": 2, "rng": None}, "rng"),
        ({"starts": 0}, "starts"),
        ({"screen": 0}, "screen"),
        ({"screen": 500}, "screen"),
        ({"bound": 0.0}, "bound"),
        ({"bound": math.inf}, "bound"),
        ({"l2": -1.0}, "l2"),
        ({"l2": math.inf}, "l2"),
        ({"max_steps": 0}, "max_steps"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"workers": 0}, "workers"),
        ({"parameters": [1.0]}, "parameters"),
        ({"data": 3}, "data"),
        ({"data": (np.full((4, 3), np.nan), np.ones(4))}, "x"),
        ({"data": (np.ones((4, 2)), np.ones(4))}, "x"),
        ({"data": (np.ones((4, 3)), np.full(4, 2.0))}, "y"),
        ({"data": (np.ones((4, 3)), np.ones(4), -np.ones(4))}, "weights"),
        ({"data": (np.ones((4, 3)), np.ones(4)), "loss": SoftZ(1.0)}, "y"),
    ],
)
def test_bad_input(change: dict[str, Any], argument: str) -> None:
    """The error names the argument."""
    options: dict[str, Any] = {"model": LINEAR, "data": draw(50), "loss": BinaryCrossEntropy(), "rng": 1, **change}
    with pytest.raises(InputError) as caught:
        minimise(options.pop("model"), options.pop("data"), options.pop("loss"), **options)
    assert caught.value.argument == argument
