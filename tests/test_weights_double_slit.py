"""What networks learn on the double slit: consistent estimators the truth, biased ones the optimum predicted for them.

Two measures of how far a learned s(x)/b(x) is off, both of intensities and averaged over the line with |s + b|^2 where
that is above 2% of its peak. Of lambda = (s + b)/b, which is positive: mean |lambda'/lambda - 1|. Of r = s/b, which
crosses zero, so that no relative deviation exists there: mean |r' - r| over mean |r|. The second is about twice the
first here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from hepstat.learn import (
    Adam,
    BinaryCrossEntropy,
    Brier,
    CandidateLabels,
    CategoricalBrier,
    CategoricalCrossEntropy,
    ComplementaryLabel,
    Cosine,
    LinearRatio,
    MaximumLikelihoodRatio,
    Network,
    SignedCrossEntropy,
    SquaredError,
    train,
)
from hepstat.ratio import learn_ratio
from hepstat.studies.interference import DoubleSlit
from hepstat.weights import (
    ESTIMATORS,
    learn_interference,
    learn_signed_mixture,
    optimal_ratio,
    train_candidates,
)

SLIT = DoubleSlit()
N = 200_000
ONE, TWO = Network(6, (24, 24)), Network(6, (24, 24), n_outputs=2)
OPTIONS: dict[str, Any] = {"rng": 1, "epochs": 15, "batch_size": 1000, "optimiser": Adam(0.02, schedule=Cosine())}
CLOSE = 0.03


def waves(x: Any) -> Any:
    """Return features (n, 6): slow waves of the line, with which networks find fast ones within seconds."""
    phases = np.pi * np.arange(1, 4) * x
    return np.concatenate([np.sin(phases), np.cos(phases)], axis=1)


class Sample(NamedTuple):
    """Signal and background events with signed weights that are intensities, and both together with labels."""

    parts: dict[str, Any]
    x: Any
    y: Any
    w: Any


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Events of both, as many each."""
    return throw(1)


def throw(seed: int) -> Sample:
    """Return such a sample."""
    rng = np.random.default_rng(seed)
    (s, w_s), (b, w_b) = (SLIT.sample(N, rng, which) for which in ("signal", "background"))  # type: ignore[arg-type]
    w_s, w_b = w_s * SLIT.absolute_yield("signal") / N, w_b * SLIT.absolute_yield("background") / N
    s, b = waves(s), waves(b)
    parts = {"signal": s, "background": b, "signal_weights": w_s, "background_weights": w_b}
    return Sample(parts, np.concatenate([s, b]), np.repeat([1.0, 0.0], N), np.concatenate([w_s, w_b]))


def places() -> tuple[Any, Any, Any]:
    """Return points (n, 1) with enough density, positive and negative densities (n, 2) of background and signal."""
    x, _ = SLIT.grid(2000)
    x = x[SLIT.total(x) > 0.02 * SLIT.total(x).max()]
    return x, *SLIT.signed_densities(x)


def off(learned: Any, wanted: Any) -> tuple[float, float]:
    """Return how far lambda and r are off."""
    density = SLIT.total(places()[0])
    of_lambda = np.average(np.abs((1.0 + learned) / (1.0 + wanted) - 1.0), weights=density)
    of_r = np.average(np.abs(learned - wanted), weights=density) / np.average(np.abs(wanted), weights=density)
    return float(of_lambda), float(of_r)


def at_places() -> Any:
    """Return features of the points."""
    return waves(places()[0])


def one_score(sample: Sample, loss: Any) -> Any:
    """Return scores of a network that tells signal from background."""
    return train(ONE, (sample.x, sample.y, sample.w), loss, **OPTIONS).model(at_places())


def two_scores(sample: Sample, loss: Any) -> Any:
    """Return s/b from the probabilities of two classes."""
    return odds(train(TWO, (sample.x, sample.y, sample.w), loss, **OPTIONS))


def odds(training: Any) -> Any:
    """Return p_1 / p_0."""
    p = CategoricalCrossEntropy().probability(training.model.scores(at_places()))
    return p[:, 1] / p[:, 0]


def treated(sample: Sample, w_s: Any) -> Any:
    """Return s/b from cross-entropy with other weights of the signal, some of them zero."""
    w = np.append(w_s, sample.parts["background_weights"])
    return np.exp(train(ONE, (sample.x, sample.y, w), BinaryCrossEntropy(), **OPTIONS).model(at_places()))


def interference(sample: Sample, loss: Any) -> Any:
    """Return s/b from signal plus background against background."""
    return learn_interference(**sample.parts, network=ONE, loss=loss, **OPTIONS)(at_places())


