"""The guard of trainings on weights of both signs: what it stops, what it lets pass, and what it says."""

import math
from typing import Any

import numpy as np
import pytest

from hepstat.errors import InputError, TrainingError
from hepstat.learn import (
    Adam,
    BinaryCrossEntropy,
    GuardReport,
    LinearRatio,
    Loss,
    MaximumLikelihoodRatio,
    Network,
    SquaredError,
    diagnose_signs,
    minimise,
    train,
)
from hepstat.learn.guard import next_check
from hepstat.learn.losses.signed import ComplementaryLabel, SignedCategoricalCrossEntropy, SignedCrossEntropy

N = 3000
SMALL, LARGE = Network(2, (8,)), Network(2, (128, 128))
OPTIONS: dict[str, Any] = {"rng": 1, "epochs": 100, "optimiser": Adam(1e-2), "batch_size": 500}


def events(kind: str, n: int = N) -> tuple[Any, Any, Any]:
    """Return two classes alike: negative weights cancel everywhere, or outweigh the others in a part of class 1."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 2)), (rng.random(n) < 0.5).astype(float)
    w = np.where(rng.random(n) < 0.2, -1.0, 1.0)
    if kind == "physical":
        w[(y == 1) & (x[:, 0] > 1.0)] *= -1.0
    return x, y, w


@pytest.mark.parametrize("loss", [SignedCrossEntropy(), MaximumLikelihoodRatio()], ids=["cross-entropy", "likelihood"])
def test_a_negative_density_stops_the_training(loss: Loss) -> None:
    """Early, with the class, its net weight and what to do; nothing but the error comes back."""
    with pytest.raises(TrainingError, match=r"no minimum, seen after .* Weights of the .* class 1 with") as e:
        train(LARGE, events("physical"), loss, **OPTIONS)
    found = e.value.training
    assert found.status == "no minimum"
    assert found.diverged
    assert found.guard.verdict == "negative density"
    assert (found.guard.label, found.guard.side) == (1, "low")
    assert found.guard.net < -3.0 * found.guard.error < 0
    assert len(found.train_loss) <= 10
    assert "signal plus background" in str(e.value)


@pytest.mark.parametrize("loss", [SignedCrossEntropy(), LinearRatio()], ids=["cross-entropy", "ratio"])
def test_fluctuations_that_a_large_network_finds(loss: Loss) -> None:
    """Weights that only cancel have no minimum either once a network isolates some; a small one is left alone."""
    with pytest.raises(TrainingError, match=r"set apart a fluctuation.*smaller network"):
        train(LARGE, events("technical"), loss, **{**OPTIONS, "epochs": 300})
    found = train(SMALL, events("technical"), loss, **{**OPTIONS, "epochs": 30})
    assert found.status == "finished"
    assert found.guard is not None
    assert found.guard.verdict == "sound"


def test_classes() -> None:
    """With a score for each class the class is named whose density is negative."""
    x, y, w = events("physical")
    y = np.where(x[:, 1] > 1.0, 2.0, y)
    with pytest.raises(TrainingError, match="events of class 1 with the lowest"):
        train(Network(2, (64,), n_outputs=3), (x, y, w), SignedCategoricalCrossEntropy(), **OPTIONS)


def test_what_is_not_guarded() -> None:
    """Positive weights, bounded losses and guard=False have no report; without the guard the training diverges on."""
    x, y, w = events("physical")
    assert train(SMALL, (x, y, np.abs(w)), SignedCrossEntropy(), rng=1, epochs=2).guard is None
    classes = Network(2, (8,), n_outputs=2)
    assert train(classes, (x, y, w), ComplementaryLabel(), rng=1, epochs=2).guard is None
    found = train(
        LARGE, (x, y, w), SignedCrossEntropy(), guard=False, score_limit=math.inf, **{**OPTIONS, "epochs": 30}
    )
    assert found.guard is None
    assert found.status == "finished"
    assert found.train_loss[-1] < -5.0


def test_same_bits_with_and_without() -> None:
    """The guard looks and does not touch: with it, from Python or without, the model is the same."""
    data = events("technical", 600)
    runs = [
        train(SMALL, data, SignedCrossEntropy(), rng=3, epochs=25, batch_size=64, **options)
        for options in ({}, {"guard": False}, {"compiled": False})
    ]
    for other in runs[1:]:
        np.testing.assert_array_equal(other.model.theta, runs[0].model.theta)


def test_when_it_looks() -> None:
    """After each of the first epochs, then after a quarter more, so that its cost stays a small share."""
    looks = [1]
    while looks[-1] < 200:
        looks.append(next_check(looks[-1]))
    assert looks[:10] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12]
    assert looks[-1] - looks[-2] == looks[-2] // 4
    assert len(looks) < 25


def test_minimise() -> None:
    """Quasi-Newton does not call a minimum what is none."""
    x, y, w = events("physical")
    network = Network(2, (16,), dtype="float64")
    with pytest.raises(TrainingError, match=r"There is no minimum. Weights of"):
        minimise(network, (x, y, w), SignedCrossEntropy(), rng=1, max_steps=60)
    found = minimise(network, events("technical"), SignedCrossEntropy(), rng=1, max_steps=20)
    assert found.guard is not None
    assert found.guard.verdict == "sound"
    assert minimise(network, (x, y, w), SignedCrossEntropy(), rng=1, max_steps=8, guard=False).value < 0


@pytest.mark.parametrize("loss", [SignedCrossEntropy(), MaximumLikelihoodRatio()])
def test_classes_without_net_weight(loss: Loss) -> None:
    """A class whose weights cancel, or add up to less than zero, is refused before training starts."""
    x, y, _ = events("technical")
    w = np.where(y == 1, np.resize([1.0, -1.0], N), 1.0)
    w[y == 1] -= w[y == 1].mean() + 0.1
    with pytest.raises(InputError, match="weights: of class 1 add up to -"):
        train(SMALL, (x, y, w), loss, rng=1)
    with pytest.raises(InputError, match="weights: of class 1 add up to -"):
        minimise(Network(2, (8,), dtype="float64"), (x, y, w), loss, rng=1)


def test_interference_without_a_net_yield_is_fine_for_a_linear_ratio() -> None:
    """Only the reference needs a density: the label 1 of a linear ratio may add up to nothing."""
    x, y, _ = events("technical")
    w = np.where(y == 1, np.sign(x[:, 0]), 1.0)
    w[y == 1] -= w[y == 1].mean()
    found = train(SMALL, (x, y, w), LinearRatio(), **OPTIONS)
    assert found.guard is not None
    assert found.guard.verdict == "sound"


def test_reports_of_given_scores() -> None:
    """Tails of log odds: significant sums from 10 on, any from 30 on; the sum decides, not single events."""
    y, loss = np.array([0.0] * 40 + [1.0] * 40), SignedCrossEntropy()
    scores, w = np.concatenate([np.full(40, 8.0), np.full(20, 1.0), np.full(20, -12.0)]), np.ones(80)
    w[60:75] = -1.0
    report = diagnose_signs(loss, scores, y, w)
    assert (report.verdict, report.n_events) == ("sound", 0)  # -10 +- 4.5
    w[60:80] = -1.0
    report = diagnose_signs(loss, scores, y, w)
    assert (report.verdict, report.n_events) == ("negative density", 20)
    assert report.net == pytest.approx(-20 / 40)
    assert report.error == pytest.approx(math.sqrt(20) / 40)
    assert report.largest_score == 12.0
    w[60:75], scores[60:80] = 1.0, -31.0
    assert diagnose_signs(loss, scores, y, w).verdict == "sound"  # the sum is positive
    w[60:72], w[72:80] = -1.0, 1.0
    assert diagnose_signs(loss, scores, y, w).verdict == "negative fluctuation"
    assert GuardReport.from_dict(report.to_dict()) == report


def test_loss_below_zero() -> None:
    """A cross-entropy below zero is noticed wherever it comes from."""
    y, w = np.array([0.0] * 500 + [1.0] * 1000), np.array([1.0] * 1100 + [-1.0] * 400)
    scores = np.array([-5.0] * 500 + [5.0] * 600 + [-5.0] * 400)
    report = diagnose_signs(SignedCrossEntropy(), scores, y, w)
    assert report.verdict == "loss below zero"
    assert "never negative" in report.message
    few = slice(None, None, 100)  # within fluctuations of healthy samples
    assert diagnose_signs(SignedCrossEntropy(), scores[few], y[few], w[few]).verdict == "sound"


def test_targets_that_are_no_labels() -> None:
    """A squared error falls without limit where all weights together are negative."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(N, 2))
    w = np.where(x[:, 0] > 1.0, -1.0, 1.0)
    with pytest.raises(TrainingError, match="no minimum"):
        train(LARGE, (x, x[:, 1], w), SquaredError(), **OPTIONS)


