"""Products in registers against numpy, for every number of rows and columns that is left over."""

from typing import Any

import numba
import numpy as np
import pytest

from hepstat.kernels import network, tiles
from hepstat.kernels.tiles import COLUMNS, ROWS, STRIP_BYTES, WIDE_ROWS

pytestmark = pytest.mark.kernels

PRECISIONS = [(np.float32, 1e-5), (np.float64, 1e-13)]


@numba.njit
def product(*args):  # type: ignore[no-untyped-def]
    """Rows at once."""
    tiles.product(*args)


@numba.njit
def product_single(*args):  # type: ignore[no-untyped-def]
    """One row."""
    tiles.product_single(*args)


@numba.njit
def pair_sums(*args):  # type: ignore[no-untyped-def]
    """Rows at once."""
    tiles.pair_sums(*args)


@numba.njit
def pair_sums_single(*args):  # type: ignore[no-untyped-def]
    """One row."""
    tiles.pair_sums_single(*args)


def draw(rng: np.random.Generator, dtype: Any, *shape: int) -> Any:
    """Return normal numbers."""
    return rng.normal(size=shape).astype(dtype)


def length(dtype: Any) -> int:
    """Return the number of events of a strip."""
    return STRIP_BYTES // np.dtype(dtype).itemsize


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize(("function", "rows"), [(product, WIDE_ROWS), (product_single, 1)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_products(function, rows, dtype, tolerance, with_bias):
    """W a + b for any number of terms, zero among them, at odd places, and nothing else is written."""
    rng, n_events = np.random.default_rng(1), length(dtype)
    for n in (0, 1, 2, 3, 4, 7, 13):
        w, a = draw(rng, dtype, rows * n + rows + 5), draw(rng, dtype, n * n_events + 3)
        c = np.full(rows * n_events + 9, 7, dtype=dtype)
        bias = 5 + rows * n
        function(w, 5, n, 1, a, 3, c, 4, bias if with_bias else -1, n)
        wanted = w[5:bias].astype(float).reshape(rows, n) @ a[3:].astype(float).reshape(n, n_events)
        wanted += w[bias:][:, None] if with_bias else 0.0
        np.testing.assert_allclose(c[4:-5].reshape(rows, n_events), wanted, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(np.r_[c[:4], c[-5:]], 7)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize(("function", "rows"), [(product, WIDE_ROWS), (product_single, 1)])
def test_products_with_a_transpose(function, rows, dtype, tolerance):
    """Steps of rows and columns may be exchanged."""
    rng, n_events, n = np.random.default_rng(2), length(dtype), 6
    w, a, c = draw(rng, dtype, n * rows), draw(rng, dtype, n * n_events), np.empty(rows * n_events, dtype=dtype)
    function(w, 0, 1, rows, a, 0, c, 0, -1, n)
    wanted = w.astype(float).reshape(n, rows).T @ a.astype(float).reshape(n, n_events)
    np.testing.assert_allclose(c.reshape(rows, n_events), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize(("function", "rows"), [(pair_sums, ROWS), (pair_sums_single, 1)])
@pytest.mark.parametrize("columns", range(1, COLUMNS + 1))
def test_sums_of_pairs(function, rows, dtype, tolerance, columns):
    """Products d x^T over the events of any number of strips, none among them; old sums are overwritten."""
    rng, n_events = np.random.default_rng(3), length(dtype)
    for n in (0, 1, 2, 5):
        d, x = draw(rng, dtype, n, rows + 1, n_events), draw(rng, dtype, n, columns + 2, n_events)
        out = np.full(16, np.nan, dtype=dtype)
        steps = (rows + 1) * n_events, (columns + 2) * n_events
        function(d.ravel(), n_events, steps[0], x.ravel(), n_events, steps[1], out, columns, n)
        found = out[: rows * COLUMNS].reshape(rows, COLUMNS)[:, :columns]
        wanted = np.einsum("sje,ske->jk", d[:, 1:].astype(float), x[:, 1 : 1 + columns].astype(float))
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=20 * tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("n_in", [1, 2, 5])
@pytest.mark.parametrize("n_out", range(1, 2 * WIDE_ROWS + 2))
def test_layers_of_every_size(dtype, tolerance, n_in, n_out):
    """Rows that do not fill a tile, forward with biases and back with the transpose."""
    rng, n_events = np.random.default_rng(4), length(dtype)
    theta = draw(rng, dtype, 2 + n_in * n_out + n_out)
    w, b = theta[2 : 2 + n_in * n_out].astype(float).reshape(n_out, n_in), theta[2 + n_in * n_out :].astype(float)
    a, d = draw(rng, dtype, n_in, n_events), draw(rng, dtype, n_out, n_events)
    out, back = np.zeros((n_out, n_events), dtype=dtype), np.zeros((n_in, n_events), dtype=dtype)
    network.multiply(theta, (2, n_in, n_out), False, a.ravel(), 0, out.ravel(), 0)
    network.multiply(theta, (2, n_in, n_out), True, d.ravel(), 0, back.ravel(), 0)
    np.testing.assert_allclose(out, w @ a.astype(float) + b[:, None], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(back, w.T @ d.astype(float), rtol=tolerance, atol=5 * tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("n_in", range(1, 2 * COLUMNS + 2))
@pytest.mark.parametrize("n_out", range(1, 2 * ROWS + 2))
def test_gradients_of_layers_of_every_size(dtype, tolerance, n_in, n_out):
    """Rows and columns that do not fill a tile are added to what is there, and to no other place."""
    rng, n_events, n_strips = np.random.default_rng(5), length(dtype), 3
    n_rows = n_in + n_out + 1  # one more, before them
    strips, pulls = draw(rng, dtype, n_strips, n_rows, n_events), draw(rng, dtype, n_strips, n_rows, n_events)
    ones, sums = np.ones(n_events, dtype=dtype), np.zeros(16, dtype=dtype)
    gradient = np.full(n_in * n_out + n_out + 4, 2, dtype=dtype)
    x, d = strips[:, 1 : 1 + n_in].astype(float), pulls[:, 1 + n_in :].astype(float)
    network.add_weights(pulls.ravel(), strips.ravel(), (1, n_in, n_out), n_rows, n_strips, sums, gradient, 2)
    network.add_biases(pulls.ravel(), ones, 1 + n_in, n_out, n_rows, n_strips, sums, gradient, 2 + n_in * n_out)
    wanted = np.r_[np.einsum("sje,ske->jk", d, x).ravel(), d.sum(axis=(0, 2))]
    np.testing.assert_allclose(gradient[2:-2], 2 + wanted, rtol=tolerance, atol=20 * tolerance)
    np.testing.assert_array_equal(np.r_[gradient[:2], gradient[-2:]], 2)
