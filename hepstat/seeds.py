"""Where randomness comes from: every toy has a stream of its own, found from a key and its index.

A study takes one argument ``rng``, turns it into a key once, and gives toy ``i`` stream ``i`` of that
key (:mod:`hepstat.kernels.philox`). So no result depends on the order in which toys are made or on
the number of workers, and any toy can be made again alone.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hepstat.errors import InputError

__all__ = ["Key", "Rng", "lasting_seed", "stream_key", "toy_generator"]

Rng: TypeAlias = int | np.random.SeedSequence | np.random.Generator
Key: TypeAlias = tuple[np.uint64, np.uint64]

_REMEDY = "Pass a whole number >= 0, a numpy.random.SeedSequence or a numpy.random.Generator"


def stream_key(rng: Rng, name: str = "rng") -> Key:
    """Return the 128-bit key of all streams that belong to `rng`.

    Parameters
    ----------
    rng : int, numpy.random.SeedSequence or numpy.random.Generator
        A whole number seeds a `SeedSequence`, which mixes it well, so that 1, 2, 3, ... are good
        seeds. A `SeedSequence` gives its first 128 bits of state, always the same, the very key of
        ``numpy.random.Philox(rng)``. A `Generator` draws the key, hence moves on: a second call
        gives another key.
    name : str
        Name of the argument, for the error.

    Returns
    -------
    tuple of numpy.uint64
        The two words of the key.

    Raises
    ------
    InputError
        For anything else, a negative number, a float or None.
    """
    if isinstance(rng, np.random.Generator):
        words: NDArray[Any] = rng.integers(0, 2**64, size=2, dtype=np.uint64)
    elif isinstance(rng, np.random.SeedSequence):
        words = rng.generate_state(2, np.uint64)
    elif isinstance(rng, int | np.integer) and not isinstance(rng, bool) and rng >= 0:
        words = np.random.SeedSequence(int(rng)).generate_state(2, np.uint64)
    else:
        raise InputError(name, f"is {_shown(rng)}", _REMEDY)
    return np.uint64(words[0]), np.uint64(words[1])


def toy_generator(key: Key, index: int) -> np.random.Generator:
    """Return numpy's generator on the stream of toy `index`.

    Its raw bits and its ``random()`` are those of the compiled generator; other distributions use
    the bits in numpy's way and differ.

    Parameters
    ----------
    key : tuple of numpy.uint64
        From :func:`stream_key`.
    index : int
        Number of the toy, from 0 to 2^64 - 1.

    Returns
    -------
    numpy.random.Generator
        On a `numpy.random.Philox` with this key and counter ``index * 2^192``.

    Raises
    ------
    InputError
        If the index is out of range.
    """
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < 2**64:
        raise InputError("index", f"is {_shown(index)}", "Pass a whole number from 0 to 2^64 - 1")
    words = np.array([key[0], key[1]], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words, counter=int(index) << 192))


def lasting_seed(generator: np.random.Generator) -> np.random.SeedSequence:
    """Return a seed of 128 bits drawn from a generator; unlike that it gives the same key each time it is used."""
    return np.random.SeedSequence(generator.integers(2**32, size=4).tolist())


def _shown(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})"
