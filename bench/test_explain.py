"""Shapley values of a network: ours, and all coalitions at once in numpy; permutation importance and scikit-learn's.

The peer of Shapley values scores the same mixtures of features with the same network in single precision, one matrix
product per layer and 65,536 mixtures at a time. Ours works with one thread, as does numpy; what ours does beyond that,
the errors of the background, is part of its time.
"""

import itertools
import math

import numpy as np
import pytest
from test_learning import record, timed

from hepstat.explain import permutation_importance, shapley_values
from hepstat.learn import Network
from hepstat.learn.network import Model

pytestmark = pytest.mark.filterwarnings("default")  # a warning of a peer is not our error

N_FEATURES, HIDDEN = 8, (32, 32)
N_EVENTS, N_BACKGROUND = 100, 100
AT_ONCE = 1 << 16
ROUNDS = 5


def case(d=N_FEATURES):
    """Return a network with events and background."""
    rng = np.random.default_rng(1)
    network = Network(d, HIDDEN)
    theta = rng.normal(size=network.n_weights) / 4
    return Model(network, theta), rng.normal(size=(N_EVENTS, d)), rng.normal(size=(N_BACKGROUND, d))


def layers(model):
    """Return transposed weights and biases of each layer."""
    found, at = [], 0
    for n_in, n_out in itertools.pairwise(model.network.widths):
        middle, end = at + n_in * n_out, at + (n_in + 1) * n_out
        found.append((np.ascontiguousarray(model.theta[at:middle].reshape(n_out, n_in).T), model.theta[middle:end]))
        at = end
    return found


def forward(parts, x):
    """Return scores (n,) in single precision."""
    for i, (matrix, bias) in enumerate(parts):
        x = x @ matrix
        x += bias
        if i < len(parts) - 1:
            np.maximum(x, 0.0, out=x)
    return x[:, 0]


def enumerate_coalitions(model, x, background):
    """Return exact Shapley values (n, d) with vectorised numpy."""
    parts, (n, d), m = layers(model), x.shape, len(background)
    x, background = x.astype(np.float32), background.astype(np.float32)
    members = (np.arange(1 << d)[:, np.newaxis] >> np.arange(d)) & 1 == 1
    size = members.sum(axis=1)[:, np.newaxis]
    weight = np.array([1.0 / (d * math.comb(d - 1, s)) for s in range(d)] + [0.0])
    coefficients = np.where(members, weight[size - 1], -weight[size])
    step = max(1, AT_ONCE // (m * len(members)))
    values = np.empty((n, d))
    for low in range(0, n, step):
        own = x[low : low + step]
        mixed = np.where(members[:, np.newaxis, np.newaxis], own[:, np.newaxis], background)  # (c, n, m, d)
        scores = forward(parts, mixed.reshape(-1, d)).reshape(len(members), len(own), m).mean(axis=2, dtype=float)
        values[low : low + step] = scores.T @ coefficients
    return values


@pytest.mark.parametrize("who", ["ours", "numpy"])
def test_exact(benchmark, peer, lines, who):
    """All 256 coalitions of 8 features, 100 events, 100 background, network 8-32-32-1."""
    model, x, background = case()
    group = f"Shapley values of {N_EVENTS} events, {N_BACKGROUND} background, 8-32-32-1"
    if who == "ours":
        found = shapley_values(model, x, background).values
        np.testing.assert_allclose(found, enumerate_coalitions(model, x, background), atol=1e-6)
        record(benchmark, group, who, lambda: timed(lambda: shapley_values(model, x, background), ROUNDS), per=1)
        return

    def run():
        with peer("threadpoolctl").threadpool_limits(1):
            return timed(lambda: enumerate_coalitions(model, x, background), ROUNDS)

    record(benchmark, group, who, run, per=1)


def test_rate(lines):
    """Mixtures of features in a second, for networks and both methods."""
    for d, options in ((8, {}), (12, {}), (20, {"rng": 1})):
        model, x, background = case(d)
        few = x[:20]
        found = shapley_values(model, few, background, **options)
        seconds = min(timed(lambda m=model, f=few, b=background, o=options: shapley_values(m, f, b, **o), 3))
        n = len(few) * N_BACKGROUND * found.n_coalitions
        lines.append(f"Shapley values, {d}-32-32-1, {found.method}: {1e9 * seconds / n:.1f} ns a mixture")


@pytest.mark.parametrize("who", ["ours", "scikit-learn"])
def test_permutation(benchmark, peer, who):
    """Drops of the area of 20,000 events by 8 features, 5 repeats, from the same network."""
    model, _, _ = case()
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20_000, N_FEATURES))
    y = (model(x) + rng.logistic(size=len(x)) > 0).astype(int)
    group = "permutation importance, 20,000 events, 8 features, 5 repeats"
    if who == "ours":

        def run():
            return permutation_importance(model, x, y, repeats=5, rng=1)

    else:
        base, inspection = peer("sklearn.base"), peer("sklearn.inspection")

        class Fitted(base.ClassifierMixin, base.BaseEstimator):
            """The network as scikit-learn sees it."""

            classes_ = np.array([0, 1])

            def fit(self, x, y):
                return self

            def decision_function(self, x):
                return model(x)

        def run():
            return inspection.permutation_importance(
                Fitted(), x, y, scoring="roc_auc", n_repeats=5, random_state=1, n_jobs=1
            )

    record(benchmark, group, who, lambda: timed(run, ROUNDS), per=1)
