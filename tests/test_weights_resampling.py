"""Resampling of weights: cells, positive and neural resampling, unweighting, and closure before and after."""

import naive_weights as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.histogram import Regular
from hepstat.learn import Adam, Cosine, Network
from hepstat.studies.interference import CounterTerms, DoubleSlit
from hepstat.weights import (
    Cells,
    NegativeDensityWarning,
    NeuralResampler,
    Resampled,
    ResamplingClosure,
    compare_resampled,
    diagnose_weights,
    grid_cells,
    learn_resampler,
    numbered_cells,
    positive_resample,
    tree_cells,
    unweight,
)

EDGES = {"first": np.linspace(0.0, 6.0, 13), "second": Regular(10, -3, 3)}
BOTH = CounterTerms(0.3).sample(20_000, np.random.default_rng(1))


def test_tree_is_a_partition():
    """Boxes without overlap, each with its events, which are at least as many as wanted and at most about twice."""
    x = np.random.default_rng(2).normal(size=(3000, 3)) * [1.0, 5.0, 0.1]
    cells = tree_cells(x, 40)
    counts = np.bincount(cells.number)
    assert len(cells) == counts.size == 64
    assert ((counts >= 40) & (counts <= 80)).all()
    inside = (x[:, None] >= cells.low) & ((x[:, None] < cells.high) | (cells.high == x.max(axis=0)))
    assert_array_equal(inside.all(axis=2).argmax(axis=1), cells.number)
    assert (inside.all(axis=2).sum(axis=1) == 1).all()
    assert "64 with" in repr(cells)


