"""The stable descending order of non-negative numbers.

The bits of a number, read as an integer, rise with it. The 32 leading bits of the distance from the largest number
are a key, which spends its digits on the range that is there; it travels with its index in one 64-bit word. Words are
sorted by the leading 22 bits of the key in two passes of a radix sort (least significant digit first), or by all 32
in three where the leading ones leave too many alike. What is left is nearly in order: runs that agree in the sorted
bits are put right by comparing words, and words with one key by comparing the numbers themselves.
"""

from typing import Any

import numpy as np

from hepstat.kernels.options import borrowing, kernel

__all__ = ["descending_order"]

_SMALL = 64  # below this many an insertion sort is quicker
_BLOCK = 32  # what a merge sort starts from, and the longest run that is sorted by insertion
_FIRST = (0, 10, 21)  # bits of the key where the digits begin
_SORTED_BITS = np.uint64(32 + 10)  # of a word, after two passes
_BUCKETS = 1 << 11
_DIGIT = np.uint64(_BUCKETS - 1)
_LOW_DIGIT = np.uint64((1 << 10) - 1)
_HALF = np.uint64(32)
_KEY = np.uint64(0xFFFFFFFF)
_RUN = 4.0  # average length of a run from which a third pass pays


@borrowing
def _range(bits: Any) -> tuple[np.uint64, np.uint64]:
    """Return the bits of the largest number and by how much bits are to be shifted for a key."""
    high, low = np.uint64(0), ~np.uint64(0)
    for i in range(bits.size):
        above = bits[i] if bits[i] > np.uint64(0) else ~np.uint64(0)
        high = bits[i] if bits[i] > high else high
        low = above if above < low else low
    shift = np.uint64(0)
    while high > low and ((high - low) >> shift) > _KEY:
        shift += np.uint64(1)
    return high, shift


@borrowing
def _pack(bits: Any, high: np.uint64, shift: np.uint64, packed: Any, counts: Any) -> int:
    """Write key and index of the entries above 0, count the two leading digits; return how many there are."""
    n = np.int64(0)
    for i in range(bits.size):
        keep = np.int64(bits[i] > np.uint64(0))
        key = ((high - bits[i]) >> shift) & _KEY
        packed[n] = (key << _HALF) | np.uint64(i)
        counts[1, (key >> np.uint64(10)) & _DIGIT] += keep
        counts[2, key >> np.uint64(21)] += keep
        n += keep
    return int(n)


@borrowing
def _count_low(packed: Any, n: int, counts: Any) -> None:
    """Count the last digit of n keys."""
    for i in range(n):
        counts[(packed[i] >> _HALF) & _LOW_DIGIT] += 1


@borrowing
def _average_run(counts: Any, n: int) -> float:
    """Return how many words share the leading two digits with a word, were the middle digit even in each bucket."""
    s = 0.0
    for b in range(_BUCKETS):
        s += float(counts[b]) * float(counts[b])
    return s / (float(n) * _BUCKETS)


@borrowing
def _move(source: Any, n: int, shift: int, mask: np.uint64, counts: Any, target: Any) -> None:
    """Move n words to where their digit belongs, in the order in which they come."""
    start = np.int64(0)
    for d in range(_BUCKETS):
        count = counts[d]
        counts[d] = start
        start += count
    for i in range(n):
        word = source[i]
        d = (word >> np.uint64(shift)) & mask
        target[counts[d]] = word
        counts[d] += 1


@borrowing
def _precedes(m: Any, word: np.uint64, other: np.uint64) -> bool:
    """Return whether a word comes before another: by key, then by number, then by index."""
    if word >> _HALF != other >> _HALF:
        return bool(word < other)
    a, b = m[np.int64(word & _KEY)], m[np.int64(other & _KEY)]
    return bool(a > b or (a == b and word < other))


@borrowing
def _insertion_sort(m: Any, words: Any, low: int, high: int) -> None:
    """Sort words[low:high]."""
    for i in range(low + 1, high):
        moved = words[i]
        j = i
        while j > low and _precedes(m, moved, words[j - 1]):
            words[j] = words[j - 1]
            j -= 1
        words[j] = moved