def signed_mixture(sample: Sample) -> Any:
    """Return s/b from parts of either sign."""
    return learn_signed_mixture(**sample.parts, network=ONE, **OPTIONS)(at_places())


def from_share(f: Any) -> Any:
    """Return s/b from s / (s + b)."""
    return f / (1.0 - f)


CONSISTENT: dict[str, tuple[str, Callable[[Sample], Any]]] = {
    "S+B against B, cross-entropy": ("interference", lambda d: interference(d, SignedCrossEntropy())),
    "S+B against B, likelihood": ("interference", lambda d: interference(d, MaximumLikelihoodRatio())),
    "S+B against B, linear": ("interference", lambda d: interference(d, LinearRatio())),
    "linear ratio": ("linear ratio", lambda d: one_score(d, LinearRatio())),
    "squared error": ("squared error", lambda d: from_share(one_score(d, SquaredError()))),
    "signed mixture": ("signed mixture", signed_mixture),
}
BIASED: dict[str, tuple[str, Callable[[Sample], Any]]] = {
    "CCL": ("ccl", lambda d: two_scores(d, ComplementaryLabel())),
    "CC": ("cc", lambda d: two_scores(d, CandidateLabels())),
    "RC": ("rc", lambda d: odds(train_candidates(TWO, (d.x, d.y, d.w), **OPTIONS))),
    "Brier": ("brier", lambda d: np.exp(one_score(d, Brier()))),
    "Brier of classes": ("brier", lambda d: two_scores(d, CategoricalBrier())),
    "drop": ("drop", lambda d: treated(d, np.maximum(d.parts["signal_weights"], 0.0))),
    "absolute": ("absolute", lambda d: treated(d, np.abs(d.parts["signal_weights"]))),
}


@pytest.mark.parametrize("name", CONSISTENT)
def test_consistent(name: str, sample: Sample) -> None:
    """The truth is learned, negative where it is, within 3%."""
    estimator, learn = CONSISTENT[name]
    x, positive, negative = places()
    truth = SLIT.signal(x) / SLIT.background(x)
    assert ESTIMATORS[estimator].consistent
    np.testing.assert_allclose(optimal_ratio(estimator, positive, negative), truth)
    of_lambda, of_r = off(learn(sample), truth)
    assert of_lambda < CLOSE
    assert of_r < (CLOSE if name in ("linear ratio", "signed mixture") else 2 * CLOSE)


@pytest.mark.parametrize("name", BIASED)
def test_biased(name: str, sample: Sample) -> None:
    """The optimum of the formula is learned within 3%, and so the truth is missed by as much as that is off."""
    estimator, learn = BIASED[name]
    x, positive, negative = places()
    truth, wanted = SLIT.signal(x) / SLIT.background(x), optimal_ratio(estimator, positive, negative)
    assert not ESTIMATORS[estimator].consistent
    learned = learn(sample)
    assert off(learned, wanted)[0] < CLOSE
    missed, predicted = off(learned, truth)[0], off(wanted, truth)[0]
    assert predicted > 0.14
    assert missed == pytest.approx(predicted, abs=CLOSE)


def test_absolute_weights_by_a_ratio(sample: Sample) -> None:
    """The same by way of a ratio of densities, with the yields that belong to it."""
    w = np.abs(sample.parts["signal_weights"])
    ratio = learn_ratio(**sample.parts | {"signal_weights": w}, network=ONE, **OPTIONS)
    _, positive, negative = places()
    learned = ratio(at_places()) * w.sum() / sample.parts["background_weights"].sum()
    assert off(learned, optimal_ratio("absolute", positive, negative))[0] < CLOSE


@pytest.mark.parametrize("loss", [SignedCrossEntropy(), MaximumLikelihoodRatio()], ids=repr)
def test_no_optimum(loss: Any, sample: Sample) -> None:
    """Signal against background has none where the signal is negative, and training is stopped."""
    _, positive, negative = places()
    names = {"SignedCrossEntropy": "signed cross-entropy", "MaximumLikelihoodRatio": "maximum likelihood ratio"}
    optimum = optimal_ratio(names[type(loss).__name__], positive, negative)
    np.testing.assert_array_equal(np.isnan(optimum), negative[:, 1] > 0)
    slow = {**OPTIONS, "optimiser": Adam(1e-3), "on_divergence": "return"}
    training = train(ONE, (sample.x, sample.y, sample.w), loss, **slow)
    assert training.status == "no minimum"
