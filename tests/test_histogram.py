"""Filling histograms: against a loop, numpy and boost-histogram; exact edges; threads; bad events."""

import boost_histogram as bh
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_histogram import UNEVEN, check, sample

from hepstat.errors import InputError
from hepstat.histogram import Histogram, Regular, Variable, filling
from hepstat.kernels import histogram as kernels

RNG = np.random.default_rng(20)
AXES_1D = [Regular(100, 0, 1), Regular(1, -3, 2), Regular(7, -1, 2.3), Variable(UNEVEN), Variable([0, 1])]

numbers = st.floats(-3, 6, allow_subnormal=False)
weights = st.floats(-4, 4, allow_subnormal=False)
events = st.lists(st.tuples(numbers, weights), max_size=60)
few = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize("axis", AXES_1D, ids=repr)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("n", [0, 1, 3, 1023, 1025, 3000])
def test_fill_1d_is_the_loop(axis, weighted, n):
    """Fill 1d is the loop."""
    x, w = sample(n)
    h = Histogram(axis).fill(x, weights=w if weighted else None)
    check(h, [x], w if weighted else None)


def test_fill_nd_is_the_loop_and_boost():
    """Fill nd is the loop and boost."""
    axes = [Regular(5, -1, 1), Variable(UNEVEN), Regular(3, 0, 3)]
    x, w = sample()
    columns = [x, x[::-1] * 2, np.abs(x) * 3]
    check(Histogram(*axes).fill(*columns, weights=w), columns, w)
    check(Histogram(*axes).fill(*columns), columns, None)
    peer = bh.Histogram(
        bh.axis.Regular(5, -1, 1), bh.axis.Variable(UNEVEN), bh.axis.Regular(3, 0, 3), storage=bh.storage.Weight()
    ).fill(*columns, weight=w)
    ours = Histogram(*axes).fill(*columns, weights=w)
    np.testing.assert_allclose(ours.values(flow=True), peer.values(flow=True), atol=1e-11)
    np.testing.assert_allclose(ours.variances(flow=True), peer.variances(flow=True), rtol=1e-12)


def test_fill_many_cells_uses_one_copy_and_agrees():
    """Fill many cells uses one copy and agrees."""
    x, w = sample(20_000)
    h = Histogram(Regular(6000, -2, 2)).fill(x, weights=w)
    sumw, _ = np.histogram(x, h.axes[0].edges, weights=w)
    np.testing.assert_allclose(h.values(), sumw, atol=1e-12)
    big = Histogram(Regular(90, -2, 2), Regular(80, -2, 2))
    np.testing.assert_array_equal(big.fill(x, w).values(), np.histogram2d(x, w, [axis.edges for axis in big.axes])[0])


def test_numpy_agrees_except_at_the_upper_limit():
    """Numpy agrees except at the upper limit."""
    x = np.concatenate([sample()[0], [0.0, 1.0]])
    ours = Histogram(Regular(10, 0, 1)).fill(x)
    expected = np.histogram(x, ours.axes[0].edges)[0]
    expected[-1] -= 1  # numpy counts x = 1 in the last bin
    np.testing.assert_array_equal(ours.values(), expected)
    columns = [x[:-1], x[1:]]
    ours = Histogram(Regular(3, -2, 0.9), Regular(4, -1, 0.9)).fill(*columns)
    np.testing.assert_array_equal(ours.values(), np.histogramdd(columns, [a.edges for a in ours.axes])[0])


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "f2", "i2", "u1", "u8", "?", ">f8", "longdouble"])
def test_every_type_of_number(dtype):
    """Every type of number."""
    x = RNG.integers(0, 2 if dtype == "?" else 9, 500).astype(dtype)
    w = RNG.integers(-2, 3, 500)
    check(Histogram(Regular(8, 0, 8)).fill(x, weights=w), [x], w)
    with np.errstate(all="ignore"):
        v = (x.astype("f8") * 0.37).astype(dtype)
    check(Histogram(Variable([0, 0.37, 0.74, 2, 3])).fill(v, weights=w.astype("f4")), [v], w)
    if dtype[-1] not in "?18":
        check(Histogram(Regular(2, 0, 2), Regular(2, 0, 2)).fill(x, w, weights=w.astype("f4")), [x, w], w)


def test_layouts_and_containers():
    """Layouts and containers."""
    x, w = sample()
    whole = Histogram(Regular(10, 0, 1)).fill(x[::2], weights=w[::-2])
    frozen = x[::2].copy()
    frozen.flags.writeable = False
    for same in (list(x[::2]), tuple(x[::2]), np.stack([x, x], axis=1)[::2, 0], frozen):
        assert Histogram(Regular(10, 0, 1)).fill(same, weights=w[::-2]) == whole
    before = x.copy(), w.copy()
    Histogram(Regular(10, 0, 1)).fill(x, weights=w)
    np.testing.assert_array_equal(before, (x, w))


