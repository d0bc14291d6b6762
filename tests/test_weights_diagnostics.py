"""Diagnostics of negative weights: shares with errors, net densities, verdicts and what they recommend."""

import naive_weights as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.studies.interference import CounterTerms, DoubleSlit, Resonance
from hepstat.weights import WeightDiagnostics, diagnose_weights, tree_cells


def technical(n, fraction, seed):
    """Return events of counter-terms."""
    return CounterTerms(fraction).sample(n, np.random.default_rng(seed))


def physical(n, seed):
    """Return signal of a double slit."""
    return DoubleSlit().sample(n, np.random.default_rng(seed), "signal")


def test_numbers_are_their_definitions():
    """Of all events and of each class."""
    rng = np.random.default_rng(1)
    w, y = rng.normal(1.0, 1.0, 500), np.arange(500) % 2
    found = diagnose_weights(rng.random(500), w, y)
    assert found.samples == ("all", "class 0", "class 1")
    for name, part in zip(found.samples, (w, w[y == 0], w[y == 1]), strict=True):
        one = found.of(name)
        n, f = part.size, -part[part < 0].sum() / np.abs(part).sum()
        assert (one.n_events, one.n_negative) == (n, (part < 0).sum())
        assert_allclose(one.negative_fraction, (part < 0).mean())
        assert_allclose(one.negative_weight, f)
        assert_allclose(one.effective_size, part.sum() ** 2 / (part**2).sum())
        assert_allclose(one.inflation, n * (part**2).sum() / part.sum() ** 2)
        assert_allclose(one.sign_inflation, 1.0 / (1.0 - 2.0 * f) ** 2)


