"""Collapse of the Lovász surrogate: constants and the rule by brute force, and the published toy."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepstat.errors import InputError
from hepstat.learn import (
    Adam,
    BinaryCrossEntropy,
    Collapse,
    CollapseWarning,
    Cosine,
    EpsSchedule,
    LovaszZ,
    Network,
    Process,
    SoftZ,
    diagnose_collapse,
    mix,
    train,
    train_many,
    typical_eps,
)

ERRORS = ["hinge", "sigmoid", "cross-entropy", "focal"]
LINEAR = Network(2, (), dtype="float64")
OPTIONS = {"optimiser": Adam(rate=0.05, schedule=Cosine()), "epochs": 20, "batch_size": 2048}


def few(rng, n=30):
    """Throw scores with ties, labels and weights."""
    f, y, w = np.round(rng.normal(size=n), 1), (rng.random(n) < 0.4).astype(float), rng.exponential(size=n)
    y[:2] = 0.0, 1.0
    return f + 0.5 * y, y, w


@pytest.fixture(scope="module")
def toy():
    """Return the toy of arXiv:2412.09500, case 1, with fewer events."""
    rng = np.random.default_rng(1)
    means = {"s": (4, 7), "b1": (2, 5), "b2": (2, 10)}
    cross_sections = {"s": 0.1, "b1": 1.0, "b2": 100.0}
    processes = [
        Process(k, rng.normal(m, 1, (10_000, 2)), cross_sections[k], signal=k == "s") for k, m in means.items()
    ]
    return mix(processes, 3000.0)


def trained(toy, loss, **options):
    """Train a linear model."""
    return train(LINEAR, toy, loss, rng=3, **{**OPTIONS, **options})


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("eps", [0.1, 1.0, 5.0, 100.0])
def test_best_constant_by_brute_force(error, eps):
    """No constant score on a fine grid has a smaller loss, and one comes close."""
    f, y, w = few(np.random.default_rng(5))
    loss = LovaszZ(eps, error)
    grid = [loss(np.full_like(f, b), y, w)[0] for b in np.concatenate([np.linspace(-3, 3, 601), [10.0, 30.0]])]
    constant = diagnose_collapse(loss, f, y, w).constant_loss
    assert constant <= min(grid) * (1 + 1e-9)
    assert constant == pytest.approx(min(grid), rel=1e-3)


@pytest.mark.parametrize(("error", "at_zero"), [("hinge", 1.0), ("sigmoid", 0.5), ("cross-entropy", math.log(2))])
def test_constant_with_much_background(error, at_zero):
    """With B > 3 eps the best constant is a score of zero: its error times S / sqrt(eps)."""
    y, w = np.array([1.0, 0.0]), np.array([2.0, 30.0])
    found = diagnose_collapse(LovaszZ(4.0, error), np.zeros(2), y, w)
    assert found.constant_loss == pytest.approx(at_zero * 2.0 / 2.0)
    assert found.ratio == pytest.approx(1.0)
    assert found.verdict == "collapsed"


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.floats(0.01, 100.0))
def test_rule_by_brute_force(seed, eps):
    """The rule is a maximum over all cuts; where it says so, scores of -1 and 1 beat any constant, else they do not."""
    f, y, w = few(np.random.default_rng(seed))
    loss = LovaszZ(eps)
    found = diagnose_collapse(loss, f, y, w)
    s_all, values, losses = w[y == 1].sum(), [], []
    for u in np.unique(f)[1:]:
        kept = f >= u
        s, b = w[kept & (y == 1)].sum(), w[kept & (y == 0)].sum()
        values.append(s / s_all / math.sqrt(1 + b / eps))
        losses.append(loss(np.where(kept, 1.0, -1.0), y, w)[0])
    assert found.rule == pytest.approx(max(values, default=0.0))
    if abs(found.rule - found.rule_limit) > 1e-9:
        assert (min(losses) < found.constant_loss) == (found.rule > found.rule_limit)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_escape_eps(seed):
    """Just above it the rule exceeds its limit, just below it does not; where there is none, it does for no eps."""
    f, y, w = few(np.random.default_rng(seed))
    escape = diagnose_collapse(LovaszZ(1.0), f, y, w).escape_eps

    def excess(eps):
        found = diagnose_collapse(LovaszZ(eps), f, y, w)
        return found.rule - found.rule_limit

    if escape == 0:
        assert excess(1e-9) > 0
    elif math.isfinite(escape):
        assert excess(escape * (1 + 1e-6)) > 0
        assert excess(escape * (1 - 1e-6)) <= 0
    else:
        assert all(excess(eps) <= 1e-12 for eps in np.geomspace(1e-3, 1e4, 30))


def test_constant_scores_never_escape():
    """Without a cut that drops anything the rule is 0; the record survives JSON with its infinity."""
    f, y, w = few(np.random.default_rng(2))
    found = diagnose_collapse(LovaszZ(1.0), np.full_like(f, 3.0), y, w)
    assert found.rule == 0.0
    assert found.escape_eps == math.inf
    assert "no eps changes that" in found.message
    assert Collapse.from_json(found.to_json()).to_dict() == found.to_dict()
    assert Collapse.from_json(found.to_json()).escape_eps == math.inf


def test_perfect_scores_escape():
    """Signal and background apart, and scores beyond the margin: no loss is left."""
    _, y, w = few(np.random.default_rng(2))
    found = diagnose_collapse(LovaszZ(1.0), np.where(y == 1, 2.0, -2.0), y, w)
    assert (found.loss, found.verdict, found.escape_eps, found.rule) == (0.0, "escaped", 0.0, 1.0)


def test_the_toy_collapses(toy):
    """With eps = sigma_s L = 300 the minimum is a constant, of loss S / sqrt(eps) = 17.32; the training says so."""
    with pytest.warns(CollapseWarning, match="collapsed to a constant") as caught:
        training = trained(toy, LovaszZ(300.0))
    assert caught[0].filename == __file__
    found = training.collapse
    assert found.verdict == "collapsed"
    assert found.constant_loss == pytest.approx(math.sqrt(300.0))
    assert found.ratio == pytest.approx(1.0, abs=1e-3)
    assert found.rule < 0.5
    again = diagnose_collapse(LovaszZ(300.0), training.model(toy.x), toy.y, toy.w)
    assert found.loss == pytest.approx(again.loss, rel=1e-12)


@pytest.mark.parametrize(("eps", "error"), [(2000.0, "hinge"), (1000.0, "cross-entropy"), (1000.0, "sigmoid")])
def test_the_toy_collapses_below_the_rule(toy, eps, error):
    """Linear scores begin to pay a little later than the rule says."""
    with pytest.warns(CollapseWarning):
        training = trained(toy, LovaszZ(eps, error))
    assert training.collapse.verdict == "collapsed"


@pytest.mark.parametrize("error", ERRORS)
def test_the_toy_escapes(toy, error):
    """At a large eps there is no warning, and the escape is predicted from the scores."""
    training = trained(toy, LovaszZ(10_000.0, error))
    assert training.collapse.verdict == "escaped"
    assert training.collapse.rule > 0.5
    assert 1900 < training.collapse.escape_eps < 2600
    assert "learned" in training.collapse.message


def test_schedule(toy):
    """A schedule is judged by where it stops: it does not help where the minimum there is a constant."""
    training = trained(toy, LovaszZ(EpsSchedule(100_000.0, 5000.0, 10)))
    assert training.collapse.eps == 5000.0
    assert training.collapse.verdict == "escaped"
    with pytest.warns(CollapseWarning):
        training = trained(toy, LovaszZ(EpsSchedule(100_000.0, 300.0, 10)))
    assert training.collapse.eps == 300.0


def test_other_losses(toy):
    """There is no diagnosis of other losses; their scores may be judged, though, and point to eps."""
    training = trained(toy, BinaryCrossEntropy())
    assert training.collapse is None
    found = diagnose_collapse(LovaszZ(300.0), training.model(toy.x), toy.y, toy.w)
    assert found.ratio > 1.01
    assert "worse than a constant" in found.message
    assert 1900 < found.escape_eps < 20_000


def test_soft_counts_do_not_collapse(toy):
    """SoftZ with typical_eps comes near the best linear cut, Z = 6.66; a callback sees no diagnosis yet."""
    seen = []
    training = trained(
        toy,
        SoftZ(typical_eps(toy)),
        l2=1e-3,
        epochs=60,
        callback=lambda epoch, training: seen.append(training.collapse),
    )
    assert set(seen) == {None}
    angle = math.degrees(math.atan2(*(training.model.theta[:2] / training.model.scale)[::-1]))
    assert -24 < angle < -10


@pytest.mark.filterwarnings("ignore::hepstat.learn.CollapseWarning")
def test_what_is_judged(toy):
    """The events trained on, not those of validation, in the network's precision, with parameters of a hypothesis."""
    network, loss = Network(2, (), n_parameters=1), LovaszZ(300.0)
    parameters = np.random.default_rng(1).normal(size=(len(toy), 1))
    some = (toy.x[::7], toy.y[::7], toy.w[::7], parameters[::7])
    options = {"rng": 1, "parameters": parameters, "epochs": 2, "batch_size": 4096}
    training = train(network, toy, loss, validation=some, **options)
    judged = diagnose_collapse(loss, training.model(toy.x, parameters), toy.y, toy.w)
    assert training.collapse.loss == pytest.approx(judged.loss, rel=1e-12)
    half = train(network, toy, loss, validation=0.5, **options)
    assert half.collapse.constant_loss == pytest.approx(math.sqrt(300.0))
    assert half.collapse.loss != judged.loss


