"""Permutation importance: drops against their definition and expectation, weights, and both kinds of errors."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from hepstat.errors import InputError
from hepstat.explain import PermutationImportance, permutation_importance
from hepstat.explain.metrics import new_metric
from hepstat.explain.permutation import _donors
from hepstat.learn import BinaryCrossEntropy, Network, SoftZ, SquaredError
from hepstat.seeds import stream_key, toy_generator
from hepstat.selection import roc

SLOPES = np.array([1.0, 0.5, 0.0])


def events(n: int, seed: int = 1) -> tuple[Any, Any]:
    """Return features (n, 3) with means that the first two shift by for signal, and labels."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.5).astype(float)
    return rng.normal(size=(n, 3)) + np.outer(y, SLOPES), y


def line(x: Any) -> Any:
    """Return the log odds of these events."""
    return (x - 0.5 * SLOPES) @ SLOPES


def test_area_and_its_error():
    """The area and its error are those of the ROC curve, with ties and weights."""
    x, y = events(500)
    scores, w = np.round(line(x), 1), np.random.default_rng(2).exponential(size=500)
    measure = new_metric("auc", y, w)
    value, added = measure(scores)
    curve = roc(scores, y, w)
    assert_allclose(value, curve.auc, rtol=1e-12)
    assert_allclose(measure.error(added), curve.auc_error, rtol=1e-12)


def test_definition():
    """Each drop is the metric minus that with the feature of other events, the same ones for all features."""
    x, y = events(300)
    found = permutation_importance(line, x, y, repeats=4, rng=5)
    for repeat in range(4):
        donors = toy_generator(stream_key(5), repeat).permutation(300)
        for k in range(3):
            changed = x.copy()
            changed[:, k] = x[donors, k]
            wanted = roc(line(x), y).auc - roc(line(changed), y).auc
            assert_allclose(found.drops[repeat, k], wanted, atol=1e-12)
    assert_allclose(found.importance, found.drops.mean(axis=0))
    assert_allclose(found.permutation_errors, found.drops.std(axis=0, ddof=1) / 2.0)
    assert found.ranking.tolist() == [0, 1, 2]


def test_expectation():
    """The area of a normal score is known with and without a feature; one that is not used costs nothing."""
    x, y = events(20_000)
    found = permutation_importance(line, x, y, repeats=5, rng=1)
    size = float(SLOPES @ SLOPES)
    whole = norm.cdf(math.sqrt(size / 2.0))
    # the score is a sum: what is permuted has the mixture of both classes, with mean shift 0
    for k, other in ((0, 0.25), (1, 1.0)):
        shift = SLOPES[k] ** 2  # of the feature's part of the score, between classes
        difference = [a - b for a in (0.0, shift) for b in (0.0, shift)]
        without = np.mean([norm.cdf((other + gap) / math.sqrt(2.0 * size)) for gap in difference])
        assert abs(found.importance[k] - (whole - without)) < 4.0 * found.importance_errors[k]
    assert not found.drops[:, 2].any()
    assert found.sample_errors[2] == 0.0


def test_networks_are_functions():
    """A compiled network and the function that calls it give the same drops."""
    x, y = events(300)
    model = Network(3, (8,), dtype="float64").initial(1)
    one, two = (permutation_importance(f, x, y, repeats=2, rng=1) for f in (model, model.scores))
    assert_allclose(one.drops, two.drops, atol=1e-12)


def test_losses_and_own_metrics():
    """The loss is the mean cross-entropy, as a loss of training it has the same drops, and so has a function of it."""
    x, y = events(200)
    w = np.random.default_rng(1).exponential(size=200)
    options: dict[str, Any] = {"weights": w, "repeats": 3, "rng": 2}
    plain = permutation_importance(line, x, y, metric="loss", **options)
    assert_allclose(plain.value, -BinaryCrossEntropy()(line(x), y, w)[0] / w.sum())
    for metric in (BinaryCrossEntropy(), lambda f, t, v: -BinaryCrossEntropy()(f, t, v)[0] / v.sum()):
        own = permutation_importance(line, x, y, metric=metric, **options)
        assert_allclose(own.drops, plain.drops, atol=1e-12)
        assert np.isnan(own.sample_errors).all()
        assert_array_equal(own.importance_errors, own.permutation_errors)
    real = permutation_importance(line, x, line(x), metric=SquaredError(), rng=1)
    assert real.metric == "SquaredError"
    assert real.value == 0.0
    assert real.importance[0] > real.importance[1] > 0.0
    assert permutation_importance(line, x, y, metric=SoftZ(5), rng=1).importance[0] > 0.0


def test_groups():
    """Columns of a group move together, so that a sum of them that does not depend on others is kept."""
    x, y = events(1000)
    copied = np.c_[x[:, 0], x[:, 0], x[:, 1]]
    f = lambda z: z[:, 0] - z[:, 1] + 0.1 * z[:, 2]  # noqa: E731
    alone = permutation_importance(f, copied, y, rng=1)
    together = permutation_importance(f, copied, y, groups={"pair": [0, 1], "other": [2]}, rng=1)
    assert together.names == ("pair", "other")
    assert_allclose(together.importance[0], 0.0, atol=1e-12)
    assert alone.importance[0] > 0.05
    assert_array_equal(together.drops[:, 1], alone.drops[:, 2])
    found = permutation_importance(f, copied, y, groups=[(0, 1), (2,)], names=["a", "b", "c"], rng=1)
    assert found.names == ("a, b", "c")


