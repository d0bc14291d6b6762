"""Training that goes wrong: bad input, samples at the edge, divergence, interruption, errors in a user's loss."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError, TrainingError
from hepstat.learn import (
    SGD,
    Adam,
    AsimovZ,
    BinaryCrossEntropy,
    Brier,
    CategoricalCrossEntropy,
    CustomLoss,
    Exponential,
    Focal,
    Hinge,
    LinearRatio,
    LovaszSet,
    LovaszZ,
    MaximumLikelihoodRatio,
    Network,
    Process,
    SoftZ,
    SquaredError,
    mix,
    train,
    train_many,
)

NET = Network(2, (4,))
BCE = BinaryCrossEntropy()


def draw(n: int = 120) -> tuple[Any, Any]:
    """Return events and labels."""
    y = np.arange(n) % 2.0
    return np.random.default_rng(1).normal(size=(n, 2)) + y[:, None], y


X, Y = draw()
W = np.ones(Y.size)
SAMPLE = mix([Process("s", X[:10], 1.0, True), Process("b", X[20:], 2.0)], 1.0)
BAD_OPTIONS: dict[str, list[Any]] = {
    "epochs": [0, -1, 2.5, math.nan, "many", None],
    "batch_size": [0, 1.5, "all"],
    "validation": [1.0, 1.5, -0.1, math.nan, None, np.ones(3), 1e-9, (X,), ()],
    "patience": [0, 1.5, "long"],
    "min_delta": [-1.0, math.nan, "small"],
    "l1": [-1.0, math.nan, math.inf, np.ones(2)],
    "l2": [-1.0, math.nan, math.inf, None],
    "clip": [0.0, -1.0, math.inf, math.nan],
    "stratified": ["sometimes", None, 2],
    "score_limit": [-1.0, math.nan, -math.inf],
    "loss_limit": [-1.0, math.nan],
    "workers": [0, 1.5, None],
    "on_divergence": ["ignore", None],
    "rng": [None, -1, 1.5, "seed"],
    "parameters": [[1.0]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD_OPTIONS.items() for value in values])
def test_options_out_of_range(name, value):
    """The option is named, before anything is trained."""
    with pytest.raises(InputError) as caught:
        train(NET, (X, Y), BCE, **{"rng": 1, "validation": 0.2, "epochs": 1, name: value})
    assert caught.value.argument == name


def with_entry(array: Any, value: float) -> Any:
    """Return a copy with one entry replaced."""
    changed = np.array(array)
    changed.flat[3] = value
    return changed


BAD_DATA: dict[str, tuple[str, Any, Any]] = {
    "NaN": ("x", (with_entry(X, np.nan), Y), BCE),
    "infinity": ("x", (with_entry(X, np.inf), Y), BCE),
    "text": ("x", (["a", "b"], Y), BCE),
    "one dimension": ("x", (X[:, 0], Y), BCE),
    "wrong number of features": ("x", (X[:, :1], Y), BCE),
    "NaN as label": ("y", (X, with_entry(Y, np.nan)), BCE),
    "label outside": ("y", (X, with_entry(Y, 2)), BCE),
    "labels of signs": ("y", (X, 2 * Y - 1), Hinge()),
    "too few labels": ("y", (X, Y[:-1]), BCE),
    "column of labels": ("y", (X, Y[:, None]), BCE),
    "NaN as weight": ("weights", (X, Y, with_entry(W, np.nan)), BCE),
    "negative weight": ("weights", (X, Y, with_entry(W, -1)), BCE),
    "too few weights": ("weights", (X, Y, W[:-1]), BCE),
    "no weight": ("weights", (X, Y, 0 * W), BCE),
    "weights that cancel": ("weights", (X, Y, np.where(Y == 1, 1.0, -1.0)), SquaredError()),
    "no events": ("y", (X[:0], Y[:0]), BCE),
    "an array": ("data", X, BCE),
    "too short": ("data", (X,), BCE),
    "too long": ("data", (X, Y, W, W), BCE),
    "one output for classes": ("scores", (X, Y), CategoricalCrossEntropy()),
    "signal only": ("y", (X, np.ones(Y.size)), SoftZ(1.0)),
    "background only": ("y", (X, np.zeros(Y.size)), LovaszZ(1.0)),
    "signal without weight": ("y", (X, Y, 1 - Y), AsimovZ(1.0)),
    "background without weight": ("y", (X, Y, Y), LovaszSet(lambda s, b: s)),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_data_that_cannot_be_used(name):
    """The argument is named, for training and for validation."""
    argument, data, loss = BAD_DATA[name]
    with pytest.raises(InputError) as caught:
        train(NET, data, loss, rng=1)
    assert caught.value.argument == argument
    if argument != "data":
        with pytest.raises(InputError) as caught:
            train(NET, (X, Y), loss, rng=1, validation=data)
        assert caught.value.argument == argument


def test_options_that_need_one_another():
    """Patience needs validation, parameters a network that takes them, several outputs a loss that does."""
    with pytest.raises(InputError, match="patience: is given without validation"):
        train(NET, (X, Y), BCE, rng=1, patience=3)
    with pytest.raises(InputError, match="outputs") as caught:
        train(Network(2, (4,), n_outputs=2), (X, Y), BCE, rng=1)
    assert caught.value.argument == "scores"
    with_mass = Network(2, (4,), n_parameters=1)
    for options in ({}, {"parameters": [1.0], "validation": SAMPLE}, {"parameters": np.ones((3, 1))}):
        with pytest.raises(InputError) as caught:
            train(with_mass, (X, Y), BCE, rng=1, **options)
        assert caught.value.argument == "parameters"
    with pytest.raises(InputError) as caught:
        train_many(NET, (X, Y), BCE, n=0, rng=1)
    assert caught.value.argument == "n"


def test_batches_that_would_miss_a_process():
    """Ten events of signal cannot be in eleven batches; the remedy works, and sums do not mind."""
    with pytest.raises(InputError, match="Pass at least 11") as caught:
        train(NET, SAMPLE, SoftZ(1.0), rng=1, batch_size=10)
    assert caught.value.argument == "batch_size"
    assert len(train(NET, SAMPLE, SoftZ(1.0), rng=1, batch_size=11, epochs=1).step_loss) == 10
    for stratified in ("auto", True):
        found = train(NET, SAMPLE, BCE, rng=1, batch_size=1, epochs=1, stratified=stratified)
        assert len(found.step_loss) == len(SAMPLE)
    with pytest.raises(InputError, match="puts 0 of 10") as caught:
        train(NET, SAMPLE, SoftZ(1.0), rng=1, validation=0.01)
    assert caught.value.argument == "validation"


@pytest.mark.parametrize("loss", [BCE, Brier(), Hinge(), Focal(), SoftZ(1.0)], ids=repr)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_only(loss, label):
    """There is nothing to tell apart, in one event or many."""
    for x in (X, X[:1]):
        with pytest.raises(InputError, match="y"):
            train(NET, (x, np.full(len(x), label)), loss, rng=1)


def test_one_target_only():
    """Real values may be all the same; one event makes one batch."""
    found = train(NET, (X[:1], [0.5]), SquaredError(), rng=1, epochs=50, batch_size=64, optimiser=Adam(0.05))
    assert len(found.step_loss) == 50
    assert found.model(X[:1])[0] == pytest.approx(0.5, abs=0.3)


def test_wrong_kinds():
    """Names and classes in place of objects are refused."""
    for wrong in ({"model": "mlp"}, {"loss": SoftZ}, {"optimiser": "adam"}):
        options = {"model": NET, "loss": BCE, "rng": 1, **wrong}
        with pytest.raises(InputError, match=next(iter(wrong))):
            train(options.pop("model"), SAMPLE, options.pop("loss"), **options)


def test_features_beyond_single_precision():
    """What float32 cannot hold is refused before training, and before scores."""
    with pytest.raises(InputError, match="too large for float32"):
        train(Network(2), (1e300 * X, Y), BCE, rng=1, standardise=False)
    with pytest.raises(InputError, match="too large for float32"):
        Network(2).initial(1)(1e300 * X)


def test_constant_features():
    """They are shifted and not scaled, whatever rounding makes of their spread."""
    x = np.c_[X, np.full(Y.size, 0.1), np.zeros(Y.size), np.full(Y.size, 1e9), 1e-12 * X[:, 0]]
    found = train(Network(6, ()), (x, Y), BCE, rng=1, epochs=2)
    assert_allclose(found.model.mean[2:5], [0.1, 0, 1e9], rtol=1e-12)
    assert_array_equal(found.model.scale[2:5], 1)
    assert found.model.scale[5] == pytest.approx(1e-12 * X[:, 0].std())
    plain = train(Network(6, ()), (x, Y), BCE, rng=1, epochs=1, standardise=False, on_divergence="return")
    assert_array_equal(plain.model.mean, 0)
    assert_array_equal(plain.model.scale, 1)


DIVERGENT: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "loss overflows": ("not finite", Exponential(), {"optimiser": SGD(1e6), "score_limit": math.inf}),
    "scores overflow": (
        "not finite",
        LinearRatio(),
        {"optimiser": SGD(1e30), "score_limit": math.inf, "loss_limit": math.inf},
    ),
    "last step overflows": ("not finite", BCE, {"optimiser": SGD(1e39), "batch_size": None, "epochs": 1}),
    "loss grows": ("loss exploded", SquaredError(), {"optimiser": SGD(3.0), "loss_limit": 100.0}),
    "loss falls": (
        "loss exploded",
        LinearRatio(),
        {"optimiser": SGD(100.0), "loss_limit": 1.0, "score_limit": math.inf},
    ),
    "scores grow": ("scores exploded", BCE, {"optimiser": SGD(1e3), "score_limit": 10.0}),
    "set loss": ("scores exploded", SoftZ(1.0), {"optimiser": SGD(1e5)}),
    "large at once": ("scores exploded", BCE, {"score_limit": 0.0}),
}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", DIVERGENT)
def test_divergence(name, compiled):
    """Each way of it has a status, a message and a model that is finite; the history ends with the bad step."""
    status, loss, options = DIVERGENT[name]
    options = {"rng": 1, "epochs": 200, "batch_size": 40, "compiled": compiled, **options}
    found = train(NET, (X, Y), loss, on_divergence="return", **options)
    assert (found.status, found.diverged, found.collapse) == (status, True, None)
    assert np.isfinite(found.model.theta).all()
    assert np.isfinite(found.step_loss[:-1]).all()
    per_epoch = 1 if options["batch_size"] is None else 3
    assert len(found.train_loss) == (1 if options["epochs"] == 1 else (len(found.step_loss) - 1) // per_epoch)
    assert f"at step {len(found.step_loss)} (epoch {(len(found.step_loss) - 1) // per_epoch + 1}, " in found.message
    with pytest.raises(TrainingError, match="learning rate") as caught:
        train(NET, (X, Y), loss, **options)
    assert str(caught.value) == found.message
    assert_array_equal(caught.value.training.model.theta, found.model.theta)
    assert_array_equal(caught.value.training.step_loss, found.step_loss)


def test_divergence_gives_the_best_or_the_last_good_model():
    """What is not finite is not patched up: the model is the best, without validation the last or that at the start."""
    options = {"rng": 1, "epochs": 20, "batch_size": None, "on_divergence": "return", "loss_limit": math.inf}
    huge = SGD(0.1, schedule=lambda step, n, per_epoch: np.where(step <= 4, 1.0, 1e40))
    found = train(NET, (X, Y), SquaredError(), optimiser=huge, score_limit=math.inf, validation=0.2, **options)
    assert (found.status, found.best_epoch, len(found.step_loss)) == ("not finite", 3, 5)
    options["epochs"] = 4
    good = train(NET, (X, Y), SquaredError(), optimiser=SGD(0.1), validation=0.2, **options)
    assert_array_equal(found.model.theta, good.model.theta)
    last = train(NET, (X, Y), SquaredError(), optimiser=huge, score_limit=math.inf, **{**options, "epochs": 20})
    assert last.status == "not finite"
    good = train(NET, (X, Y), SquaredError(), optimiser=SGD(0.1), **options)
    assert_array_equal(last.model.theta, good.model.theta)
    lost = train(NET, (X, Y), SquaredError(), optimiser=SGD(1e39), **options)
    assert lost.status == "not finite"
    start = train(NET, (X, Y), SquaredError(), optimiser=SGD(1e-300), **options)
    assert_array_equal(lost.model.theta, start.model.theta)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_callback_sees_finite_models_only(compiled):
    """A step that overflows at the end of an epoch ends the training before the callback is asked."""
    seen = []
    late = SGD(0.1, schedule=lambda step, n, per_epoch: np.where(step <= 2, 1.0, 1e40))
    options = {"rng": 1, "epochs": 9, "batch_size": None, "compiled": compiled, "on_divergence": "return"}
    found = train(
        NET, (X, Y), BCE, optimiser=late, callback=lambda epoch, training: seen.append(training) or False, **options
    )
    assert (found.status, len(found.step_loss), len(seen)) == ("not finite", 3, 2)
    assert_array_equal(found.model.theta, seen[-1].model.theta)


def test_divergence_of_the_validation_alone():
    """Events far from all that is trained on overflow after the first epoch."""
    found = train(
        NET, (X, Y), Exponential(), rng=1, validation=(1e30 * X, Y), on_divergence="return", standardise=False
    )
    assert (found.status, found.best_epoch, len(found.train_loss)) == ("not finite", -1, 1)
    assert not np.isfinite(found.validation_loss[0])
    assert "validation" in found.message


@pytest.mark.parametrize("compiled", [True, False])
def test_interruption(compiled):
    """Ctrl-C while a callback or a loss of one's own runs leaves the epochs before it."""

    def stop(epoch: int, training: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    options = {"rng": 1, "epochs": 10, "batch_size": None, "compiled": compiled, "optimiser": SGD(0.1)}
    found = train(NET, (X, Y), BCE, callback=stop, validation=0.2, **options)
    assert (found.status, found.diverged, found.message) == ("interrupted", False, "Interrupted after 3 epochs")
    assert len(found.train_loss) == len(found.validation_loss) == 3
    calls = []

    def loss(f: Any, y: Any, w: Any) -> tuple[float, Any]:
        calls.append(len(f))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return float(w @ (f - y) ** 2), 2 * w * (f - y)

    found = train(NET, (X, Y), CustomLoss(loss), **options)
    assert (found.status, len(found.train_loss), len(calls)) == ("interrupted", 3, 4)
    three = train(NET, (X, Y), CustomLoss(loss), **{**options, "epochs": 3})
    assert_array_equal(found.model.theta, three.model.theta)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_errors_in_a_loss_of_ones_own(compiled, workers):
    """What it raises comes out as it is, at once; wrong shapes and NaN are errors as well."""

    def broken(f: Any, y: Any, w: Any) -> tuple[float, Any]:
        raise ZeroDivisionError("of the user")

    options = {"rng": 1, "epochs": 3, "compiled": compiled, "workers": workers}
    with pytest.raises(ZeroDivisionError, match="of the user"):
        train(NET, (X, Y), CustomLoss(broken), **options)
    with pytest.raises(ZeroDivisionError, match="of the user"):
        train(NET, (X, Y), LovaszSet(lambda s, b: broken(s, b, s)), **options)
    with pytest.raises(InputError, match="gradient of shape"):
        train(NET, (X, Y), CustomLoss(lambda f, y, w: (0.0, f[1:])), **options)
    with pytest.raises(InputError, match="rises with b"):
        train(NET, (X, Y), LovaszSet(lambda s, b: b), **options)
    with pytest.raises(TrainingError, match="The loss is nan at step 1 "):
        train(NET, (X, Y), CustomLoss(lambda f, y, w: (math.nan, 0 * f)), **options)
    with pytest.raises(TrainingError, match="at step 2 "):
        train(NET, (X, Y), CustomLoss(lambda f, y, w: (1.0 + 0 * f[0], np.nan * f)), batch_size=60, **options)


def test_errors_of_a_loss_over_many_units():
    """They come out of threads too, and the loss can be used again."""
    n, wrong = 40_000, [True]

    def loss(f: Any, y: Any, w: Any) -> tuple[float, Any]:
        if wrong[0]:
            raise ZeroDivisionError("of the user")
        return float(w @ (f - y) ** 2), 2 * w * (f - y)

    data, own = draw(n), CustomLoss(loss)
    for additive in (True, False):
        own, wrong[0] = CustomLoss(loss, additive=additive), True
        with pytest.raises(ZeroDivisionError, match="of the user"):
            train(NET, data, own, rng=1, epochs=1, batch_size=None, workers=2)
        wrong[0] = False
        found = train(NET, data, own, rng=1, epochs=1, batch_size=None, workers=2, loss_limit=math.inf)
        assert np.isfinite(found.step_loss).all()


def test_signed_weights():
    """Losses that are linear in the weights train with them; others say which ones do."""
    w = np.where(np.arange(Y.size) % 5 == 0, -0.5, 1.0)
    for loss in (LinearRatio(), SquaredError(), MaximumLikelihoodRatio()):
        assert train(NET, (X, Y, w), loss, rng=1, epochs=3, validation=0.3).status == "finished"
    with pytest.raises(InputError, match="LinearRatio"):
        train(NET, (X, Y, w), Focal(), rng=1)
