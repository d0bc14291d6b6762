"""Fewer events with the same sums: what Gauss rules promise, merged events and boxes, and edges."""

import itertools

import numba
import numpy as np
import pytest
from naive_network import scores
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.kernels import compression as kernels
from hepstat.kernels.compression import compress_line, merge_boxes
from hepstat.nplm.compression import (
    Compressed,
    _steepness,
    cell_width,
    compress,
    merge_identical,
    merge_together,
)

NET = {"hidden": (4,), "clip": 9.0}


def sample(n, seed=1):
    """Return positions that fall off, and weights that differ."""
    rng = np.random.default_rng(seed)
    return rng.exponential(size=n), rng.exponential(size=n)


def networks(n, hidden, activation, clip, seed=1):
    """Return functions x -> f(x) whose weights are at the clip, with steep places all over the events or at one."""
    rng = np.random.default_rng(seed)
    widths = (1, *hidden, 1)
    found = []
    for i in range(n):
        theta = []
        for n_in, n_out in itertools.pairwise(widths):
            weights = clip * (rng.choice([-1.0, 1.0], (n_out, n_in)) if i % 3 else np.ones((n_out, n_in)))
            place = rng.exponential(size=n_out) if i % 2 else np.full(n_out, rng.exponential())
            theta += [weights.ravel(), -weights.sum(axis=1) * (place if n_in == 1 else 0.5)]
        flat = np.concatenate(theta)
        found.append(lambda x, flat=flat: scores(widths, (activation,) * len(hidden), flat, x.reshape(-1, 1))[:, 0])
    return found


def errors(compressed, x, w, functions, log_r=np.zeros_like):
    """Return the error of the sum of w exp(f + log r) for each function, as a share of that of abs(w)."""
    found = []
    for f in functions:
        before, after = f(x) + log_r(x), f(compressed.x) + log_r(compressed.x[:, 0])
        top = before.max()
        change = compressed.weights @ np.exp(after - top) - w @ np.exp(before - top)
        found.append(abs(change) / (np.abs(w) @ np.exp(before - top)))
    return np.array(found)


