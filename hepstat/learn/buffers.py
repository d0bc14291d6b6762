"""Buffers that kernels of training work in, aligned to the lines of the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hepstat.kernels.batch import CHUNK, Work
from hepstat.kernels.philox import STATE_SIZE
from hepstat.kernels.tiles import STRIP_BYTES

if TYPE_CHECKING:
    from hepstat.learn.network import Network

__all__ = ["NO_KEY", "aligned", "new_work"]

NO_KEY = np.zeros(2, dtype=np.uint64)  # for work without batches and dropout, which draws nothing

_LINE = 64
_SUMS = 16


def aligned(n: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return an array (n,) of zeros that begins at a line of the cache."""
    size = np.dtype(dtype).itemsize
    raw = np.zeros(n * size + _LINE, dtype=np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + n * size].view(dtype)


def new_work(network: Network, n_events: int, n_at_once: int) -> Work:
    """Return what one thread works with.

    Parameters
    ----------
    network : Network
        The shape.
    n_events : int
        Events of the largest batch.
    n_at_once : int
        Events that the loss sees at once; zero if none is evaluated.
    """
    rows, dtype = sum(network.widths), network.dtype
    length = STRIP_BYTES // np.dtype(dtype).itemsize
    n_strips = -(-min(n_events, CHUNK) // length)
    size = n_strips * length * rows
    drops = any(network.dropouts) and n_at_once > 0
    learns = n_at_once > 0
    ones = aligned(length, dtype)
    ones[:] = 1.0
    return Work(
        strips=aligned(size, dtype),
        pulls=aligned(size if learns else 0, dtype),
        masks=aligned(size if drops else 0, dtype),
        ones=ones,
        sums=aligned(_SUMS, dtype),
        part=aligned(network.n_weights if learns else 0, dtype),
        scores=np.empty((n_at_once, network.n_outputs)),
        slopes=np.empty((n_at_once, network.n_outputs)),
        targets=np.empty(n_at_once),
        weights=np.empty(n_at_once),
        state=np.zeros(STATE_SIZE, dtype=np.uint64),
    )