@pytest.mark.parametrize("end", ["callback", "patience", "last"])
def test_the_last_look_is_at_what_comes_back(end: str) -> None:
    """However a training ends, the report is about the model that it returns."""
    data = events("technical")
    options: dict[str, Any] = {"rng": 1, "optimiser": Adam(1e-2), "batch_size": 500, "epochs": 42}
    if end == "callback":
        options |= {"epochs": 100, "callback": lambda epoch, _: epoch == 41}
    elif end == "patience":
        options |= {"validation": data, "patience": 3}
    found = train(SMALL, data, SignedCrossEntropy(), **options)
    report = diagnose_signs(SignedCrossEntropy(), found.model(data[0]), data[1], data[2])
    assert found.guard is not None
    assert found.guard.largest_score == pytest.approx(report.largest_score, rel=1e-6)


def test_reweighting_to_signs_is_watched() -> None:
    """Weights that become negative on the way are guarded from then on."""
    x, y, w = events("physical")
    options = {**OPTIONS, "reweight": lambda training: w}
    with pytest.raises(TrainingError, match="no minimum"):
        train(LARGE, (x, y, np.abs(w)), SignedCrossEntropy(), **options)
    with pytest.raises(InputError, match="of class 1 add up to"):
        train(LARGE, (x, y), SignedCrossEntropy(), **{**options, "reweight": lambda training: np.where(y, -1.0, 1.0)})