@pytest.mark.kernels
@pytest.mark.parametrize("order", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("digits", [1, 15])
def test_gauss_rules(order, digits):
    """In every cell polynomials up to degree 2 m - 1 keep their sums, nodes are inside, and few places are kept."""
    x, w = sample(400)
    x = np.sort(np.round(x, digits))
    nodes, weights = compress_line(x, w, 0.0, 0.5, order)
    assert (weights > 0).all()
    assert (np.diff(nodes) > 0).all()
    for k in range(int(x[-1] / 0.5) + 1):
        inside, new = np.floor(x / 0.5) == k, np.floor(nodes / 0.5) == k
        places, index = np.unique(x[inside], return_inverse=True)
        if places.size <= order:
            assert_array_equal(nodes[new], places)
            assert_allclose(weights[new], np.bincount(index, w[inside], places.size), rtol=1e-14)
            continue
        assert new.sum() == order
        assert places[0] <= nodes[new][0]
        assert nodes[new][-1] <= places[-1]
        legendre = np.polynomial.legendre.legvander(4 * (x[inside] - 0.5 * k) - 1, 2 * order - 1)
        gauss = np.polynomial.legendre.legvander(4 * (nodes[new] - 0.5 * k) - 1, 2 * order - 1)
        assert_allclose(weights[new] @ gauss, w[inside] @ legendre, atol=1e-12 * w[inside].sum())


@pytest.mark.kernels
def test_hard_cells():
    """Weights of very different size, positions that agree to rounding, symmetric ones, and one cell for all."""
    t = np.linspace(-1, 1, 41)
    near = 1 + 2.0**-50 * np.arange(8)
    for x, w in (
        (t, 10.0 ** (-8 * np.abs(t))),
        (np.concatenate([t / 1e6, [0.5]]), np.ones(42)),
        (np.concatenate([near, near + 1, near + 2]), np.ones(24)),
        (t, np.ones(41)),
    ):
        nodes, weights = compress_line(x, w, -1.0, 10.0, 6)
        assert (weights > 0).all()
        assert (nodes[0] >= x[0], nodes[-1] <= x[-1], nodes.size <= 6) == (True, True, True)
        powers = np.arange(12)
        assert_allclose(weights @ nodes[:, None] ** powers, w @ x[:, None] ** powers, rtol=1e-10, atol=1e-12)
    assert nodes.size == 6
    assert_allclose(nodes, -nodes[::-1], atol=1e-15)


@pytest.mark.parametrize(
    ("hidden", "activation", "clip", "tolerance"),
    [
        ((4,), "sigmoid", 9.0, 1e-8),
        ((4,), "sigmoid", 9.0, 0.1),
        ((3, 2), "tanh", 1.5, 1e-4),
        ((5, 5), "sigmoid", 3, 1e-8),
    ],
)
def test_bound(hidden, activation, clip, tolerance):
    """Sums with steep networks and a scale nuisance change by less than promised, for any order and both signs."""
    x, w = sample(20_000)
    functions = networks(12, hidden, activation, clip)
    options = {"hidden": hidden, "clip": clip, "activation": activation, "tolerance": tolerance, "tilt": 0.5}
    for signs in (np.ones(x.size), np.where(np.random.default_rng(2).random(x.size) < 0.1, -1, 1)):
        found = compress(x, w * signs, **options)
        assert found.share < 0.15
        assert found.weights.sum() == pytest.approx((w * signs).sum(), rel=1e-12)
        assert errors(found, x, w * signs, functions, lambda x: -0.5 * x).max() <= tolerance
    for order in (1, 2, 3):
        found = compress(x, w, order=order, **options)
        assert errors(found, x, w, functions, lambda x: 0.5 * x).max() <= tolerance


def test_a_single_cell():
    """A bound is not idle: in one cell, with exp(f) rising as fast as it may, too wide a cell breaks the promise."""
    t = np.linspace(-0.5, 0.5, 2001)
    for order in (2, 4):
        width = cell_width(order, tolerance=1e-4, **NET)
        for factor, kept in ((1.0, True), (6.0, False)):
            x = factor * width * t
            nodes, weights = compress_line(x, np.ones(x.size), float(x[0]), 2 * factor * width, order)
            assert nodes.size == order
            rising = [np.exp(36 / (1 + np.exp(-9 * y))) for y in (nodes, x)]
            assert (abs(weights @ rising[0] / rising[1].sum() - 1) <= 1e-4) == kept


@pytest.mark.parametrize(("activation", "doubled"), [("sigmoid", 1.0), ("tanh", 2.0)])
def test_slopes_beside_the_real_axis(activation, doubled):
    """No network with weights at the clip is steeper than the bound, which one with a single node reaches."""
    clip, rng = 1.2, np.random.default_rng(1)
    gains = (clip, 3 * clip, 3 * clip)
    sigmoid = {"sigmoid": lambda z: 1 / (1 + np.exp(-z)), "tanh": np.tanh}[activation]
    slope = {"sigmoid": lambda s: s * (1 - s), "tanh": lambda s: 1 - s * s}[activation]
    for height in (0.0, 0.1, 0.2, 0.3):
        bound = _steepness(np.array([height]), gains, (doubled, doubled))[0]
        z = np.linspace(-4, 4, 801)[:, None] + 1j * height * rng.uniform(-1, 1, (801, 1))
        for _ in range(20):
            a, b, c = (
                clip * rng.choice([-1, 1], (1, 3)),
                clip * rng.choice([-1, 1], (3, 3)),
                clip * rng.choice([-1, 1], 3),
            )
            first = sigmoid(z @ a + rng.normal(size=3))
            second = sigmoid((first - 0.5) @ b + 0.3 * rng.normal(size=3))
            assert np.abs((((slope(first) * a) @ b) * slope(second)) @ c).max() <= bound
        y = doubled * clip * height / 2
        assert _steepness(np.array([height]), (clip, 1.0), (doubled,))[0] == pytest.approx(
            clip * doubled**2 / (4 * np.cos(y) ** 2)
        )
    assert _steepness(np.array([10.0]), gains, (doubled, doubled))[0] == np.inf


def test_width_is_the_largest():
    """Against all ellipses tried out: one keeps the bound at this width, none at a width 2% larger."""
    for order, tolerance in ((3, 1e-8), (10, 1e-6)):
        width = cell_width(order, tolerance=tolerance, tilt=0.3, **NET)
        for factor, kept in ((1.0001, True), (1.02, False)):
            half = factor * width / 2
            rho = 1 + np.geomspace(1e-2, 1e4, 20_000)
            b = half * (rho - 1 / rho) / 2
            rho, b = rho[9 * b < 3.1], b[9 * b < 3.1]
            steep, here = 36 * 9 / (4 * np.cos(4.5 * b) ** 2) + 0.3, 81.3
            log = (
                np.log(4 / (rho - 1)) - (2 * order - 1) * np.log(rho) + steep * half * (rho + 1 / rho) / 2 + here * half
            )
            assert (log.min() <= np.log(tolerance) + 0.02) == kept
    widths = [cell_width(m, **NET) for m in (1, 2, 4, 8)]
    assert widths == sorted(widths)


def test_signs_and_order_of_events():
    """Weights of both signs are replaced apart, none of weight zero is left, and events may come in any order."""
    x, w = sample(3000)
    w[::7] *= -1
    w[::100] = 0
    found = compress(x[:, None], w, **NET)
    n = int((found.weights > 0).sum())
    assert (found.weights[:n] > 0).all()
    assert (found.weights[n:] < 0).all()
    assert found.n_before == 3000
    mixed = np.random.default_rng(2).permutation(3000)
    again = compress(x[mixed], w[mixed], **NET)
    assert_array_equal(again.x, found.x)
    assert_array_equal(again.weights, found.weights)
    assert_array_equal(Compressed.from_json(found.to_json()).weights, found.weights)
    few = compress(x[:5], **NET)
    assert_array_equal(few.x[:, 0], np.sort(x[:5]))


def test_identical_events():
    """Events that agree are merged, those of the other sign apart, and sums are kept."""
    rng = np.random.default_rng(1)
    x, w = rng.integers(0, 3, (500, 2)).astype(float), rng.normal(size=500)
    found = merge_identical(x, w)
    for sign in (1, -1):
        part = found.x[sign * found.weights > 0]
        assert_array_equal(part, np.unique(x, axis=0))
        for place, weight in zip(part, found.weights[sign * found.weights > 0], strict=True):
            assert weight == pytest.approx(w[(x == place).all(axis=1) & (sign * w > 0)].sum())
    assert (found.bound, found.n_before) == (0.0, 500)


@pytest.mark.kernels
@pytest.mark.parametrize("size", [2, 7, 50, 1000])
def test_boxes(size):
    """Sums and means are kept, and boxes have no more events than they may."""
    rng = np.random.default_rng(1)
    x, kinds = np.round(rng.normal(size=(300, 3)), 1), rng.exponential(size=(300, 2))
    kinds[:40, 0] = kinds[200:, 1] = 0.0
    units = np.array([1.0, 2.0, 0.5])
    means, sums = merge_boxes(x, kinds, units, size)
    assert np.log2(len(sums)) % 1 == 0
    assert 300 / len(sums) <= size
    assert len(sums) == 1 or 600 / len(sums) > size
    assert_allclose(sums.sum(axis=0), kinds.sum(axis=0))
    w, mass = kinds.sum(axis=1), sums.sum(axis=1)
    assert_allclose(mass @ means, w @ x, atol=1e-10)


def test_boxes_of_reference_and_data():
    """Both are merged at the same places, reference events of negative weight apart, and those of no weight dropped."""
    rng = np.random.default_rng(1)
    x, w, n = rng.normal(size=(400, 2)), rng.exponential(size=400), np.zeros(400)
    w[:50] *= -1
    w[300:], n[300:390] = 0.0, 1.0
    nodes, weights, counts = merge_together(x, w, n, np.ones(2), 8)
    assert np.isfinite(nodes).all()
    assert weights.sum() == pytest.approx(w.sum())
    assert counts.sum() == 90
    assert_allclose(nodes.T @ (np.abs(weights) + counts), x.T @ (np.abs(w) + n), atol=1e-10)
    assert (counts[weights < 0] == 0).all()
    assert ((counts > 0) & (weights > 0)).any()


def test_boxes_change_by_second_order():
    """A smooth sum over the reference changes the less, the fewer events are merged."""
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(20_000, 2)), np.where(rng.random(20_000) < 0.1, -1.0, 1.0)
    values, changes = np.exp(np.sin(x).sum(axis=1)), []
    for size in (4, 64):
        nodes, weights, _ = merge_together(x, w, np.zeros(len(w)), np.ones(2), size)
        changes.append(abs(weights @ np.exp(np.sin(nodes).sum(axis=1)) - w @ values) / values.sum())
    assert changes[0] < 0.3 * changes[1] < 0.01


