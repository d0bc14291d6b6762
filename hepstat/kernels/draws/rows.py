"""Events drawn whole: rows of features, from a list of simulated ones or from any other draw.

The list is a table with one row for each event: its d features, then threshold and alias of Walker's method
(:mod:`hepstat.kernels.draws.pool`), then what else a draw needs. Threshold and alias lie beside the features, where an
event costs one access to memory.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.draws.entry import Entry, call_draw
from hepstat.kernels.draws.pool import alias_table
from hepstat.kernels.entry import view
from hepstat.kernels.options import kernel, part
from hepstat.kernels.philox import STATE_SIZE, State, next_uniform

__all__ = ["ROWS", "choose", "draw_rows", "fill_choices", "rows_constants"]

Array = NDArray[np.float64]


@part
def choose(state: State, table: Any, d: int) -> int:
    """Return the number of an event of a table (m, d + 2 or more)."""
    place = next_uniform(state) * table.shape[0]
    i = int(place)
    return i if place - i < table[i, d] else int(table[i, d + 1])


def fill_choices(weights: Array, table: Array, d: int) -> None:
    """Fill columns d and d + 1 of a table, threshold and alias, for weights (m,) of at least zero.

    Equal weights need no aliases, and events are chosen uniformly.
    """
    if (weights == weights[0]).all():
        table[:, d], table[:, d + 1] = 1.0, np.arange(weights.size)
        return
    threshold, alias = np.empty(weights.size), np.empty(weights.size, np.int64)
    alias_table(np.ascontiguousarray(weights, dtype=np.float64), threshold, alias)
    table[:, d], table[:, d + 1] = threshold, alias


def rows_constants(events: Array, weights: Array) -> Array:
    """Return the constants of ROWS for events (m, d) with weights (m,): m, d, and the table row by row."""
    m, d = events.shape
    constants = np.empty(2 + m * (d + 2))
    constants[:2] = m, d
    table = constants[2:].reshape(m, d + 2)
    table[:, :d] = events
    fill_choices(weights, table, d)
    return constants


def _rows(state: Any, c: Any, n: int, out: Any) -> None:
    """Draw events of the list with replacement."""
    stream, head = view(state, (STATE_SIZE,)), view(c, (2,))
    m, d = int(head[0]), int(head[1])
    table = view(c, (2 + m * (d + 2),))[2:].reshape((m, d + 2))
    x = view(out, (n, d))
    for i in range(n):
        chosen = choose(stream, table, d)
        for j in range(d):
            x[i, j] = table[chosen, j]


ROWS = Entry(_rows)


@kernel
def draw_rows(address: int, state: State, constants: Any, out: Any) -> None:
    """Fill `out` (n, columns) with one call of the draw at this address."""
    call_draw(address, state, constants, out.shape[0], out)
