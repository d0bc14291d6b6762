"""Networks that are trained before a search, with the options of its trainings."""

import numpy as np
import pytest
from scipy.special import expit

from hepstat.errors import InputError
from hepstat.learn import Adam, Model
from hepstat.semisupervised import ClassifierTraining, FixedModel

OPTIONS = {"hidden": (4,), "epochs": 20, "optimiser": Adam(0.02), "patience": None, "validation": 0.0}
TRAINING = ClassifierTraining(**OPTIONS)
Y = np.repeat([0, 1], [900, 300])
X = np.random.default_rng(1).standard_normal((1200, 2)) + np.outer(Y, [1.0, 0.0])


def test_fit():
    """It tells the labels apart, the same for the same seed, and serves a search."""
    model = TRAINING.fit(X, Y, 1)
    assert isinstance(model, Model)
    assert FixedModel(model=model).fixed is model
    assert model(X)[Y == 1].mean() - model(X)[Y == 0].mean() > 0.5
    np.testing.assert_array_equal(model(X), TRAINING.fit(X, Y, 1)(X))
    assert not np.array_equal(model(X), TRAINING.fit(X, Y, 2)(X))


def test_balanced():
    """Where nothing can be learned the probability is 1/2 if balanced, else the share of weights, to .03."""
    x, w = np.random.default_rng(2).standard_normal((1200, 2)), np.where(Y == 1, 2.0, 1.0)
    for weights, ratio in ((None, 1.0 / 3.0), (w, 2.0 / 3.0)):
        for balanced, share in ((True, 0.5), (False, ratio / (1.0 + ratio))):
            how = ClassifierTraining(**OPTIONS, balanced=balanced, l2=0.1)
            assert expit(how.fit(x, Y, 1, weights)(x)).mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("option", ["l1", "l2"])
def test_penalties(option):
    """Large penalties leave nothing of what the network learns."""
    how = ClassifierTraining(**OPTIONS, **{option: 1.0})
    assert how.fit(X, Y, 1)(X).std() < 0.05 * TRAINING.fit(X, Y, 1)(X).std()


def test_stopping():
    """No epoch is better by as much as `min_delta` after the first, so training stops there."""
    one, many = (
        ClassifierTraining(hidden=(4,), epochs=epochs, patience=1, min_delta=10.0).fit(X, Y, 1) for epochs in (1, 20)
    )
    np.testing.assert_array_equal(one(X), many(X))


@pytest.mark.parametrize(
    ("how", "data", "shown"),
    [
        (ClassifierTraining(decorrelate="features"), (X, Y, 1), "decorrelate: is 'features'"),
        (TRAINING, (X, Y + 1, 1), "y: has"),
        (TRAINING, (X, Y[1:], 1), "y: has 1199 entries for 1200"),
        (TRAINING, (X, 0 * Y, 1), "y: has a label without weight"),
        (TRAINING, (X, Y, 1, -np.ones(1200)), "weights: has 1200 negative"),
        (TRAINING, (X, Y, 1, 1.0 - Y), "y: has a label without weight"),
    ],
)
def test_bad_input(how, data, shown):
    """The argument is named."""
    with pytest.raises(InputError, match=shown):
        how.fit(*data)
