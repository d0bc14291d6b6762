"""Signed ratios and confidences on a few categories, where everything is known exactly; bad input."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError, TrainingError
from hepstat.learn import (
    Adam,
    BinaryCrossEntropy,
    CandidateLabels,
    CategoricalBrier,
    CategoricalCrossEntropy,
    ComplementaryLabel,
    Constant,
    Cosine,
    LinearRatio,
    MaximumLikelihoodRatio,
    Network,
    SignedCategoricalCrossEntropy,
    SignedCrossEntropy,
    SquaredError,
    train,
)
from hepstat.ratio import AnalyticRatio
from hepstat.weights import (
    InterferenceRatio,
    SignedMixtureRatio,
    WeakSignalWarning,
    learn_interference,
    learn_signed_mixture,
    optimum,
    train_candidates,
)

S_PLUS, S_MINUS = np.array([3.0, 1.0, 2.0]), np.array([0.5, 2.0, 0.5])  # intensities of categories: 1 is negative
B_PLUS, B_MINUS = np.array([4.0, 5.0, 2.2]), np.array([1.0, 0.5, 0.2])
S, B = S_PLUS - S_MINUS, B_PLUS - B_MINUS
QUICK: dict[str, Any] = {
    "network": Network(3, (), dtype="float64"),
    "rng": 1,
    "epochs": 1200,
    "batch_size": None,
    "optimiser": Adam(0.05, schedule=Cosine()),
}


def events(plus: Any, minus: Any, copies: int = 2) -> tuple[Any, Any]:
    """Return one-hot events and signed weights with these intensities."""
    x = np.tile(np.eye(3), (2 * copies, 1))
    return x, np.concatenate([np.tile(plus, copies), -np.tile(minus, copies)]) / copies


def both() -> dict[str, Any]:
    """Return signal and background with weights."""
    (s, w_s), (b, w_b) = events(S_PLUS, S_MINUS), events(B_PLUS, B_MINUS)
    return {"signal": s, "background": b, "signal_weights": w_s, "background_weights": w_b}


@pytest.mark.parametrize("loss", [None, SignedCrossEntropy(), LinearRatio(), MaximumLikelihoodRatio(), SquaredError()])
def test_interference(loss: Any) -> None:
    """The ratio of intensities, negative where signal is; lambda is that of densities normalised to one."""
    ratio = learn_interference(**both(), loss=loss, **QUICK)
    assert_allclose(ratio(np.eye(3)), S / B, atol=2e-4)
    assert ratio(np.eye(3))[1] < 0
    assert_allclose(ratio.total(np.eye(3)), (S + B) / (S + B).sum() / (B / B.sum()), rtol=2e-4)
    assert (ratio.signal_yield, ratio.background_yield) == (pytest.approx(S.sum()), pytest.approx(B.sum()))
    assert_array_equal(pickle.loads(pickle.dumps(ratio))(np.eye(3)), ratio(np.eye(3)))


def test_units_and_yields() -> None:
    """Weights may be in any unit, and a mixture have any yields: parts are trained with equal sums."""
    parts = both()
    here = learn_interference(**parts, **QUICK)(np.eye(3))
    tiny = {name: 1e-9 * value if "weights" in name else value for name, value in parts.items()}
    assert_allclose(learn_interference(**tiny, **QUICK)(np.eye(3)), here, rtol=1e-5)
    mixture = learn_signed_mixture(**parts, **QUICK)(np.eye(3))
    weak = {**parts, "signal_weights": 1e-6 * parts["signal_weights"]}
    assert_allclose(learn_signed_mixture(**weak, **QUICK)(np.eye(3)), 1e-6 * mixture, rtol=1e-6)


def test_a_weak_signal_is_enhanced() -> None:
    """A signal far below the background is warned of, and learned as well as a strong one with `enhance`."""
    parts = both()
    weak = {**parts, "signal_weights": 1e-3 * parts["signal_weights"]}
    with pytest.warns(WeakSignalWarning, match="enhance="):
        learn_interference(**weak, **QUICK | {"epochs": 1})
    found = learn_interference(**weak, enhance=1000.0, **QUICK)
    assert_allclose(1e3 * found(np.eye(3)), S / B, atol=2e-4)
    assert_allclose(found.total(np.eye(3)), (1 + 1e-3 * S / B) / (1 + 1e-3 * S.sum() / B.sum()), rtol=1e-6)
    with pytest.raises(InputError, match=r"^enhance: is 0"):
        learn_interference(**parts, enhance=0.0, **QUICK)
    with pytest.raises(InputError, match="negative"):
        InterferenceRatio(constant(1e-3), 0.0, 1.0, enhance=0.5).total(np.ones((1, 1)))


def test_validation_of_interference() -> None:
    """Events for validation are stacked as those to train on: signal with background, against background."""
    parts = both()
    other = [parts[name] for name in ("signal", "background", "signal_weights", "background_weights")]
    options = QUICK | {"epochs": 300, "patience": 20}
    ratio = learn_interference(**parts, validation=other, **options)
    assert_allclose(ratio(np.eye(3)), S / B, atol=0.02)
    with pytest.raises(InputError, match="several"):
        learn_signed_mixture(**parts, validation=other, **QUICK)


@pytest.mark.parametrize("learn", [learn_interference, learn_signed_mixture])
def test_a_signal_that_takes_away_more_than_it_adds(learn: Any) -> None:
    """All weights of the signal may be negative, or add up to nothing."""
    b, w_b = events(B_PLUS, B_MINUS)
    for intensity in (np.array([-1.0, -2.0, -0.5]), np.array([1.0, -2.0, 1.0])):
        s, w_s = np.eye(3), intensity
        ratio = learn(s, b, signal_weights=w_s, background_weights=w_b, **QUICK)
        close = 2e-4 if learn is learn_interference else 5e-3  # parts without events somewhere have endless scores
        assert_allclose(ratio(np.eye(3)), intensity / B, atol=close)


def test_more_destruction_than_there_is() -> None:
    """Where signal and background add up to less than nothing there is no minimum, and training says so."""
    b, w_b = events(B_PLUS, 0 * B_MINUS, 100)
    s, w_s = np.tile(np.eye(3), (100, 1)), np.tile([1.0, -7.0, 3.0], 100) / 100
    with pytest.raises(TrainingError, match="class 1"):
        learn_interference(s, b, signal_weights=w_s, background_weights=w_b, **QUICK | {"optimiser": Adam(0.3)})


@pytest.mark.parametrize("loss", [None, LinearRatio()])
def test_signed_mixture(loss: Any) -> None:
    """The ratio of intensities, with parts of both signs in signal and in background."""
    ratio = learn_signed_mixture(**both(), **QUICK, loss=loss)
    assert_allclose(ratio(np.eye(3)), S / B, atol=2e-4)
    assert (ratio.positive_yield, ratio.negative_yield) == pytest.approx((S_PLUS.sum(), S_MINUS.sum()))
    assert ratio.background_absolute == pytest.approx((B_PLUS + B_MINUS).sum())
    assert ratio.background_negative_yield == pytest.approx(B_MINUS.sum())
    again = learn_signed_mixture(**both(), **QUICK, loss=loss)
    assert_array_equal(again(np.eye(3)), ratio(np.eye(3)))


def test_signed_mixture_of_positive_weights() -> None:
    """Is the ratio of one training, with and without weights."""
    s, b = np.repeat(np.eye(3), [30, 10, 20], axis=0), np.repeat(np.eye(3), [10, 10, 5], axis=0)
    ratio = learn_signed_mixture(s, b, **QUICK)
    assert ratio.negative is None
    assert ratio.background_negative is None
    assert_allclose(ratio(np.eye(3)), [3.0, 1.0, 4.0], rtol=1e-3)


def constant(r: float) -> AnalyticRatio:
    """Return a ratio that is the same everywhere."""
    return AnalyticRatio(lambda x: np.full(len(x), math.log(r)))


def test_how_parts_are_combined() -> None:
    """By the formula, and an error where nothing is left of the background."""
    ratio = SignedMixtureRatio(constant(2.0), constant(3.0), constant(1.5), 6.0, 5.0, 8.0, 2.0)
    assert_allclose(ratio(np.ones((2, 1))), [(6.0 * 2.0 - 5.0 * 3.0) / (8.0 - 2.0 * 2.0 * 1.5)] * 2)
    assert_allclose(InterferenceRatio(constant(0.5), -1.0, 4.0)(np.ones((1, 1))), [0.75 * 0.5 - 1.0])
    with pytest.raises(InputError, match=r"^x: has 2 of 2 events where the density of background"):
        SignedMixtureRatio(constant(2.0), None, constant(3.0), 6.0, 0.0, 8.0, 2.0)(np.ones((2, 1)))


@pytest.mark.parametrize("learn", [learn_interference, learn_signed_mixture])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"background_weights": [-1.0, -2.0, -1.0]}, "^background_weights: add up to -4, 3 of 3 negative"),
        ({"background_weights": [1.0, -2.0, 1.0]}, "^background_weights: add up to 0, 1 of 3 negative"),
        ({"signal_weights": [1.0, np.nan, 1.0]}, "^signal_weights: has 1 NaN"),
        ({"background_weights": [1.0, 1.0]}, "^background_weights: has 2 entries for 3 events"),
        ({"signal": [[1.0, np.nan, 0.0]] * 3}, "^signal: has 3 NaN"),
        ({"signal": np.empty((0, 3)), "signal_weights": None}, "^signal: is empty"),
        ({"background": np.empty((0, 3)), "background_weights": None}, "^background: is empty"),
        ({"background": np.ones((3, 2))}, "^background: has 2 features, signal 3"),
        ({"on_divergence": "return"}, "^on_divergence: is 'return'"),
    ],
)
def test_bad_input(learn: Any, changed: dict[str, Any], message: str) -> None:
    """Each argument, with its value, and what to do."""
    ones = {"signal_weights": np.ones(3), "background_weights": np.ones(3)}
    with pytest.raises(InputError, match=message):
        learn(**{"signal": np.eye(3), "background": np.eye(3), **ones, **QUICK, **changed})


def test_remedies() -> None:
    """What signal may be, what a loss can take, and what is torn by validation."""
    with pytest.raises(InputError, match=r"^signal_weights: are all zero, 3 of them"):
        learn_signed_mixture(np.eye(3), np.eye(3), signal_weights=[0.0, 0.0, 0.0], **QUICK)
    with pytest.raises(InputError, match=r"^signal_weights: add up to -4, 3 of 3 .* with background they add up to -1"):
        learn_interference(np.eye(3), np.eye(3), signal_weights=[-1.0, -2.0, -1.0], **QUICK)
    with pytest.raises(InputError, match=r"^validation: is float"):
        learn_interference(np.eye(3), np.eye(3), signal_weights=[1.0, -1.0, 1.0], validation=0.2, **QUICK)
    with pytest.raises(InputError, match=r"^weights: -0.333333 at index 0 is negative, .*MaximumLikelihoodRatio"):
        learn_interference(np.eye(3), np.eye(3), signal_weights=[-1.0, 1.0, 1.0], loss=BinaryCrossEntropy(), **QUICK)


Q_PLUS = np.array([[3.0, 1.0, 0.5], [0.5, 2.0, 2.0], [0.3, 1.0, 2.5]])  # (places, classes)
Q_MINUS = np.array([[0.5, 0.2, 0.3], [0.2, 0.5, 1.0], [1.0, 0.1, 0.5]])  # the first class is negative at the last


def classes(q_plus: Any = Q_PLUS, q_minus: Any = Q_MINUS) -> tuple[Any, Any, Any]:
    """Return one-hot places, classes and signed weights."""
    place, k = (index.ravel() for index in np.indices(q_plus.shape))
    return (
        np.tile(np.eye(3), (2, 1))[np.tile(place, 2)],
        np.tile(k, 2),
        np.concatenate([q_plus.ravel(), -q_minus.ravel()]),
    )


LINEAR: dict[str, Any] = {**QUICK, "network": Network(3, (), n_outputs=3, dtype="float64")}


def trained(loss: Any, data: Any) -> Any:
    """Return the probabilities (places, classes) that a linear model has learned."""
    options = {key: value for key, value in LINEAR.items() if key != "network"}
    training = train(LINEAR["network"], data, loss, **options)
    return loss.probability(training.model.scores(np.eye(3)))


@pytest.mark.parametrize(
    ("estimator", "loss"), [("ccl", ComplementaryLabel()), ("cc", CandidateLabels()), ("brier", CategoricalBrier())]
)
def test_training_reaches_the_optimum(estimator: str, loss: Any) -> None:
    """Three classes, one with a negative density at one of three places: the optimum of each loss, not the truth."""
    p = trained(loss, classes())
    wanted = optimum(estimator, Q_PLUS, Q_MINUS)
    assert_allclose(p, wanted, atol=0.02 if estimator == "brier" else 2e-4)  # whose slope vanishes towards zero
    q = Q_PLUS - Q_MINUS
    assert abs(p - q / q.sum(axis=1, keepdims=True))[2].max() > 0.1


def test_signed_cross_entropy_by_training() -> None:
    """Right where net densities are positive; given up where one is not."""
    q_minus = np.minimum(Q_MINUS, 0.5 * Q_PLUS)
    q = Q_PLUS - q_minus
    loss = SignedCategoricalCrossEntropy()
    assert_allclose(trained(loss, classes(q_minus=q_minus)), q / q.sum(axis=1, keepdims=True), atol=2e-4)
    x, y, w = (np.repeat(array, 20, axis=0) for array in classes())
    with pytest.raises(TrainingError, match="There is no minimum"):
        train(LINEAR["network"], (x, y, w), loss, rng=1, epochs=2000, batch_size=None, optimiser=Adam(0.3))


def test_confidences() -> None:
    """Refreshed every epoch, they reach the optimum of candidate labels, from uniform ones."""
    training = train_candidates(data=classes(), **LINEAR)
    p = CategoricalCrossEntropy().probability(training.model.scores(np.eye(3)))
    wanted = optimum("rc", Q_PLUS, Q_MINUS)
    assert_allclose(p, wanted, atol=1e-3)
    assert abs(wanted - optimum("ccl", Q_PLUS, Q_MINUS)).max() > 0.03


def test_first_epoch_of_confidences() -> None:
    """Confidences are uniform, so it is complementary labels; in the second they are those of the classifier."""
    x, y, w = classes()
    options: dict[str, Any] = {"rng": 2, "batch_size": None, "optimiser": Adam(0.1, schedule=Constant())}
    one = train_candidates(LINEAR["network"], (x, y, w), epochs=1, **options)
    same = train(LINEAR["network"], (x, y, w), ComplementaryLabel(), epochs=1, **options)
    assert one.train_loss[0] * abs(w).sum() == pytest.approx(same.train_loss[0] * w.sum(), rel=1e-12)
    two = train_candidates(LINEAR["network"], (x, y, w), epochs=2, **options)
    f = one.model.scores(x)
    p = CategoricalCrossEntropy().probability(f)
    cross = -np.log(p)
    confidences = p * (np.arange(3) != y[:, None])
    confidences /= confidences.sum(axis=1, keepdims=True)
    each = np.where(w < 0, (confidences * cross).sum(axis=1), cross[np.arange(len(y)), y])
    assert two.train_loss[1] == pytest.approx(abs(w) @ each / abs(w).sum(), rel=1e-12)


def test_confidences_without_negative_weights() -> None:
    """Are plain cross-entropy, to the bit; going on from a model works, and other events may validate."""
    x, y, w = classes(q_minus=0 * Q_MINUS)
    few: dict[str, Any] = {"rng": 3, "epochs": 20}
    plain = train(LINEAR["network"], (x, y, w), CategoricalCrossEntropy(), **few)
    ours = train_candidates(LINEAR["network"], (x, y, w), validation=(x, y, abs(w)), **few)
    assert_array_equal(ours.model.theta, plain.model.theta)
    more = train_candidates(ours.model, classes(), **few)
    assert more.train_loss[0] < train_candidates(LINEAR["network"], classes(), **few).train_loss[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": (np.eye(3), [0, 1, 3])}, "^y: 3 at index 2 is no class"),
        ({"data": (np.eye(3), [0, 1, 2], [-1.0, -1.0, -1.0])}, "^weights: add up to -3"),
        ({"data": (np.eye(3), [0, 1, 2], [2.0, -1.0, -1.0])}, "^weights: add up to 0"),
        ({"data": (np.eye(3), [0, 1, 2], [1.0, np.nan, 1.0])}, "^weights: has 1 NaN"),
        ({"data": (np.eye(3), [1, 1, 1])}, "^y: is 1 for all events"),
        ({"network": Network(3, ())}, "^scores: has 1 outputs"),
        ({"network": Network(2, (), n_outputs=3, n_parameters=1)}, "^network: has 1 parameters"),
        ({"validation": 0.2}, "^validation: is 0.2, which would tear candidates"),
        ({"validation": classes()}, "^weights: -0.5 at index 9 is negative"),
    ],
)
def test_bad_confidences(changed: dict[str, Any], message: str) -> None:
    """Each argument, with its value."""
    with pytest.raises(InputError, match=message):
        train_candidates(**{"data": classes(), **LINEAR, **changed})