def test_weights():
    """Whole weights do what copies of events do, within errors; equal ones are those of a permutation."""
    donors = _donors(np.full(50, 0.1), stream_key(1), 0)
    assert_array_equal(np.sort(donors), np.arange(50))
    w = np.array([3.0, 0.0, 1.0, 2.0, 0.0])
    counts = np.bincount(_donors(w, stream_key(1), 0), minlength=5)
    assert (np.abs(counts - 5 * w / 6) < 1.0).all()
    assert counts[w == 0].sum() == 0
    x, y = events(4000)
    weights = np.where(x[:, 0] > 1.0, 3, 1)
    given = permutation_importance(line, x, y, weights=weights, rng=1)
    copies = permutation_importance(line, np.repeat(x, weights, axis=0), np.repeat(y, weights), rng=2)
    assert_allclose(given.value, copies.value, rtol=1e-12)
    errors = np.hypot(given.permutation_errors, copies.permutation_errors)
    assert (np.abs(given.importance - copies.importance) <= 4.0 * errors).all()


@pytest.mark.parametrize("metric", ["auc", "loss"])
def test_errors(metric):
    """Over 200 samples the importance scatters as its errors say, within 20 % (four errors of the spread)."""
    options: dict[str, Any] = {"metric": metric, "repeats": 8}
    found = [permutation_importance(line, *events(400, seed), rng=seed, **options) for seed in range(200)]
    spread = np.std([each.importance for each in found], axis=0, ddof=1)[:2]
    stated = np.sqrt(np.mean([each.importance_errors**2 for each in found], axis=0))[:2]
    assert_allclose(spread / stated, 1.0, atol=0.2)


def test_errors_of_permutations():
    """With the same events, the importance scatters over seeds as the errors of permutations say."""
    x, y = events(200)
    found = [permutation_importance(line, x, y, repeats=5, rng=seed) for seed in range(200)]
    spread = np.std([each.importance for each in found], axis=0, ddof=1)[:2]
    stated = np.sqrt(np.mean([each.permutation_errors**2 for each in found], axis=0))[:2]
    assert_allclose(spread / stated, 1.0, atol=0.2)
    single = permutation_importance(line, x, y, repeats=1, rng=1)
    assert np.isnan(single.permutation_errors).all()
    assert_array_equal(single.importance_errors, single.sample_errors)


def test_same_for_any_workers():
    """The number of threads changes no bit, and the result travels through JSON."""
    x, y = events(300)
    one, two = (permutation_importance(line, x, y, rng=1, workers=workers) for workers in (1, 2))
    again = PermutationImportance.from_json(two.to_json())
    for name in ("drops", "importance", "permutation_errors", "sample_errors"):
        assert_array_equal(getattr(one, name), getattr(again, name))
    assert "auc = 0." in repr(one)
    assert "drop: x0 " in repr(one)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model": Network(3, n_parameters=1).initial(1)}, "model: has 1 parameters of the hypothesis"),
        ({"model": Network(2).initial(1)}, "x: has 3 features"),
        ({"x": [[1.0, np.inf, 0.0]]}, "x: has 0 NaN and 1 infinite"),
        ({"y": [1.0, 0.0]}, "y: has 2 entries for 20"),
        ({"y": np.ones(20)}, "y: has no background"),
        ({"y": np.arange(20)}, "y: has the label 2"),
        ({"y": np.arange(20), "metric": "loss"}, "y: has the label 2"),
        ({"weights": np.r_[-1.0, np.ones(19)]}, "weights: has 1 negative"),
        ({"metric": "accuracy"}, "metric: is 'accuracy'"),
        ({"metric": lambda f, y, w: math.nan}, "metric: is nan"),
        ({"repeats": 0}, "repeats"),
        ({"groups": [[0, 3]]}, "groups: has the columns"),
        ({"groups": {"a": []}}, "groups: has the columns"),
        ({"groups": []}, "groups: is empty"),
        ({"groups": [0, 1]}, "groups: has the entry 0"),
        ({"groups": 3}, "groups: has the entry 3"),
        ({"groups": ["ab"]}, "groups: has the entry 'ab'"),
        ({"groups": [[0], [0]]}, "groups: has equal entries"),
        ({"names": ["a"]}, "names: are a for "),
        ({"rng": 1.5}, "rng"),
    ],
)
def test_bad_input(changes, match):
    """Errors name the argument and the remedy."""
    x, y = events(20)
    arguments: dict[str, Any] = {"model": line, "x": x, "y": y, "rng": 1, **changes}
    with pytest.raises(InputError, match=match):
        permutation_importance(arguments.pop("model"), arguments.pop("x"), arguments.pop("y"), **arguments)