def test_kernels_are_compiled_for_few_types():
    """float64, float32, int64, int32 times two kinds of weights, however odd the input was."""
    for function, most in (
        (kernels.weigh_1d, 8),
        (kernels.count_1d, 4),
        (kernels.add_bins, 4),
        (kernels.weigh_cells, 2),
    ):
        assert len(getattr(function, "signatures", [])) <= most


@pytest.mark.parametrize(
    "limits", [(10, 0, 1), (100, 0, 1), (1000, 0, 1), (7, -0.1, 0.2), (60, 60, 120), (70, 9.0, 9.7), (33, 1e6, 1e6 + 1)]
)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_edges_are_exact(limits, dtype):
    """A value on an edge starts its bin, the number just below ends the one before."""
    axis = Regular(*limits)
    edges = axis.edges.astype(dtype)
    x = np.concatenate([edges, np.nextafter(edges, dtype_min(dtype)), np.nextafter(edges, dtype_max(dtype))])
    check(Histogram(axis).fill(x), [x], None)
    assert Histogram(axis).fill(x) == Histogram(Variable(axis.edges)).fill(x)
    if dtype == "f8":
        np.testing.assert_array_equal(Histogram(axis).fill(axis.edges).values(flow=True), [0, *[1] * limits[0], 1])


def dtype_min(dtype):
    """Dtype min."""
    return np.array(-np.inf, dtype)


def dtype_max(dtype):
    """Dtype max."""
    return np.array(np.inf, dtype)


def test_typed_tenths_are_edges():
    """Typed tenths are edges."""
    tenths = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    np.testing.assert_array_equal(Histogram(Regular(10, 0, 1)).fill(tenths).values(), np.ones(10))


@few
@given(st.integers(1, 300), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(0, 2**32))
def test_any_regular_axis_is_exact(bins, low, width, seed):
    """Any regular axis is exact."""
    axis = Regular(bins, low, low + width)
    near = np.random.default_rng(seed).choice(axis.edges, 20)
    x = np.concatenate([near, np.nextafter(near, -np.inf), np.nextafter(near, np.inf), near + 0.3 * width / bins])
    check(Histogram(axis).fill(x), [x], None)


def test_bins_of_a_few_roundings():
    """Arithmetic cannot find such bins; the search does."""
    axis = Regular(4, 1.0, 1.0 + 8 * np.finfo(float).eps)
    x = np.repeat(1.0, 12) + np.arange(-2, 10) * np.finfo(float).eps
    check(Histogram(axis).fill(x), [x], None)
    huge = Regular(3, -1.5e308, 1.5e308)
    check(Histogram(huge).fill([-1.7e308, -1e308, 0.0, 1.7e308]), [[-1.7e308, -1e308, 0.0, 1.7e308]], None)


@pytest.mark.parametrize("axis", AXES_1D, ids=repr)
def test_extreme_coordinates_go_to_the_flow_bins(axis):
    """Extreme coordinates go to the flow bins."""
    x = np.array([-np.inf, -1e300, -1e19, np.inf, 1e300, 1e19, 5e-324, -0.0])
    check(Histogram(axis).fill(x, weights=np.arange(8.0)), [x], np.arange(8.0))
    whole = np.array([np.iinfo("i8").min, np.iinfo("i8").max, 0])
    check(Histogram(axis).fill(whole), [whole], None)


@few
@given(events, st.randoms(use_true_random=False))
def test_order_does_not_matter(pairs, random):
    """Order does not matter."""
    mixed = list(pairs)
    random.shuffle(mixed)
    assert_close(filled(pairs), filled(mixed))


@few
@given(events, events)
def test_a_split_sample_adds_up(first, second):
    """A split sample adds up."""
    assert_close(filled(first) + filled(second), filled(first + second))
    assert_close(sum([filled(first), filled(second)]), filled(first + second))


@few
@given(events, st.floats(-10, 10, allow_subnormal=False))
def test_weights_scale(pairs, factor):
    """Weights scale."""
    scaled = filled([(x, w * factor) for x, w in pairs])
    assert_close(filled(pairs) * factor, scaled)
    assert_close(factor * filled(pairs), scaled)
    if abs(factor) > 0.01:
        assert_close(scaled / factor, filled(pairs))


@few
@given(events)
def test_zero_weights_change_nothing(pairs):
    """Zero weights change nothing."""
    assert_close(filled(pairs + [(x, 0.0) for x, _ in pairs]), filled(pairs))