def test_bad_input():
    """What cannot be compressed is named."""
    for wrong, message in (
        ({"x": np.ones((4, 2))}, r"^x: has 2 features. Pass one"),
        ({"x": [1.0, np.nan]}, "^x: has 1 NaN"),
        ({"weights": [0.0, 0.0]}, "^weights: are all zero"),
        ({"weights": [1.0]}, "^weights: has 1 entries for 2 events"),
        ({"clip": np.inf}, "^clip: is inf"),
        ({"hidden": ()}, "^hidden: is empty"),
        ({"activation": "relu"}, "^activation: is 'relu'"),
        ({"activation": ("tanh", "tanh")}, "^activation: is "),
        ({"tolerance": 0.0}, "^tolerance: is 0"),
        ({"tilt": -1.0}, "^tilt: is -1"),
        ({"order": 0}, "^order: is 0"),
    ):
        with pytest.raises(InputError, match=message):
            compress(**({"x": [1.0, 2.0]} | NET | wrong))


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_one_signature():
    """Whatever arrays come in, kernels are compiled once."""
    x, w = np.arange(200) % 50, np.ones(200, dtype=int)
    compress(x, w, **NET)
    compress(x.astype(np.float32)[::2, None], order=np.int64(2), hidden=[3], clip=2)
    merge_together(np.ones((50, 3)), np.ones(50), np.zeros(50), np.ones(3), 5)
    found = [entry for entry in vars(kernels).values() if hasattr(entry, "signatures")]
    own = {
        entry.py_func.__name__: len(entry.signatures) for entry in found if entry.py_func.__module__ == kernels.__name__
    }
    assert own["compress_line"] == own["merge_boxes"] == 1
    assert max(own.values()) == 1
