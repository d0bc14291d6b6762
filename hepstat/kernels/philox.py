"""Philox4x64-10, a generator of random bits whose every output is a function of a key and a counter.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The bits are
those of :class:`numpy.random.Philox`. Stream `index` of a key is the one with the 256-bit counter
``index * 2^192``::

    numpy.random.Philox(key=[key0, key1], counter=[0, 0, 0, index])

so that the streams of one key overlap only after 2^194 draws, and any of them can be replayed
alone (:func:`hepstat.seeds.toy_generator`).

The state of a stream is an array of eleven uint64: the key (2), the counter of the last block (4,
low word first), that block (4), and how many of its words are used up. It belongs to one thread.
"""

from typing import Any, TypeAlias

import numpy as np
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from hepstat.kernels.options import inlined, kernel

__all__ = ["STATE_SIZE", "State", "fill_bits", "next_bits", "next_uniform", "seek", "stream"]

State: TypeAlias = NDArray[np.uint64]

STATE_SIZE = 11
ROUNDS = 10
MASK = 0xFFFFFFFFFFFFFFFF
ZERO = np.uint64(0)
ONE = np.uint64(1)
FOUR = np.uint64(4)
ELEVEN = np.uint64(11)
MULTIPLIER_0 = np.uint64(0xD2E7470EE14C6C93)
MULTIPLIER_1 = np.uint64(0xCA5A826395121157)
WEYL_0 = np.uint64(0x9E3779B97F4A7C15)
WEYL_1 = np.uint64(0xBB67AE8584CAA73B)
UNIT = 2.0**-53


def wide_product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the high and the low word of the 128-bit product."""
    product = int(a) * int(b)
    return np.uint64(product >> 64), np.uint64(product & MASK)


def wrapping_sum(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return a + b modulo 2^64, as compiled code does but numpy's scalars warn about."""
    return np.uint64((int(a) + int(b)) & MASK)


def _type_high_word(typing_context: Any, a: Any, b: Any) -> Any:  # pragma: no cover (runs in the compiler)
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = context.get_value_type(types.uint64)
        wide = type(word)(128)
        factors = [builder.zext(argument, wide) for argument in arguments]
        return builder.trunc(builder.lshr(builder.mul(*factors), wide(64)), word)

    return types.uint64(types.uint64, types.uint64), build


_high_word: Any = intrinsic(_type_high_word)


@overload(wide_product)
def _compiled_wide_product(a: Any, b: Any) -> Any:
    def words(a: Any, b: Any) -> Any:
        return _high_word(a, b), a * b

    return words


@overload(wrapping_sum)
def _compiled_wrapping_sum(a: Any, b: Any) -> Any:
    def plain_sum(a: Any, b: Any) -> Any:
        return a + b

    return plain_sum


@inlined
def block(state: State) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Count one block on and return its four words."""
    for i in range(2, 6):
        state[i] = wrapping_sum(state[i], ONE)
        if state[i] != ZERO:
            break
    key0, key1 = state[0], state[1]
    x0, x1, x2, x3 = state[2], state[3], state[4], state[5]
    for _ in range(ROUNDS):
        high0, low0 = wide_product(MULTIPLIER_0, x0)
        high1, low1 = wide_product(MULTIPLIER_1, x2)
        x0, x1, x2, x3 = high1 ^ x1 ^ key0, low1, high0 ^ x3 ^ key1, low0
        key0, key1 = wrapping_sum(key0, WEYL_0), wrapping_sum(key1, WEYL_1)
    return x0, x1, x2, x3


@kernel
def seek(state: State, key0: int | np.uint64, key1: int | np.uint64, index: int | np.uint64) -> None:
    """Put `state` at the start of stream `index` of the key."""
    state[:] = ZERO
    state[0] = np.uint64(key0)
    state[1] = np.uint64(key1)
    state[5] = np.uint64(index)
    state[10] = FOUR


@kernel
def stream(key0: int, key1: int, index: int) -> State:
    """Return a new state at the start of stream `index` of the key."""
    state = np.empty(STATE_SIZE, dtype=np.uint64)
    seek(state, key0, key1, index)
    return state


@kernel
def refill(state: State) -> None:
    """Draw a block into the state."""
    state[6], state[7], state[8], state[9] = block(state)
    state[10] = ZERO


@inlined
def next_bits(state: State) -> np.uint64:
    """Return the next 64 random bits."""
    if state[10] == FOUR:
        refill(state)
    used = np.int64(state[10])
    state[10] = np.uint64(used + 1)
    bits: np.uint64 = state[6 + used]
    return bits


@inlined
def next_uniform(state: State) -> float:
    """Return a number in [0, 1), a multiple of 2^-53, by the rule of :meth:`numpy.random.Generator.random`."""
    return np.float64(next_bits(state) >> ELEVEN) * UNIT


@kernel
def fill_bits(state: State, out: State) -> None:
    """Fill `out` (n,) with the next words; the same as n calls of :func:`next_bits`."""
    n = out.shape[0]
    i = 0
    while i < n and state[10] != FOUR:
        out[i] = next_bits(state)
        i += 1
    while i + 4 <= n:
        out[i], out[i + 1], out[i + 2], out[i + 3] = block(state)
        i += 4
    while i < n:
        out[i] = next_bits(state)
        i += 1