def test_errors_of_shares():
    """Those of the shares of events and of weights are the spread over toys."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(300):
        w = rng.exponential(size=400) * np.where(rng.random(400) < 0.2, -1.5, 1.0)
        found.append(diagnose_weights(np.arange(400.0), w).of("all"))
    for name in ("negative_fraction", "negative_weight"):
        values = np.array([getattr(each, name) for each in found])
        errors = np.array([getattr(each, f"{name}_error") for each in found])
        assert abs(values.std() / errors.mean() - 1.0) < 4.0 / np.sqrt(2 * 300)


def test_net_weights_of_cells():
    """As sums over the events inside of a cell, with their errors."""
    x, w = technical(3000, 0.3, 3)
    found = diagnose_weights(x, w, min_events=100)
    cells = tree_cells(x, 100)
    for i in range(len(cells)):
        own = w[cells.number == i]
        assert found.cell_events[i] == own.size
        assert_allclose([found.cell_net[i], found.cell_error[i]], [own.sum(), np.sqrt((own**2).sum())])
        assert_allclose(found.cell_negative[i], (own < 0).mean())
    assert_array_equal(found.cell_low, cells.low)
    assert_allclose(
        found.cell_negative_error, np.sqrt(found.cell_negative * (1 - found.cell_negative) / found.cell_events)
    )


def test_net_weights_of_neighbours():
    """As by sorting all events, for all of them in order; a subsample is part of that."""
    x, w = technical(300, 0.2, 4)
    x = x * [1.0, 100.0]
    found = diagnose_weights(x, w, method="neighbours", min_events=40)
    assert found.cell_net.size == 300
    for i in range(0, 300, 20):
        assert_allclose([found.cell_net[i], found.cell_error[i] ** 2], naive.neighbourhood(x, w, i, 40))
    some = diagnose_weights(x, w, method="neighbours", min_events=40, n_places=50, rng=1)
    assert some.cell_net.size == 50
    assert {tuple(row) for row in some.cell_low} <= {tuple(row) for row in found.cell_low}
    assert not np.array_equal(
        some.cell_low, diagnose_weights(x, w, method="neighbours", min_events=40, n_places=50, rng=2).cell_low
    )


@pytest.mark.parametrize("n", [300, 3000, 30_000])
def test_double_slit_is_physical(n):
    """Whatever the number of events, by cells and by neighbours; cells of the right places are negative."""
    x, w = physical(n, 5)
    for method in ("tree", "neighbours"):
        found = diagnose_weights(x, w, method=method, n_places=300)
        assert found.verdict == "physical"
        for word in ("learn_interference", "learn_signed_mixture", "Morphing", "Do not drop"):
            assert word in found.recommendation
    found = diagnose_weights(x, w)
    density = DoubleSlit().signal(np.linspace(found.cell_low[:, 0], found.cell_high[:, 0], 101)[..., np.newaxis])
    sums = density.reshape(101, -1).sum(axis=0)
    assert (sums[found.cell_significant] < 0).all()


@pytest.mark.parametrize(("n", "fraction"), [(2000, 0.1), (20_000, 0.3), (100_000, 0.4)])
def test_counter_terms_are_technical(n, fraction):
    """With enough events for the fraction; the recommendation has resampling and losses."""
    found = diagnose_weights(*technical(n, fraction, 6))
    assert found.verdict == "technical"
    assert found.of("all").resolved > 0.9
    for word in ("cell_resample", "positive_resample", "learn_resampler", "MaximumLikelihoodRatio", "guard"):
        assert word in found.recommendation


def test_too_few_events_are_unresolved():
    """Neither is said where signs cancel more than the events can tell."""
    found = diagnose_weights(*technical(1000, 0.45, 7))
    assert found.verdict == "unresolved"
    assert "Too few events" in found.recommendation


def test_waves_finer_than_all_cells():
    """Few cells say nothing about what is between their edges."""
    for n in (500, 2000):
        assert (
            diagnose_weights(*DoubleSlit(frequency=200.0).sample(n, np.random.default_rng(3), "signal")).verdict
            == "unresolved"
        )


@pytest.mark.parametrize("heavy", [3.0, 10.0, 100.0])
def test_rare_heavy_weights_are_no_negative_density(heavy):
    """Cells that have fewer of them than they should are not taken for negative more often than said."""
    share = (1.0 + 0.05) / (heavy + 1.0)  # net weight .05 per event
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        w = np.where(rng.random(10_000) < share, heavy, -1.0)
        if w.sum() > 0:
            found.append(diagnose_weights(rng.random(10_000), w).verdict == "physical")
    assert sum(found) <= 5  # 5% of at most 40: more have a probability below 2%


def test_order_of_events_at_the_same_places():
    """Neighbours among ties are drawn, whatever the order of the file."""
    rng = np.random.default_rng(9)
    x, w = rng.integers(0, 5, 4000).astype(float), np.where(rng.random(4000) < 0.2, -1.0, 1.0)
    order = np.argsort(w)
    for rows in (np.arange(4000), order):
        assert diagnose_weights(x[rows], w[rows], method="neighbours", n_places=200).verdict == "technical"


def test_a_class_with_a_negative_yield_is_physical():
    """Net destructive interference is found, as are weights of any unit."""
    x, w = physical(4000, 8)
    rng, y = np.random.default_rng(2), np.repeat([1, 0], 4000)
    data = np.concatenate([x, rng.uniform(-1, 1, (4000, 1))]), np.concatenate([w - 1.0, np.full(4000, 3.0)])
    for unit in (1.0, 1e200, 1e-200):
        found = diagnose_weights(data[0], unit * data[1], y)
        assert dict(zip(found.samples, found.verdicts, strict=True))["class 1"] == "physical"
        assert found.of("class 1").inflation == np.inf
        assert WeightDiagnostics.from_json(found.to_json()).of("class 1").inflation == np.inf


def test_positive_weights():
    """Nothing to do, and no cells."""
    found = diagnose_weights(np.arange(10.0), np.ones(10))
    assert (found.verdict, found.cell_net.size) == ("none", 0)
    assert "nothing has to be done" in str(found)
    assert_array_equal([found.negative_weight[0], found.sign_inflation[0]], [0.0, 1.0])


def test_classes_apart_and_together():
    """A negative signal on a large background: each class has its verdict, and the sum of both is positive."""
    toy, rng = DoubleSlit(), np.random.default_rng(8)
    parts = [(*toy.sample(20_000, rng, which), toy.absolute_yield(which)) for which in ("background", "signal")]
    x = np.concatenate([part[0] for part in parts])
    w = np.concatenate([part[1] * part[2] / part[1].size for part in parts])
    found = diagnose_weights(x, w, np.repeat([0, 1], 20_000))
    assert found.verdicts == ("technical", "none", "physical")
    assert found.verdict == "physical"
    assert "The density of class 1 is negative" in found.recommendation
    assert "class 0: no negative weights" in str(found)
    sizes = [found.of(name).cell_net.size for name in found.samples]
    assert sizes == [np.sum(found.cell_sample == i) for i in range(3)]
    assert sizes[1] == 0
    assert found.of("class 1").verdict == "physical"
    assert_array_equal(found.of("class 1").cell_low, found.cell_low[found.cell_sample == 2])
    with pytest.raises(InputError, match=r"name: is 'signal'. Pass one of 'all', 'class 0', 'class 1'"):
        found.of("signal")
    alone = diagnose_weights(x, np.where(np.arange(40_000) < 20_000, 0.1, 1.0) * w, np.repeat([0, 1], 20_000))
    assert alone.verdicts[0] == "physical"
    assert "background is missing" in alone.recommendation


def test_two_dimensional_interference():
    """Above the resonance, where it is negative, and nowhere else."""
    toy = Resonance()
    x, w = toy.sample(20_000, np.random.default_rng(9), "interference")
    found = diagnose_weights(x, w)
    assert found.verdict == "physical"
    assert (found.cell_high[found.cell_significant, 0] > toy.mass).all()
    assert found.cell_significant.sum() > 20


def test_chance_does_not_make_densities_negative():
    """In toys whose density is zero in most cells the verdict is physical no more often than the level says."""
    rng = np.random.default_rng(10)
    n_toys, wrong = 300, 0
    for _ in range(n_toys):
        x, w = rng.random((1200, 2)), rng.choice([-1.0, 1.0], 1200) * rng.exponential(size=1200)
        w = np.where(x[:, 0] < 0.25, np.abs(w), w)
        wrong += diagnose_weights(x, w, level=0.1).verdict == "physical"
    assert wrong <= 0.1 * n_toys + 3.0 * np.sqrt(0.09 * n_toys)


def test_rare_large_weights():
    """Cells that have none of the few large positive weights by chance are not taken for negative ones."""
    rng = np.random.default_rng(11)
    x = rng.random((20_000, 2))
    w = np.where(rng.random(20_000) < 0.02, 60.0, -1.0)
    for method in ("tree", "neighbours"):
        found = diagnose_weights(x, w, method=method, min_events=100, n_places=300)
        assert (found.cell_net / found.cell_error).min() < -8.0
        assert found.verdict == "unresolved"
        assert "large weights seen nearby" in str(found)


@given(seed=st.integers(0, 1000), factor=st.floats(1e-3, 1e3))
@settings(max_examples=15, deadline=None)
def test_invariants(seed, factor):
    """The order of events, the unit of weights and events of weight zero do not matter."""
    rng = np.random.default_rng(seed)
    x, w = technical(400, 0.25, seed)
    order = rng.permutation(500)
    more = np.concatenate([x, rng.normal(size=(100, 2))]), np.concatenate([factor * w, np.zeros(100)])
    a, b = diagnose_weights(x, w), diagnose_weights(more[0][order], more[1][order])
    assert (a.verdict, a.recommendation[:60]) == (b.verdict, b.recommendation[:60])
    assert_allclose(b.cell_net, factor * a.cell_net, rtol=1e-9, atol=1e-9 * factor)
    assert_allclose([b.inflation[0], b.cell_p.min()], [a.inflation[0], a.cell_p.min()], rtol=1e-6)


def test_report():
    """A table with a row and a line of cells for each sample; through JSON and back."""
    found = diagnose_weights(*technical(2000, 0.1, 12))
    text = str(found)
    assert "technical" in repr(found)
    for word in ("Negative weights: technical", "inflation", "cells of about 1", "standard errors from zero", "known"):
        assert word in text
    again = WeightDiagnostics.from_json(found.to_json())
    assert str(again) == text
    assert (again.cell_significant.dtype, again.n_events.dtype) == (np.bool_, np.int64)
    assert "neighbourhoods of about 100" in str(diagnose_weights(*technical(1000, 0.1, 12), method="neighbours"))


def test_smallest_samples():
    """Two events are a cell, of which nothing can be said; equal events too."""
    assert diagnose_weights([0.0, 1.0], [2.0, -1.0]).verdict == "unresolved"
    assert diagnose_weights([0.0, 1.0], [2.0, -1.0], method="neighbours").verdict == "unresolved"
    same = diagnose_weights(np.zeros(50), np.where(np.arange(50) < 5, -1.0, 1.0))
    assert (same.cell_net.size, same.verdict) == (1, "unresolved")


@pytest.mark.parametrize(
    ("x", "weights", "options", "message"),
    [
        ([0.0, 1.0], [1.0, np.nan], {}, "weights: has 1 NaN"),
        ([0.0, np.inf], [1.0, 1.0], {}, "x: has 0 NaN and 1 infinite"),
        ([0.0, 1.0], [-1.0, -2.0], {}, "weights: add up to -3"),
        ([0.0, 1.0], [1.0, -1.0], {}, "weights: add up to 0"),
        ([0.0, 1.0], [1.0], {}, "weights: has 1 entries for 2"),
        ([0.0], [1.0], {}, "x: has 1 event of all"),
        ([0.0, 1.0], [1.0, 0.0], {}, "x: has 1 event of all"),
        ([0.0, 1.0, 2.0], [1.0, 1.0, 1.0], {"y": [0, 0, 1]}, "x: has 1 event of class 1"),
        ([0.0, 1.0], [1.0, 1.0], {"y": [0]}, "y: has 1 labels for 2"),
        ([0.0, 1.0], [1.0, 1.0], {"method": "bins"}, "method: is 'bins'"),
        ([0.0, 1.0], [1.0, 1.0], {"level": 0.0}, "level: is 0"),
        ([0.0, 1.0], [1.0, 1.0], {"min_events": 1}, "min_events: is 1"),
        ([0.0, 1.0], [1.0, 1.0], {"n_places": 0}, "n_places: is 0"),
        ([0.0, 1.0], [1.0, 1.0], {"rng": -1}, "rng: is -1"),
    ],
)
def test_bad_input(x, weights, options, message):
    """The error names argument and value."""
    with pytest.raises(InputError, match=message):
        diagnose_weights(x, weights, **options)
