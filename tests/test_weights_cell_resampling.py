"""Cell resampling: against brute force, what it keeps, its limits, and its edges."""

import math
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from naive_weights import cell_resample as by_brute_force
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2, norm

from hepstat.errors import InputError
from hepstat.kernels.cell_resampling import plant_tree
from hepstat.learn.prepared import standardisation
from hepstat.weights import CellResampled, cell_resample, compare_resampled

COMPILED = not numba.config.DISABLE_JIT

# Few places and few values: most distances and weights are tied, and sums are exact.
GRIDS = st.tuples(st.integers(1, 40), st.integers(1, 3), st.integers(0, 2**32 - 1))
LIMITS = st.fixed_dictionaries(
    {
        "max_radius": st.sampled_from([math.inf, 0.0, 1.0, 1.5]),
        "max_events": st.sampled_from([None, 2, 5]),
        "share": st.sampled_from(["mean", "absolute"]),
    }
)


def on_grid(problem):
    """Return features (n, d) and weights (n,) of whole numbers with a sum of at least 1."""
    n, d, seed = problem
    rng = np.random.default_rng(seed)
    weights = rng.integers(-3, 5, n).astype(float)
    weights[0] += max(0.0, 1.0 - weights.sum())
    return rng.integers(0, 4, (n, d)).astype(float), weights