@given(seed=st.integers(0, 1000), least=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_tree_does_not_know_the_order(seed, least):
    """Also with values that repeat, which are never divided."""
    rng = np.random.default_rng(seed)
    x = np.stack([rng.poisson(2.0, 300), rng.normal(size=300)], axis=1).astype(float)
    x[: rng.integers(300)] = x[0]
    order = rng.permutation(300)
    a, b = tree_cells(x, least), tree_cells(x[order], least)
    assert_array_equal(a.number[order], b.number)
    assert np.bincount(a.number).min() >= least
    values = {tuple(row) for row in x}
    assert all(len(set(a.number[(x == row).all(axis=1)])) == 1 for row in values)


def test_coarser_cells():
    """Unions of cells with the box around them; all of them at depth 0."""
    x = np.random.default_rng(3).random((1000, 2))
    cells = tree_cells(x, 50)
    for depth in range(5):
        union = cells.coarser(depth)
        assert len(union) == 2**depth
        for i in range(len(union)):
            own = np.unique(cells.number[union.number == i])
            assert_array_equal(union.low[i], cells.low[own].min(axis=0))
            assert_array_equal(union.high[i], cells.high[own].max(axis=0))
    assert union.of_nodes(union.sums(np.ones(1000)))[0] == 1000


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_merging(seed):
    """As one at a time; no sum is negative, and cells that had to do nothing with it stay alone."""
    rng = np.random.default_rng(seed)
    cells = tree_cells(rng.random((60, 2)), 4) if seed % 2 else numbered_cells(rng.integers(0, 9, 60))
    sums = rng.normal(0.5, 1.0, len(cells))
    sums[0] += max(-sums.sum(), 0.0) + 1e-9
    groups = cells.merged(sums)
    where = naive.merged(cells.parent.tolist(), cells.leaf.tolist(), sums.tolist())
    assert_array_equal(np.unique(where, return_inverse=True)[1], groups)
    assert (np.bincount(groups, sums) >= -1e-12).all()


def test_cells_of_histograms():
    """Bins and what is outside of them, lower edges included."""
    x = np.array([[0.5, 0.0], [1.0, 5.0], [-3.0, 0.2], [2.0, 0.9]])
    cells = grid_cells(x, [[0.0, 1.0, 2.0], Regular(1, 0, 1)])
    assert len(cells) == 4 * 3
    low, high = cells.low[cells.number], cells.high[cells.number]
    assert ((x >= low) & (x < high)).all()
    assert_array_equal(low, [[0, 0], [1, 1], [-np.inf, 0], [2, 0]])
    assert_array_equal(grid_cells(x[:, 0], Regular(2, 0, 2)).number, [1, 2, 0, 3])
    assert_array_equal(numbered_cells([7, -1, 7, 3]).number, [2, 0, 2, 1])


def test_positive_resampling_is_its_definition():
    """Cell by cell; sums of cells are kept, and no weight is negative."""
    rng = np.random.default_rng(4)
    x, w = rng.random((400, 2)), rng.normal(0.4, 1.0, 400)
    cells = tree_cells(x, 20)
    found = positive_resample(x, w, cells=20)
    groups = cells.merged(cells.sums(w))[cells.number]
    assert_allclose(found.weights, naive.positive_resample(w.tolist(), groups.tolist()), rtol=1e-12, atol=1e-14)
    assert_allclose(np.bincount(groups, found.weights), np.bincount(groups, w), atol=1e-12)
    assert found.weights.min() >= 0.0
    assert_array_equal(found.index, np.arange(400))
    same = positive_resample(x, w, cells=cells)
    assert_array_equal(same.weights, found.weights)


@given(seed=st.integers(0, 1000), factor=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_positive_resampling_invariants(seed, factor):
    """The order of the events and the unit of the weights do not matter."""
    rng = np.random.default_rng(seed)
    x, w, order = rng.random((200, 1)), rng.normal(0.5, 1.0, 200), rng.permutation(200)
    w[0] += max(1.0 - w.sum(), 0.0)
    found = positive_resample(x, w, cells=10).weights
    assert_allclose(positive_resample(x[order], factor * w[order], cells=10).weights, factor * found[order], rtol=1e-9)


def test_positive_resampling_of_bins():
    """Histograms of the bins that are the cells do not change at all."""
    x, w = BOTH
    cells = grid_cells(x, list(EDGES.values()))
    closure = compare_resampled(x, positive_resample(x, w, cells=cells), EDGES)
    assert all(abs(pull) < 1.0 for pull in closure.largest_pull.values())
    one = grid_cells(x[:, 0], [EDGES["first"]])
    assert_allclose(
        compare_resampled(x[:, 0], positive_resample(x, w, cells=one), EDGES["first"]).pulls["x"], 0.0, atol=1e-10
    )


def test_merged_cells_are_reported():
    """With how negative the worst of them was; the interference of a double slit has some."""
    x, w = DoubleSlit().sample(5000, np.random.default_rng(5), "signal")
    found = positive_resample(x, w)
    assert "cells had a negative sum, down to -1" in found.message
    assert_allclose(found.sum_after, found.sum_before)
    assert "No sum of the 128 cells is negative" in positive_resample(*BOTH).message


def test_positive_resampling_and_unweighting():
    """Events of equal weight, with the same yields within the error."""
    x, w = BOTH
    found = positive_resample(x, w, rng=1)
    assert_allclose(found.weights, found.weights[0])
    closure = compare_resampled(x, found, EDGES)
    assert closure.error == "resampling"
    assert max(abs(pull) for pull in closure.largest_pull.values()) < 4.0
    assert_array_equal(found.index, positive_resample(x, w, rng=1).index)


def test_unweighting_keeps_expectations():
    """Pulls of many sums in units of the noise are standard normal; large weights stay."""
    rng = np.random.default_rng(6)
    w = rng.normal(0.5, 1.0, 4000)
    bins = np.arange(4000) % 20
    pulls = []
    for seed in range(60):
        found = unweight(w, rng=seed, reference=2.0)
        assert found.noise is not None
        after = np.bincount(bins[found.index], found.weights, 20)
        pulls.append((after - np.bincount(bins, w)) / np.sqrt(np.bincount(bins, found.noise)))
    n = np.size(pulls)
    assert abs(np.mean(pulls)) < 4.0 / np.sqrt(n)
    assert abs(np.var(pulls) - 1.0) < 4.0 * np.sqrt(2.0 / n)
    large = np.abs(w) > 2.0
    assert set(np.flatnonzero(large)) <= set(found.index)
    assert_allclose(np.abs(found.weights), np.maximum(np.abs(w[found.index]), 2.0))


def test_unweighting_of_equal_weights():
    """All are kept but those of zero."""
    found = unweight([2.0, -2.0, 0.0, 2.0], rng=1)
    assert_array_equal(found.index, [0, 1, 3])
    assert_array_equal(found.take(np.arange(4.0)), [0.0, 1.0, 3.0])
    assert_array_equal(found.weights, [2.0, -2.0, 2.0])
    assert_array_equal(found.noise, np.zeros(4))
    assert found.n_negative == (1, 1)


def local_toy(n, seed):
    """Return events, weights, and the known means of weights and of their squares."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1))
    share, size = 0.1 + 0.25 / (1.0 + np.exp(2.0 * x[:, 0])), 1.0 + 0.5 * np.tanh(x[:, 0])
    return x, np.where(rng.random(n) < share, -size, size), (1.0 - 2.0 * share) * size, size**2


def test_neural_resampling():
    """Learned means near the known ones; yields and sums of squares are kept in bins of other events."""
    x, w, _, _ = local_toy(20_000, 7)
    options = {"epochs": 12, "batch_size": 500, "optimiser": Adam(1e-2, schedule=Cosine())}
    resampler = learn_resampler(x, w, network=Network(1, (8,)), rng=1, **options)
    assert_allclose([resampler.mean(x).mean(), resampler.square(x).mean()], [w.mean(), (w**2).mean()])
    x, w, mean, square = local_toy(20_000, 8)
    assert np.average(np.abs(resampler.mean(x) / mean - 1.0)) < 0.05
    assert np.average(np.abs(resampler.square(x) / square - 1.0)) < 0.03
    found = resampler.resample(x, w, rng=2)
    assert found.weights.min() > 0.0
    keep = np.minimum(mean**2 / square, 1.0)
    assert abs(found.n_after - keep.sum()) < 0.1 * keep.sum()
    edges = np.linspace(-1.5, 2.0, 8)
    closure = compare_resampled(x, found, edges)
    assert np.abs(closure.pulls["x"]).max() < 3.5
    squares, others = closure.sumw2_after["x"], closure.sumw2_before["x"]
    fourth = np.histogram(x[found.index, 0], edges, weights=found.weights**4)[0]
    assert (np.abs(squares - others) < 4.0 * np.sqrt(fourth) + 0.05 * others).all()
    low = NeuralResampler(lambda x: 1e-9 + 0.0 * x[:, 0], resampler.square_ratio, 1.0, 1.0)
    with pytest.raises(InputError, match="none of 3 events"):
        low.resample(x[:3], np.ones(3), rng=1)


def test_neural_resampling_caps_probabilities():
    """Where the learned mean squared is above the mean of squares, events are kept with the mean as weight."""
    flat = NeuralResampler(lambda x: 1.0 + 0.0 * x[:, 0], lambda x: 0.5 + x[:, 0], 1.0, 1.0)
    x = np.linspace(0.0, 1.0, 101)
    found = flat.resample(x, np.ones(101), rng=1)
    assert "for 0.495 of them" in found.message
    low = x[found.index] < 0.5
    assert low.sum() == 50
    assert_array_equal(found.weights[low], 1.0)
    assert_allclose(found.weights[~low], 0.5 + x[found.index][~low])


def test_neural_resampling_warns_of_negative_densities():
    """Before it trains."""
    x, w = DoubleSlit().sample(3000, np.random.default_rng(9), "signal")
    options = {"network": Network(1, ()), "rng": 1, "epochs": 1}
    with pytest.warns(NegativeDensityWarning, match="cells are negative, down to -"):
        learn_resampler(x, w, **options)
    learn_resampler(x, w, check=False, **options)


def test_closure_report():
    """Sums of numpy, effective events, pulls of zero in empty bins, totals, and the way through JSON."""
    x, w = BOTH
    found = positive_resample(x, w)
    closure = compare_resampled(x, found, EDGES)
    for i, (name, axis) in enumerate(EDGES.items()):
        edges = getattr(axis, "edges", axis)
        for part, weights in (("before", w), ("after", found.weights)):
            sums, squares = (np.histogram(x[:, i], edges, weights=v)[0] for v in (weights, weights**2))
            assert_allclose(getattr(closure, f"yields_{part}")[name], sums, atol=1e-9)
            assert_allclose(getattr(closure, f"sumw2_{part}")[name], squares)
            assert_allclose(getattr(closure, f"sizes_{part}")[name], sums**2 / squares)
        difference = closure.yields_after[name] - closure.yields_before[name]
        assert_allclose(closure.pulls[name], difference / np.sqrt(closure.sumw2_before[name]))
    assert_allclose([closure.total_before, closure.total_after], w.sum())
    again = ResamplingClosure.from_json(closure.to_json())
    assert str(again) == str(closure)
    assert "first: largest pull" in str(closure)
    assert "statistical: first" in repr(closure)
    assert "effective events" in str(found)
    assert "positive resampling: 20000 -> 20000" in repr(found)


def test_closure_of_named_values():
    """Any observable of the events before, empty bins, and bins where only new weights are not zero."""
    found = Resampled(np.arange(3), np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.0, 1.0]), "m", "")
    values = {"a": [0.0, 1.0, 2.0], "b": [5.0, 5.0, 5.0]}
    closure = compare_resampled(values, found, {"a": [0.0, 1.0, 2.0, 3.0, 4.0]})
    assert_allclose(closure.pulls["a"], [-0.5, 1.0, 0.0, 0.0])
    assert_array_equal(closure.sizes_after["a"], [1.0, 1.0, 1.0, 0.0])
    assert list(compare_resampled(values["a"], found, Regular(2, 0, 2, name="p")).edges) == ["p"]


CELLS = tree_cells(np.arange(10.0), 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tree_cells(np.ones((5, 1)), 6), "min_events: is 6, x has 5 events"),
        (lambda: tree_cells([[np.nan]], 1), "x: has 1 NaN"),
        (lambda: grid_cells(np.ones((5, 2)), [[0, 1]]), "edges: are 1 for 2 features"),
        (lambda: numbered_cells([1, 2.5]), "numbers: has 2.5"),
        (lambda: positive_resample(np.ones((3, 1)), [1, 1], cells=1), "weights: has 2 entries for 3 events"),
        (lambda: positive_resample([1.0, 2.0], [-1, -2], cells=1), "weights: add up to -3"),
        (lambda: positive_resample([1.0, 2.0], [1, np.nan], cells=1), "weights: has 1 NaN"),
        (lambda: positive_resample([1.0, 2.0], [1, 1], cells=CELLS), "cells: are those of 10 events, x has 2"),
        (lambda: positive_resample([1.0, 2.0], [1, 1], cells=0), "cells: is 0"),
        (lambda: unweight([0.0, 0.0], rng=1), "weights: are all zero, 2 of them"),
        (lambda: unweight([1e-12, 1e-12], rng=1, reference=1.0), "reference: is 1, which keeps none of 2"),
        (lambda: unweight([1.0], rng=1, reference=0.0), "reference: is 0"),
        (lambda: unweight([1.0], rng=-1), "rng: is -1"),
        (lambda: unweight([1.0], rng=1).take([1.0, 2.0]), "values: has shape"),
        (lambda: compare_resampled([1.0, 2.0], unweight([1.0], rng=1), [0, 1]), "x: has 2 values for 1 events"),
        (
            lambda: compare_resampled({"a": [1.0]}, unweight([1.0], rng=1), {"b": [0, 1]}),
            "edges: has .'b'., values .'a'.",
        ),
        (
            lambda: compare_resampled([[1.0, 2.0]], unweight([1.0], rng=1), [0, 1]),
            "edges: has 1 histograms for 2 columns",
        ),
        (lambda: compare_resampled([1.0], unweight([1.0], rng=1), {}), "edges: is empty"),
        (lambda: compare_resampled([1.0], unweight([1.0], rng=1), [1, 0]), "edges: does not rise"),
    ],
)
def test_bad_input(call, message):
    """The error names argument and value."""
    with pytest.raises(InputError, match=message):
        call()


def test_cells_do_not_depend_on_weights():
    """So the net weight of cells is not biased: its mean over toys is that of the density, zero here."""
    rng = np.random.default_rng(10)
    x = rng.random((2000, 2))
    cells = tree_cells(x, 50)
    assert isinstance(cells, Cells)
    sums = np.array([cells.sums(rng.choice([-1.0, 1.0], 2000)) for _ in range(100)])
    assert abs(sums.mean()) < 4.0 * np.sqrt(2000 / len(cells) / sums.size)
    assert diagnose_weights(x, np.ones(2000)).verdict == "none"