def test_classes_without_weight() -> None:
    """Reports of scores of a class without weight, or without events, divide by nothing."""
    report = diagnose_signs(SignedCategoricalCrossEntropy(), [[0.0, 50.0], [50.0, 0.0]], [0, 1], [0.0, 1.0])
    assert report.verdict == "sound"
    assert diagnose_signs(LinearRatio(), [500.0, 1.0], [1, 1], [1.0, -0.5]).verdict == "sound"


def test_reweight() -> None:
    """Weights given after an epoch are those that the next one uses, in the order of the data, over the first sum."""
    x, y, _ = events("technical", 400)
    first, second = np.random.default_rng(3).random((2, 400)) + 0.5
    seen: list[int] = []

    def other(training: Any) -> Any:
        seen.append(len(training.train_loss))
        return second

    options: dict[str, Any] = {"rng": 5, "batch_size": None, "optimiser": Adam(1e-3)}
    loss = BinaryCrossEntropy()
    for stratified in (False, True):
        found = train(SMALL, (x, y, first), loss, epochs=3, reweight=other, stratified=stratified, **options)
        before = train(SMALL, (x, y, first), loss, epochs=1, stratified=stratified, **options)
        expected = loss(before.model(x), y, second)[0] / first.sum()
        assert found.train_loss[1] == pytest.approx(expected, rel=1e-6)
    assert seen == [1, 2, 1, 2]
    python = train(SMALL, (x, y, first), loss, epochs=3, reweight=other, stratified=True, compiled=False, **options)
    np.testing.assert_array_equal(python.model.theta, found.model.theta)


@pytest.mark.parametrize(
    ("weights", "message"),
    [(np.ones(3), "returns 3 weights"), (np.full(400, np.nan), "400 NaN"), (-np.ones(400), "400 negative weights")],
)
def test_reweight_with_bad_weights(weights: Any, message: str) -> None:
    """What reweight returns is checked."""
    x, y, _ = events("technical", 400)
    with pytest.raises(InputError, match=message):
        train(SMALL, (x, y), BinaryCrossEntropy(), rng=1, epochs=3, reweight=lambda training: weights)


def test_reweight_and_a_share_for_validation() -> None:
    """Weights of the whole data have no place when a share is put aside."""
    x, y, _ = events("technical", 400)
    with pytest.raises(InputError, match="reweight: is given with a share"):
        train(SMALL, (x, y), BinaryCrossEntropy(), rng=1, epochs=3, validation=0.2, reweight=lambda training: y)
