"""Sums over fixed blocks: right, precise, and the same bits however the work is divided."""

import itertools
import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepstat.kernels import sums

COMPILED = not numba.config.DISABLE_JIT
LENGTHS = [0, 1, 7, 1023, 1024, 1025, 5000, 1_000_003 if COMPILED else 10_007]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sums_agree_with_exact_ones(n, dtype):
    """Every sum is right to a few rounding errors of the sum of absolute terms."""
    rng = np.random.default_rng(n)
    x, w = rng.normal(size=n).astype(dtype), rng.normal(1.0, 3.0, size=n).astype(dtype)
    wide_x, wide_w = x.astype(float), w.astype(float)
    for ours, terms in (
        (sums.total(x), wide_x),
        (sums.total_squares(x), wide_x**2),
        (sums.total_product(w, x), wide_w * wide_x),
    ):
        assert ours == pytest.approx(math.fsum(terms), abs=3e-15 * math.fsum(abs(terms)))


@settings(deadline=None)  # the first example compiles
@given(st.integers(0, 9000), st.lists(st.integers(0, 8), max_size=4))
def test_bits_do_not_depend_on_the_chunks(n, cuts):
    """Chunks of whole blocks, worked on in any order, give the sum of the whole to the last bit."""
    x = np.random.default_rng(n).normal(size=n)
    w = x[::-1].copy()
    parts = np.full((3, sums.n_blocks(n)), np.nan)
    edges = sorted({0, parts.shape[1], *(min(c, parts.shape[1]) for c in cuts)})
    for low, high in reversed(list(itertools.pairwise(edges))):
        piece = slice(low * sums.BLOCK, high * sums.BLOCK)
        sums.sum_blocks(x[piece], parts[0, low:high])
        sums.square_blocks(x[piece], parts[1, low:high])
        sums.product_blocks(w[piece], x[piece], parts[2, low:high])
    assert [sums.pairwise(row) for row in parts] == [sums.total(x), sums.total_squares(x), sums.total_product(w, x)]


def test_errors_do_not_grow_with_the_length():
    """Adding a tenth a great many times loses nothing but the last digits."""
    n = 2**20 if COMPILED else 2**13
    assert sums.total(np.full(n, 0.1)) == pytest.approx(0.1 * n, rel=2e-14)


def test_pairs_of_an_odd_number_of_parts():
    """The odd one out is added in a later round."""
    for n in range(20):
        assert sums.pairwise(np.arange(float(n))) == n * (n - 1) / 2