def test_many_trainings(toy):
    """Each has a diagnosis of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        trainings = train_many(LINEAR, toy, LovaszZ(300.0), n=2, rng=1, workers=2, epochs=3, batch_size=None)
    assert trainings[0].collapse.loss != trainings[1].collapse.loss


def test_typical_eps(toy):
    """Five times the mean weight of background, each event counted by its weight."""
    b = toy.w[toy.y == 0]
    assert typical_eps(toy) == pytest.approx(5 * (b**2).sum() / b.sum())
    assert typical_eps((toy.y, toy.w), events=2.0) == pytest.approx(0.4 * typical_eps(toy))
    assert typical_eps(([1, 0, 0], [9.0, 2.0, 2.0])) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: typical_eps(([0, 1], [1.0, 1.0]), events=0), "events"),
        (lambda: typical_eps(([1, 1], [1.0, 1.0])), "data"),
        (lambda: typical_eps(([0, 1], [1.0])), "w"),
        (lambda: typical_eps(3.0), "data"),
        (lambda: diagnose_collapse(SoftZ(1.0), [0.0, 1.0], [0, 1], [1, 1]), "loss"),
        (lambda: diagnose_collapse(LovaszZ(1.0), [0.0], [0, 1], [1, 1]), "scores"),
        (lambda: diagnose_collapse(LovaszZ(1.0), [0.0, 1.0], [0, 2], [1, 1]), "y"),
        (lambda: diagnose_collapse(LovaszZ(1.0), [0.0, 1.0], [0, 1], [1, -1]), "weights"),
        (lambda: diagnose_collapse(LovaszZ(1.0), [0.0, 1.0], [1, 1], [1, 1]), "y"),
    ],
)
def test_bad_input(call, argument):
    """The argument is named."""
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == argument