@borrowing
def _merge_sort(m: Any, words: Any, low: int, high: int, left: Any) -> None:
    """Do the same for many, with `left` (high - low,) as scratch."""
    for start in range(low, high, _BLOCK):
        _insertion_sort(m, words, start, min(start + _BLOCK, high))
    width = _BLOCK
    while width < high - low:
        for start in range(low, high - width, 2 * width):
            for i in range(width):
                left[i] = words[start + i]
            i, j, stop = 0, start + width, min(start + 2 * width, high)
            for place in range(start, stop):
                if i == width:
                    break
                if j < stop and _precedes(m, words[j], left[i]):
                    words[place] = words[j]
                    j += 1
                else:
                    words[place] = left[i]
                    i += 1
        width *= 2


@borrowing
def _repair(m: Any, words: Any, n: int, bits: np.uint64, scratch: Any) -> None:
    """Sort the runs of words that agree from bit `bits` on; runs already in order cost one look."""
    low = 0
    while low < n:
        run, high, in_order = words[low] >> bits, low + 1, True
        while high < n and words[high] >> bits == run:
            in_order &= not _precedes(m, words[high], words[high - 1])
            high += 1
        if not in_order:
            if high - low <= _BLOCK:
                _insertion_sort(m, words, low, high)
            else:
                _merge_sort(m, words, low, high, scratch)
        low = high


@borrowing
def _settle(words: Any, n: int) -> bool:
    """Sort words that are nearly in order, by key and index; give up where one is far from its place."""
    for i in range(1, n):
        moved = words[i]
        if moved < words[i - 1]:
            j, end = i, max(i - _BLOCK, 0)
            while j > end and moved < words[j - 1]:
                words[j] = words[j - 1]
                j -= 1
            words[j] = moved
            if j == end and j > 0 and moved < words[j - 1]:
                return False
    return True


@kernel
def descending_order(m: Any, work: Any) -> tuple[Any, Any, int]:
    """Return the order in which numbers fall, equal ones by index, and how many are above zero.

    Parameters
    ----------
    m : ndarray, shape (n,)
        Numbers from 0 to infinity, fewer than 2^32 of them.
    work : ndarray of uint64, shape (2, n)
        Overwritten; the order lies in it.

    Returns
    -------
    order : ndarray of uint32, shape (n,)
    spare : ndarray of uint64, shape (n,)
        The half of `work` that is free again.
    n_positive : int
        Entries of `order` from there on belong to zeros.
    """
    n = m.size
    words, other = work[0], work[1]
    counts = np.zeros((3, _BUCKETS), np.int64) if n >= _SMALL else np.zeros((3, 1), np.int64)
    if n < _SMALL:
        n_positive = 0
        for i in range(n):
            words[n_positive] = np.uint64(i)
            n_positive += int(m[i] > 0.0)
        _insertion_sort(m, words, 0, n_positive)
    else:
        bits = m.view(np.uint64)
        high, shift = _range(bits)
        n_positive = _pack(bits, high, shift, words, counts)
        first = 1
        if n_positive > 0 and _average_run(counts[2], n_positive) > _RUN:
            _count_low(words, n_positive, counts[0])
            first = 0
        for p in range(first, 3):
            _move(words, n_positive, 32 + _FIRST[p], _LOW_DIGIT if p == 0 else _DIGIT, counts[p], other)
            words, other = other, words
        if first == 1 and not _settle(words, n_positive):
            _repair(m, words, n_positive, _SORTED_BITS, other)
    order = other.view(np.uint32)[:n]
    alike = False
    for i in range(n_positive):
        alike |= i > 0 and words[i] >> _HALF == words[i - 1] >> _HALF
    if alike:
        _repair(m, words, n_positive, _HALF, other)
    for i in range(n_positive):
        order[i] = np.uint32(words[i] & _KEY)
    place = n_positive
    for i in range(n):
        if place < n:
            order[place] = i
            place += int(not m[i] > 0.0)
    return order, words, n_positive