@few
@given(events, st.sets(st.integers(0, len(UNEVEN) - 1), min_size=2))
def test_merging_bins_is_filling_wide_ones(pairs, kept):
    """Merging bins is filling wide ones."""
    edges = [UNEVEN[i] for i in sorted(kept)]
    assert_close(filled(pairs, Variable(UNEVEN)).rebin(edges), filled(pairs, Variable(edges)))
    low, high = edges[0], edges[-1]
    inner = [edge for edge in UNEVEN if low <= edge <= high]
    assert_close(filled(pairs, Variable(UNEVEN)).slice(low, high), filled(pairs, Variable(inner)))


def filled(pairs, axis=None):
    """Filled."""
    x = [x for x, _ in pairs]
    return Histogram(axis or Regular(12, -2, 4)).fill(x, weights=[w for _, w in pairs])


def assert_close(one, other):
    """Assert close."""
    assert one.axes == other.axes
    np.testing.assert_allclose(one.values(flow=True), other.values(flow=True), atol=1e-10)
    np.testing.assert_allclose(one.variances(flow=True), other.variances(flow=True), atol=1e-8)


@pytest.fixture
def chunk(monkeypatch):
    """Cut small chunks, so that few events make many."""
    monkeypatch.setattr(filling, "CHUNK", 2048)
    monkeypatch.setattr(filling, "SLICE", 512)
    return 2048


def test_threads_do_not_change_a_bit(chunk):
    """Threads do not change a bit."""
    n = 9 * chunk + 345
    rng = np.random.default_rng(3)
    x, w = rng.normal(0.4, 0.8, n), rng.normal(0.7, 1.0, n)
    for axes, columns in (([Regular(100, 0, 1)], [x]), ([Regular(9, -1, 2), Variable(UNEVEN)], [x, w])):
        for ww in (w, w.astype("f4"), None):
            first, *others = [Histogram(*axes).fill(*columns, weights=ww, workers=k) for k in (1, 2, 4)]
            assert all(other == first for other in others)
    assert first.integral(flow=True) == n
    np.testing.assert_array_equal(first.values(), np.histogram2d(x, w, [a.edges for a in axes])[0])


@pytest.mark.parametrize(
    ("columns", "w", "argument", "words"),
    [
        ([[0.1, np.nan, np.nan]], None, "data", "2 NaN entries of 3"),
        ([[0.1, np.nan, np.nan]], [1, 2, 3], "data", "2 NaN entries of 3"),
        ([[0.1, 0.2]], [1.0], "weights", "1 entries for 2 events"),
        ([[0.1, 0.2]], 2.0, "weights", "0 dimensions"),
        ([[0.1, 0.2]], [1, np.nan], "weights", "1 NaN and 0 infinite"),
        ([[0.1, 7.0]], [1, -np.inf], "weights", "0 NaN and 1 infinite"),
        ([[0.1, 0.2]], [1, 1e200], "weights", "1e\\+200"),
        ([["a", "b"]], None, "data", "type"),
        ([[1j]], None, "data", "type"),
        ([[[0.1, 0.2]]], None, "data", "2 dimensions"),
        ([np.ma.array([1.0, 2.0], mask=[True, False])], None, "data", "masked"),
        ([[0.1], [0.1]], None, "columns", "2 given for 1 axes"),
        ([], None, "columns", "0 given for 1 axes"),
    ],
)
def test_bad_events_leave_the_histogram_alone(columns, w, argument, words):
    """Bad events leave the histogram alone."""
    h = Histogram(Regular(3, 0, 1)).fill([0.5])
    with pytest.raises(InputError, match=words) as caught:
        h.fill(*columns, weights=w)
    assert caught.value.argument == argument
    assert h == Histogram(Regular(3, 0, 1)).fill([0.5])


def test_bad_events_in_two_dimensions():
    """Bad events in two dimensions."""
    h = Histogram(Regular(3, 0, 1), Variable([0, 1], name="pt"))
    with pytest.raises(InputError, match="pt: has 1 NaN entries of 2"):
        h.fill([0.1, 0.2], [0.1, np.nan])
    with pytest.raises(InputError, match="pt: has 1 entries, the first column 2"):
        h.fill([0.1, 0.2], [0.1])
    with pytest.raises(InputError, match="workers"):
        h.fill([0.1], [0.1], workers=0)


def test_nan_in_a_regular_axis_is_counted_over_chunks(chunk):
    """Nan in a regular axis is counted over chunks."""
    x = np.zeros(2 * chunk + 5)
    x[[0, chunk, -1]] = np.nan
    for axis in (Regular(3, 0, 1), Variable([0, 1])):
        with pytest.raises(InputError, match=f"3 NaN entries of {x.size}"):
            Histogram(axis).fill(x, workers=2)