def signed_sample(n, d=2, seed=1, fraction=0.25):
    """Return features (n, d) of scales that differ, and weights of both signs and any size."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * 10.0 ** np.arange(d)
    return x, np.where(rng.random(n) < fraction, -1.0, 1.0) * rng.exponential(size=n)


def exact_sum(weights):
    """Return the sum without rounding."""
    return sum(map(Fraction, weights))


def agrees(found, expected):
    """Check weights and cells against those of brute force."""
    weights, seeds, sizes, radii = expected
    assert_array_equal(found.seeds, seeds)
    assert_array_equal(found.sizes, sizes)
    assert_allclose(found.radii, radii, rtol=1e-12)
    assert_allclose(found.weights, weights, rtol=1e-12, atol=1e-13)


@pytest.mark.kernels
@settings(deadline=None, max_examples=150 if COMPILED else 15)
@given(GRIDS, LIMITS)
@example((1, 1, 0), {})
@example((9, 1, 3), {})
def test_ties_as_by_brute_force(problem, options):
    """Many events at one place and at equal distances, with and without limits."""
    x, weights = on_grid(problem)
    agrees(cell_resample(x, weights, scale=np.ones(x.shape[1]), **options), by_brute_force(x, weights, **options))


@pytest.mark.kernels
@pytest.mark.parametrize("n", [1, 8, 9, 100, 129])
def test_tree(n):
    """Every event is in the box and in the range of indices of each of its nodes, and children halve a node."""
    x = np.round(signed_sample(n, 3)[0], 1)
    tree = plant_tree(x)
    assert_array_equal(np.sort(tree.events), np.arange(n))
    assert_array_equal(tree.points, x[tree.events])
    assert_array_equal(tree.events[tree.place], np.arange(n))
    for node in range(1, len(tree.first)):
        level = node.bit_length() - 1
        j = node - 2**level
        inside = tree.events[j * n >> level : (j + 1) * n >> level]
        assert_array_equal(tree.low[node], x[inside].min(axis=0))
        assert_array_equal(tree.high[node], x[inside].max(axis=0))
        assert (tree.first[node], tree.last[node]) == (inside.min(), inside.max())


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize(
    ("fraction", "options"),
    [(0.2, {}), (0.4, {}), (0.35, {"share": "absolute"}), (0.35, {"max_radius": 0.3}), (0.35, {"max_events": 6})],
)
def test_brute_force(d, fraction, options):
    """2,000 events: the same cells, and weights that agree to rounding."""
    x, weights = signed_sample(2000, d, fraction=fraction)
    found = cell_resample(x, weights, **options)
    agrees(found, by_brute_force(x, weights, standardisation(x, weights)[1], **options))
    if "max_radius" in options:
        assert found.radii.max() <= 0.3
        assert found.unresolved.size > 0
    elif "max_events" in options:
        assert found.sizes.max() <= 6
        assert found.unresolved.size > 0
    else:
        assert found.unresolved.size == 0
        assert found.n_negative == ((weights < 0).sum(), 0)


@pytest.mark.parametrize("share", ["mean", "absolute"])
@pytest.mark.parametrize("fraction", [0.2, 0.45])
def test_sum(share, fraction):
    """It is kept far better than to 1e-12, with nothing negative left, and where weights are thirds and tenths."""
    x, weights = signed_sample(20_000, 3, fraction=fraction)
    for w in (weights, np.sign(weights) / 3.0, np.rint(5 * weights) / 10.0):
        found = cell_resample(x, w, share=share)
        assert (found.weights >= 0).all()
        assert abs(exact_sum(found.weights) - exact_sum(w)) <= 1e-14 * exact_sum(w)
        assert found.sum_after == pytest.approx(w.sum(), rel=1e-12)
        assert found.sumw2_after < found.sumw2_before


def test_sums_that_cancel():
    """A sum that is zero but for rounding is zero, and needs no further event."""
    weights = [0.1, 0.2, -0.3, 5.0]  # 0.1 + 0.2 - 0.3 is above zero, 0.7 + 0.1 - 0.8 below
    for w in (weights, [0.7, 0.1, -0.8, 5.0]):
        found = cell_resample([1.0, 2.0, 2.1, 9.0], w)
        assert_allclose(found.weights, [0.0, 0.0, 0.0, 5.0], atol=1e-15)
        assert (found.weights >= 0).all()
        assert_array_equal(found.sizes, [3])


def test_blocks():
    """Histograms whose bins are blocks of events with gaps that no cell has to cross do not change."""
    n, blocks = 400, 12
    x, weights = signed_sample(blocks * n, 2, fraction=0.4)
    block = np.arange(blocks * n) % blocks
    assert (np.bincount(block, weights) > 0).all()
    x = 0.1 * np.tanh(x) + np.stack([block, block % 3], axis=1)
    before = np.bincount(block, weights)
    found = cell_resample(x, weights, scale=[1.0, 1.0])
    assert found.radii.max() < 0.3
    assert_allclose(np.bincount(block, found.weights), before, rtol=1e-12)
    closure = compare_resampled(x[:, 0], found, np.arange(blocks + 1) - 0.5)
    assert abs(closure.largest_pull["x"]) < 1e-9
    assert closure.sumw2_after["x"].sum() < closure.sumw2_before["x"].sum()


def test_inclusive_histograms():
    """Negative weights that vary over a known density: it is there before and after, with smaller errors.

    The net density is a Gaussian in two features; the share of negative weights rises from 5 to 40%.
    """
    rng = np.random.default_rng(3)
    x = rng.normal(size=(120_000, 2))
    share = 0.05 + 0.35 * norm.cdf(3 * x[:, 0])
    kept = rng.random(len(x)) < 0.2 / (1 - 2 * share)  # from density p / (1 - 2 share)
    x, share = x[kept], share[kept]
    weights = np.where(rng.random(len(x)) < share, -1.0, 1.0)
    found = cell_resample(x, weights)
    assert found.unresolved.size == 0
    edges = norm.ppf(np.arange(1, 20) / 20)
    closure = compare_resampled(x, found, {"a": edges, "b": edges})
    for name in ("a", "b"):
        expected, error = 0.2 * 120_000 / 20, np.sqrt(closure.sumw2_before[name])
        for yields in (closure.yields_before[name], closure.yields_after[name]):
            assert chi2.sf((((yields - expected) / error) ** 2).sum(), 18) > 0.01
        assert np.abs(closure.pulls[name]).max() < 0.5
        assert (closure.sumw2_after[name] < closure.sumw2_before[name]).all()
    half = x[:, 0] > 0  # a cut at the middle
    assert found.weights[half].sum() == pytest.approx(weights[half].sum(), abs=0.2 * math.sqrt(half.sum()))


def test_errors_of_bins():
    """They are those before: squares of the new weights would promise too much, as members of a cell are correlated."""
    rng, toys = np.random.default_rng(5), 400
    yields, squares = np.zeros(toys), np.zeros((toys, 2))
    for i in range(toys):
        x = rng.random(rng.poisson(1000))
        weights = np.where(rng.random(x.size) < 0.25, -1.0, 1.0)
        found, inside = cell_resample(x, weights), x < 0.5
        yields[i] = found.weights[inside].sum()
        squares[i] = (weights[inside] ** 2).sum(), (found.weights[inside] ** 2).sum()
    before, after = squares.mean(axis=0)
    assert yields.mean() == pytest.approx(250, abs=4 * math.sqrt(500 / toys))
    assert yields.var() == pytest.approx(before, rel=4 * math.sqrt(2 / toys))
    assert after < 0.6 * before


def test_order_of_events():
    """Generic events may come in any order."""
    x, weights = signed_sample(3000)
    mixed = np.random.default_rng(2).permutation(3000)
    assert_array_equal(cell_resample(x[mixed], weights[mixed]).weights, cell_resample(x, weights).weights[mixed])


def test_units():
    """Weights in other units, and features in others, give the same cells."""
    x, weights = signed_sample(2000, 3)
    found = cell_resample(x, weights)
    for other in (cell_resample(x, 1e-3 * weights), cell_resample(x * [3.0, 1e-6, 1e5] + [0, 0, 7], weights)):
        assert_array_equal(other.seeds, found.seeds)
        assert_array_equal(other.sizes, found.sizes)
        assert_allclose(other.weights / other.sum_after, found.weights / found.sum_after, rtol=1e-12, atol=1e-18)
    assert_array_equal(cell_resample(x, 0.25 * weights).weights, 0.25 * found.weights)


def test_scale():
    """The default are deviations by absolute weights; a feature in large units does not count."""
    x, weights = signed_sample(500)
    deviations = standardisation(x, weights)[1]
    assert_array_equal(cell_resample(x, weights, scale=deviations).weights, cell_resample(x, weights).weights)
    ignored = cell_resample(x, weights, scale=[1.0, 1e300])
    assert_array_equal(ignored.weights, cell_resample(x[:, 0], weights, scale=[1.0]).weights)
    constant = np.stack([x[:, 0], np.full(500, 3.7)], axis=1)
    assert_array_equal(cell_resample(constant, weights).weights, cell_resample(x[:, 0], weights).weights)


def test_whole_result():
    """Four events: what is kept, what is said, and what the cells were."""
    found = cell_resample([0.0, 1.0, 3.0, 3.0], [-1.0, 2.0, -4.0, 8.0], scale=[1.0])
    assert isinstance(found, CellResampled)
    assert_allclose(found.weights, [0.5, 0.5, 2.0, 2.0])
    assert_array_equal(found.index, [0, 1, 2, 3])
    assert_array_equal(found.seeds, [2, 0])
    assert_array_equal(found.radii, [0.0, 1.0])
    made = "2 cells of 2 events on average, 2 at most, up to radius 1"
    assert found.message == f"{made}; none of 2 negative weights is left"
    assert_array_equal(found.original, [-1.0, 2.0, -4.0, 8.0])
    paper = cell_resample([0.0, 1.0, 3.0, 3.0], [-1.0, 2.0, -4.0, 8.0], scale=[1.0], share="absolute")
    assert_allclose(paper.weights, [1 / 3, 2 / 3, 4 / 3, 8 / 3])


def test_region_of_negative_density():
    """It is made up for from outside, or left with a limit, which then is in the message."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (4000, 2))
    weights = np.where(np.hypot(*x.T) < 0.3, -1.0, 1.0)
    free, limited = cell_resample(x, weights), cell_resample(x, weights, max_radius=0.2)
    assert free.unresolved.size == 0
    assert free.radii.max() > 0.5
    left = limited.unresolved
    assert_array_equal(limited.weights[left], -1.0)
    assert (np.hypot(*x[left].T) < 0.3).all()
    assert f"{left.size} of {(weights < 0).sum()} negative weights, {-left.size}, are left" in limited.message
    assert limited.sum_after == pytest.approx(weights.sum(), rel=1e-12)
    nothing = cell_resample(x, weights, max_radius=0)
    assert_array_equal(nothing.weights, weights)
    assert nothing.message.startswith("0 cells; ")


