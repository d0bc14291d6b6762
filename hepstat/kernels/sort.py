"""The stable descending order of non-negative numbers.

Numbers are sorted by their float32 bits, which rise with the number, in three passes of a radix sort (least
significant digit first); each key travels with its index in one 64-bit word. Runs of numbers that only float64 tells
apart are then put right by comparison.
"""

from typing import Any

import numpy as np

from hepstat.kernels.options import borrowing, kernel

__all__ = ["descending_order"]

_SMALL = 64  # below this many an insertion sort is quicker
_BLOCK = 32  # what a merge sort starts from
_PASSES = 3
_BITS = 11
_BUCKETS = 1 << _BITS
_DIGIT = np.uint64(_BUCKETS - 1)
_HALF = np.uint64(32)
_INDEX = np.uint64(0xFFFFFFFF)
_INVERTED = np.uint32(0x7FFFFFFF)
_LARGEST = 3.4028234663852886e38  # of float32; what is above shares its key and is told apart afterwards


@borrowing
def _pack(m: Any, packed: Any, counts: Any) -> int:
    """Write key and index of the entries above 0, count the digits (passes, buckets); return how many there are."""
    n = np.int64(0)
    for i in range(m.size):
        keep = np.int64(m[i] > 0.0)
        bits = np.float32(m[i] if m[i] < _LARGEST else _LARGEST).view(np.uint32)
        key = np.uint64(bits ^ _INVERTED)
        packed[n] = (key << _HALF) | np.uint64(i)
        for p in range(_PASSES):
            counts[p, (key >> np.uint64(p * _BITS)) & _DIGIT] += keep
        n += keep
    return int(n)


@borrowing
def _move(source: Any, n: int, shift: int, counts: Any, target: Any) -> None:
    """Move n words to where their digit belongs, in the order in which they come."""
    start = np.int64(0)
    for d in range(_BUCKETS):
        count = counts[d]
        counts[d] = start
        start += count
    for i in range(n):
        word = source[i]
        d = (word >> np.uint64(shift)) & _DIGIT
        target[counts[d]] = word
        counts[d] += 1


@borrowing
def _insertion_sort(m: Any, order: Any, low: int, high: int) -> None:
    """Sort order[low:high] so that m[order] does not rise, keeping the order of equals."""
    for i in range(low + 1, high):
        moved = order[i]
        j = i
        while j > low and m[order[j - 1]] < m[moved]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = moved


@kernel
def _merge_sort(m: Any, order: Any, low: int, high: int) -> None:
    """Do the same for many."""
    for start in range(low, high, _BLOCK):
        _insertion_sort(m, order, start, min(start + _BLOCK, high))
    left = np.empty(high - low, order.dtype)
    width = _BLOCK
    while width < high - low:
        for start in range(low, high - width, 2 * width):
            for i in range(width):
                left[i] = order[start + i]
            i, j, stop = 0, start + width, min(start + 2 * width, high)
            for place in range(start, stop):
                if i == width:
                    break
                if j < stop and m[order[j]] > m[left[i]]:
                    order[place] = order[j]
                    j += 1
                else:
                    order[place] = left[i]
                    i += 1
        width *= 2


@kernel
def _repair(m: Any, packed: Any, order: Any, n: int) -> None:
    """Sort the runs of equal keys by the numbers themselves; runs already in order cost one look."""
    low = 0
    while low < n:
        key, high, in_order = packed[low] >> _HALF, low + 1, True
        while high < n and packed[high] >> _HALF == key:
            in_order &= m[order[high]] <= m[order[high - 1]]
            high += 1
        if not in_order:
            _merge_sort(m, order, low, high)
        low = high


@kernel
def descending_order(m: Any, work: Any) -> tuple[Any, int]:
    """Return the order in which numbers fall, equal ones by index, and how many are above zero.

    Parameters
    ----------
    m : ndarray, shape (n,)
        Numbers from 0 to infinity, fewer than 2^32 of them.
    work : ndarray of uint64, shape (2, n)
        Overwritten; the order lies in it. One large allocation by the caller is handed back and forth by the system
        less often than several.

    Returns
    -------
    order : ndarray of uint32, shape (n,)
    n_positive : int
        Entries of `order` from there on belong to zeros.
    """
    n = m.size
    packed, other = work[0], work[1]
    if n < _SMALL:
        order = other.view(np.uint32)[:n]
        above = np.int64(0)
        for i in range(n):
            order[i] = i
            above += np.int64(m[i] > 0.0)
        _insertion_sort(m, order, 0, n)
        return order, int(above)
    counts = np.zeros((_PASSES, _BUCKETS), np.int64)
    n_positive = _pack(m, packed, counts)
    for p in range(_PASSES):
        shift = 32 + p * _BITS
        if n_positive > 0 and counts[p, (packed[0] >> np.uint64(shift)) & _DIGIT] < n_positive:
            _move(packed, n_positive, shift, counts[p], other)
            packed, other = other, packed
    order = other.view(np.uint32)[:n]
    for i in range(n_positive):
        order[i] = np.uint32(packed[i] & _INDEX)
    _repair(m, packed, order, n_positive)
    place = np.int64(n_positive)
    for i in range(n):
        if place < n:
            order[place] = i
            place += np.int64(not m[i] > 0.0)
    return order, n_positive
