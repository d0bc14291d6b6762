"""Learned effects: the loss against numpy, networks side by side, the scale of an exponential, mixed terms, files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.learn import Model, Network, train
from hepstat.nplm.blocks import VariedLoss, joined, split
from hepstat.nplm.learned import LearnedEffect, learn_effect
from hepstat.nplm.samples import Terms

X = np.random.default_rng(1).exponential(size=20_000)
W = np.full(X.size, 2000 / X.size)
POINTS = (-0.3, -0.15, 0.15, 0.3)


def stretched(x: Any, nu: Any) -> Any:
    """Shift events."""
    return x * np.exp(nu[0])


def naive_loss(matrix: Any, f: Any, y: int, w: float) -> float:
    """Squared loss of one event with the classifiers 1 / (1 + e^s)."""
    c = 1 / (1 + np.exp(matrix @ f))
    return float(w * np.sum((1 - c) ** 2) if y == 0 else w * c[y - 1] ** 2)


@pytest.mark.kernels
def test_loss() -> None:
    """Value and slopes against numpy and differences; far scores stay finite."""
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(3, 2))
    f, y, w = rng.normal(size=(40, 2)), rng.integers(0, 4, 40), rng.uniform(-0.5, 2, 40)
    loss = VariedLoss(matrix)
    value, gradient = loss(f, y, w)
    events = list(zip(f, y.tolist(), w.tolist(), strict=True))
    assert value == pytest.approx(sum(naive_loss(matrix, *event) for event in events), rel=1e-12)
    for (scores, label, weight), slopes in zip(events, gradient, strict=True):
        for j, h in enumerate(np.eye(2) * 1e-5):
            rise = naive_loss(matrix, scores + h, label, weight) - naive_loss(matrix, scores - h, label, weight)
            assert slopes[j] == pytest.approx(rise / 2e-5, abs=1e-9)
    far, slopes = loss([[800.0, 800.0], [-800.0, 800.0]], [0.0, 1.0])
    assert np.isfinite(far)
    assert np.isfinite(slopes).all()


def test_networks_side_by_side() -> None:
    """Joined networks give the scores of each, and remain apart in training."""
    network = Network(2, (4, 3), "tanh")
    models = [network.initial(seed) for seed in (1, 2, 3)]
    model, limits = joined(models)
    x = np.random.default_rng(3).normal(size=(50, 2))
    np.testing.assert_allclose(model(x), np.stack([m(x) for m in models], axis=1), rtol=1e-5, atol=1e-6)
    y = np.arange(50) % 3
    loss = VariedLoss(np.array([[1.0, 1, 1], [-1, 1, 2]]))
    after = train(model, (x, y), loss, rng=1, epochs=3, batch_size=10, clip=limits).model
    assert (after.theta[limits == 0] == 0).all()
    assert (after.theta[limits > 0] != model.theta[limits > 0]).mean() > 0.9
    np.testing.assert_allclose(
        after(x), np.stack([m(x) for m in split(after, network, 3)], axis=1), rtol=1e-5, atol=1e-6
    )
    for clip in (np.ones(3), -limits - 1):
        with pytest.raises(InputError, match="clip"):
            train(model, (x, y), loss, rng=1, clip=clip)


def test_scale(tmp_path: Path) -> None:
    """The scale of an exponential from shifted copies: density, yields, closure; files; the same bits from one seed."""
    options: dict[str, Any] = {"rng": 1, "epochs": 30, "hidden": (10, 10), "activation": "tanh", "batch_size": 1024}
    effect = learn_effect("scale", (X, W), stretched, POINTS, **options)
    assert isinstance(effect.models[0], Model)
    for nu in (-0.15, 0.15):
        off = effect.log_ratio(X, nu) - (-X * np.expm1(-nu) - nu)
        assert np.sqrt(np.mean(off**2)) < 0.03
    report = effect.report
    assert report.best_epoch == int(np.argmin(report.validation_loss))
    np.testing.assert_allclose(report.yields, 1.0, rtol=1e-12)
    np.testing.assert_allclose(report.yields_kept, 1.0, atol=3e-3)
    assert len(effect.closure) == 4
    assert all(closure.p[0] > 1e-3 for closure in effect.closure)
    np.testing.assert_array_equal(effect.reach, [(-0.3, 0.3)])
    effect.save(tmp_path / "effect.npz")
    again = LearnedEffect.load(tmp_path / "effect.npz")
    np.testing.assert_array_equal(again.planes(X), effect.planes(X))
    assert again.describe() == effect.describe()
    assert again.report.to_dict() == report.to_dict()
    assert again.closure[2].to_dict() == effect.closure[2].to_dict()
    same = learn_effect("scale", (X, W), stretched, POINTS, workers=2, reach=(-1, 1), **options)
    np.testing.assert_array_equal(same.planes(X), effect.planes(X))
    np.testing.assert_array_equal(same.reach, [(-1, 1)])
    assert same.describe() != effect.describe()  # fits go further, so toys differ
    network = replace(effect.models[0].network, activation="relu")
    other = replace(effect, models=tuple(replace(model, network=network) for model in effect.models))
    assert other.describe() != effect.describe()
    (tmp_path / "other.npz").write_bytes(b"no")
    with pytest.raises(InputError, match="no learned effect"):
        LearnedEffect.load(tmp_path / "other.npz")


def test_mixed_terms() -> None:
    """Two nuisances of independent samples with yields: a normal's mean, and a normalisation that depends on it."""

    def log_ratio(x: Any, a: float, b: float) -> Any:
        return a * x - a**2 / 2 + b + a * b

    points = [(-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5), (0.5, 0.5), (-0.5, 0.5)]
    rng, samples = np.random.default_rng(4), {}
    for a, b in points:
        samples[a, b] = rng.normal(a, size=10_000), np.full(10_000, 0.01 * np.exp(b + a * b))
    x = rng.normal(size=10_000)
    effect = learn_effect(
        ("a", "b"), (x, np.full(x.size, 0.01)), samples, rng=2, epochs=30, hidden=(6,), activation="tanh"
    )
    assert effect.polynomial.exponents.tolist() == [[1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    np.testing.assert_allclose(effect.report.yields_kept, effect.report.yields, rtol=0.03)
    for nu in ((0.5, 0.5), (-0.5, 0.5), (0.3, -0.3)):
        off = effect.log_ratio(x, nu) - log_ratio(x, *nu)
        assert np.sqrt(np.mean(off**2)) < 0.08
    shapes = learn_effect(
        "a", x, {p[0]: s[0] for p, s in samples.items() if p[1] == 0}, rng=1, epochs=1, normalise=True
    )
    np.testing.assert_allclose(shapes.report.yields, 1.0, rtol=1e-12)


def test_terms() -> None:
    """Terms of two nuisances in units of the largest values, with factorials; pure powers on request."""
    points = np.array([(1.0, 0), (-2, 0), (0, 3), (0, -3), (2, 3)])
    terms = Terms.at(points, 2, True)
    u, v = (points / [2, 3]).T
    np.testing.assert_allclose(terms.matrix, np.stack([u, v, u**2 / 2, u * v, v**2 / 2], axis=1))
    np.testing.assert_allclose(terms.polynomial([1.0, -3.0]), [0.5, -1, 0.125, -0.5, 0.5])
    assert Terms.at(points, 2, False).exponents.tolist() == [[1, 0], [0, 1], [2, 0], [0, 2]]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"points": (0.1,)}, "1 of 2 terms"),
        ({"order": 0}, "order"),
        ({"validation": 1.0}, "validation"),
        ({"points": None}, "points"),
        ({"names": ()}, "name of its own"),
        ({"central": (X, W, W)}, "tuple of 3"),
        ({"varied": lambda x, nu: x[:5]}, "shape"),
        ({"activation": "none"}, "activation"),
        ({"central": (X[:100], W[:100])}, "effective events of a sample"),
        ({"reach": (0, 1)}, "reach"),
    ],
)
def test_bad_input(options: dict[str, Any], word: str) -> None:
    """Errors name what to change, before anything is trained or at the latest after."""
    given = {"names": "scale", "central": (X, W), "varied": stretched, "points": POINTS, "rng": 1, "epochs": 1}
    with pytest.raises(InputError, match=word):
        learn_effect(**{**given, **options})