def test_events_at_one_place():
    """Seeds with many events at their place take fresh ones, in time that does not grow with their square."""
    n = 50_000
    weights = np.resize([1.0, 1.0, -1.0, 1.0, 1.0], n)
    found = cell_resample(np.zeros(n), weights)
    assert_array_equal(found.sizes, 2)
    assert_array_equal(found.weights, np.resize([1.0, 1.0, 0.0, 0.0, 1.0], n))


def test_nothing_negative():
    """Nothing is changed; one event and weights of zero are fine."""
    for x, weights in (([1.0], [2.0]), ([1.0, 2.0, 2.0], [0.0, 1.0, 0.0])):
        found = cell_resample(x, weights)
        assert_array_equal(found.weights, weights)
        assert found.message == "no weight is negative, nothing was changed"
        assert found.seeds.size == found.unresolved.size == 0


def test_input_stays():
    """Neither features nor weights are written to; integers and other layouts are fine."""
    x, weights = signed_sample(200)
    whole = np.rint(10 * weights).astype(int)
    x.flags.writeable = whole.flags.writeable = False
    found = cell_resample(np.asfortranarray(x), whole)
    assert_array_equal(found.weights, cell_resample(x, whole.astype(float)).weights)


@pytest.mark.parametrize(
    ("changed", "argument", "problem"),
    [
        ({"x": [[0.0], [math.nan], [1.0]]}, "x", "1 NaN"),
        ({"x": np.zeros((3, 1, 1))}, "x", "3 dimensions"),
        ({"x": [], "weights": []}, "x", "is empty"),
        ({"weights": [1.0, math.inf, 0.0]}, "weights", "1 infinite"),
        ({"weights": [1.0, 2.0]}, "weights", "2 entries for 3 events"),
        ({"weights": [-1.0, -1.0, -1.0]}, "weights", "add up to -3|all negative"),
        ({"weights": [1.0, -1.0, 0.0]}, "weights", "add up to 0"),
        ({"scale": [1.0, 1.0]}, "scale", "2 entries for 1 features"),
        ({"scale": [0.0]}, "scale", "an entry of 0"),
        ({"scale": [math.nan]}, "scale", "1 NaN"),
        ({"scale": [1e-200]}, "scale", "as large as 2e\\+200"),
        ({"max_radius": -1.0}, "max_radius", "is -1"),
        ({"max_radius": math.nan}, "max_radius", "is nan"),
        ({"max_events": 1}, "max_events", "is 1"),
        ({"max_events": 2.5}, "max_events", "is 2.5"),
        ({"share": "median"}, "share", "is 'median'"),
    ],
)
def test_bad_input(changed, argument, problem):
    """The error names the argument and what is wrong with it."""
    options = {"x": [[0.0], [1.0], [2.0]], "weights": [2.0, -1.0, 1.0], **changed}
    with pytest.raises(InputError, match=problem) as caught:
        cell_resample(options.pop("x"), options.pop("weights"), **options)
    assert caught.value.argument == argument
