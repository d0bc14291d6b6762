"""The bit generator: the stream of numpy's Philox, to the bit, from every place in it."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepstat.kernels import philox

COMPILED = not numba.config.DISABLE_JIT
LENGTH = 10_001 if COMPILED else 101
WORD = st.integers(0, 2**64 - 1)


def state_of(key0: int, key1: int, index: int) -> np.ndarray:
    """Return the state at the start of a stream."""
    return philox.stream(np.uint64(key0), np.uint64(key1), np.uint64(index))


def peer(key0: int, key1: int, counter: int) -> np.random.Philox:
    """Return numpy's generator with the same key."""
    return np.random.Philox(key=np.array([key0, key1], dtype=np.uint64), counter=counter)


@settings(deadline=None)  # the first example compiles
@given(WORD, WORD, WORD)
def test_every_stream_is_numpys(key0, key1, index):
    """The words of any stream of any key are those of numpy."""
    out = np.empty(9, dtype=np.uint64)
    philox.fill_bits(state_of(key0, key1, index), out)
    np.testing.assert_array_equal(out, peer(key0, key1, index << 192).random_raw(9))


def test_a_long_stream_is_numpys():
    """No word differs further down the stream."""
    out = np.empty(LENGTH, dtype=np.uint64)
    philox.fill_bits(state_of(1, 2, 3), out)
    np.testing.assert_array_equal(out, peer(1, 2, 3 << 192).random_raw(LENGTH))


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.integers(0, 11), max_size=6))
def test_words_one_by_one_and_in_bulk_are_one_stream(lengths):
    """Single draws and fills of any lengths follow on from one another."""
    state, pieces = state_of(5, 6, 7), []
    for length in lengths:
        out = np.empty(length, dtype=np.uint64)
        philox.fill_bits(state, out)
        pieces += [*out, philox.next_bits(state)]
    np.testing.assert_array_equal(pieces, peer(5, 6, 7 << 192).random_raw(len(pieces)))


@pytest.mark.parametrize("words", [(1,), (1, 2), (1, 2, 3)])
def test_the_counter_carries(words):
    """A full low word of the counter carries into the next, as numpy's does."""
    state = state_of(8, 9, 10)
    counter = 10 << 192
    for word in words:
        state[1 + word] = 2**64 - 1
        counter += (2**64 - 1) << (64 * (word - 1))
    out = np.empty(12, dtype=np.uint64)
    philox.fill_bits(state, out)
    np.testing.assert_array_equal(out, peer(8, 9, counter).random_raw(12))


def test_uniform_numbers_are_those_of_a_generator():
    """The 53-bit rule is that of numpy's Generator."""
    state = state_of(11, 12, 13)
    ours = [philox.next_uniform(state) for _ in range(50)]
    np.testing.assert_array_equal(ours, np.random.Generator(peer(11, 12, 13 << 192)).random(50))


def test_seek_starts_again():
    """A used state put back to the start repeats its stream."""
    state = state_of(14, 15, 16)
    first = [philox.next_bits(state) for _ in range(7)]
    philox.seek(state, np.uint64(14), np.uint64(15), np.uint64(16))
    assert [philox.next_bits(state) for _ in range(7)] == first


@settings(deadline=None)  # the first example compiles
@given(WORD, WORD)
def test_words_multiply_and_add_as_whole_numbers(a, b):
    """The compiled product and sum agree with Python's own integers."""
    high, low = product(np.uint64(a), np.uint64(b))
    assert (int(high) << 64) + int(low) == a * b
    assert int(total(np.uint64(a), np.uint64(b))) == (a + b) % 2**64
    assert philox.wide_product(np.uint64(a), np.uint64(b)) == (high, low)


@numba.njit
def product(a, b):
    """Multiply inside compiled code."""
    return philox.wide_product(a, b)


@numba.njit
def total(a, b):
    """Add inside compiled code."""
    return philox.wrapping_sum(a, b)


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_one_signature_each():
    """No second copy of a kernel is compiled for another kind of state; callers elsewhere have other integers."""
    state = state_of(1, 1, 1)
    philox.fill_bits(state, np.empty(2, dtype=np.uint64))
    for function in (philox.fill_bits, philox.seek, philox.refill):
        assert len({str(signature[0]) for signature in function.signatures}) <= 1
