"""What a sampler is, and what those that are made of simulated events share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import column_names, event_weights, features, whole_number
from hepstat.digest import numbers_digest
from hepstat.errors import InputError
from hepstat.kernels.draws.rows import draw_rows
from hepstat.kernels.philox import stream
from hepstat.seeds import Rng, stream_key
from hepstat.types import Floats, Ints

__all__ = [
    "DrawnSampler",
    "Sampler",
    "checked_pool",
    "column_number",
    "column_numbers",
    "read_only",
    "sampled",
]

Column = int | str


class Sampler(Protocol):
    """What throws events.

    Attributes
    ----------
    columns : int
        Number of features of an event, the invariant mass among them.
    names : tuple of str
        Of the features.
    draw : tuple (address, constants)
        A draw by address with its constants (m,), for compiled code (:mod:`hepstat.kernels.draws.entry`): it fills
        (n, columns), row by row.
    """

    columns: int
    names: tuple[str, ...]

    @property
    def draw(self) -> tuple[int, Floats]:
        """Address and constants of the draw."""
        ...

    def sample(self, n: int, rng: Rng) -> Floats:
        """Return n events (n, columns)."""
        ...

    def raise_error(self) -> None:
        """Raise what a function of the user raised in compiled code in this thread, if anything."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what fixes the events, in JSON types."""
        ...


class DrawnSampler:
    """A sampler whose constants say everything; those below differ in what these are made of.

    Parameters
    ----------
    constants : ndarray, (m,)
        Of the draw. Its address is another one in every process, so it is asked for each time.
    names : tuple of str
        One for each column.
    """

    def __init__(self, constants: Floats, names: tuple[str, ...]) -> None:
        self.names = names
        self.columns = len(names)
        self._constants = constants

    @property
    def _address(self) -> int:
        """Address of the draw."""
        raise NotImplementedError

    @property
    def draw(self) -> tuple[int, Floats]:
        """Address and constants (m,) of the draw, for compiled code."""
        return self._address, self._constants

    def sample(self, n: int, rng: Rng) -> Floats:
        """Return events (n, columns).

        Parameters
        ----------
        n : int
            Number of events, at least zero.
        rng : int, SeedSequence or Generator
            The seed.
        """
        return sampled(self, n, rng)

    def raise_error(self) -> None:
        """Do nothing: no function of a user is called."""

    @cached_property
    def _digest(self) -> str:
        return numbers_digest(self._constants)

    def describe(self) -> dict[str, Any]:
        """Return what fixes the events, in JSON types: a digest of all numbers."""
        return {"kind": type(self).__name__, "columns": self.columns, "numbers": self._digest}


def read_only(array: Floats) -> Floats:
    """Return a view that cannot be written to; the constants themselves can, since kernels tell such arrays apart."""
    view = array.view()
    view.flags.writeable = False
    return view


def sampled(sampler: Sampler, n: int, rng: Rng) -> Floats:
    """Return n events (n, columns) from stream 0 of the key of `rng`, by the draw of a sampler."""
    key: Any = stream_key(rng)
    out = np.empty((whole_number(n, "n"), sampler.columns))
    address, constants = sampler.draw
    draw_rows(address, stream(key[0], key[1], 0), constants, out)
    sampler.raise_error()
    return out


def checked_pool(
    events: ArrayLike, weights: ArrayLike | None, names: Sequence[str] | None
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Return events (m, d) and weights (m,) without those of weight zero, and names of the columns.

    Raises
    ------
    InputError
        For entries that are not finite, negative weights, or names that do not fit.
    """
    x = features(events, "events")
    w = event_weights(len(x), weights, "weights", any_sum=True)
    if (w < 0).any():
        problem = f"has {int((w < 0).sum())} negative entries, and a density has none to draw"
        raise InputError("weights", problem, "Make them positive with hepstat.weights.positive_resample first")
    if not w.sum() > 0:
        raise InputError("weights", f"add up to {w.sum():g}", "Pass weights with a sum above zero")
    kept = w > 0
    given = column_names(names, x.shape[1])
    return (x, w, given) if kept.all() else (x[kept], w[kept], given)


def column_number(column: Column, names: tuple[str, ...], argument: str) -> int:
    """Return the number of a column that is given by its number, from 0, or its name, or raise :class:`InputError`."""
    if isinstance(column, str):
        if column not in names:
            raise InputError(argument, f"names the column {column!r}", f"Choose of {', '.join(names)}")
        return names.index(column)
    number = whole_number(column, argument)
    if number >= len(names):
        raise InputError(argument, f"has column {number} of {len(names)}", "Count columns from 0, or use names")
    return number


def column_numbers(columns: Sequence[Column] | Column, names: tuple[str, ...], argument: str) -> Ints:
    """Return the rising numbers of columns, or raise :class:`InputError`."""
    given = [columns] if isinstance(columns, int | str) else list(columns)
    return np.array(sorted({column_number(column, names, argument) for column in given}), dtype=np.int64)
