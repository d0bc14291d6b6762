"""The one door: arguments are coerced and checked here, once; nothing below checks again."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.errors import InputError
from hepstat.types import Floats

__all__ = [
    "column_names",
    "event_weights",
    "features",
    "finite_array",
    "finite_number",
    "interval",
    "nonnegative_number",
    "open_share",
    "positive_number",
    "rising_edges",
    "weighted_events",
    "whole_number",
]


def finite_array(value: ArrayLike, name: str, *, ndim: int = 1, allow_empty: bool = False) -> Floats:
    """Return `value` as a float64 C-contiguous array of `ndim` dimensions without NaN or infinity.

    Raises
    ------
    InputError
        For text, ragged or complex input, a wrong number of dimensions, no entries at all, or
        entries that are NaN or infinite (with their count and the first position).
    """
    try:
        raw = np.asarray(value)
        if raw.dtype.kind == "c":
            raise TypeError("complex numbers")
        array = np.ascontiguousarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(name, f"is not an array of numbers ({error})", "Pass real numbers only") from None
    if array.ndim != ndim or raw.ndim != ndim:  # ascontiguousarray lifts scalars to one dimension
        raise InputError(
            name, f"has {raw.ndim} dimensions, shape {raw.shape}", f"Pass an array with {ndim} dimension(s)"
        )
    if array.size == 0 and not allow_empty:
        raise InputError(name, "is empty", "Pass at least one entry")
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            name,
            f"has {int(np.isnan(array).sum())} NaN and {int(np.isinf(array).sum())} infinite entries, "
            f"the first at index {first[0] if ndim == 1 else first}",
            "Remove or repair them first",
        )
    return array


def features(x: ArrayLike, name: str = "x", *, allow_empty: bool = False) -> Floats:
    """Return events (n, d), or raise :class:`InputError`; events (n,) of a single feature become a column.

    No events are refused unless allowed, and then there must be a number of features, (0, d).
    """
    try:
        shape = np.shape(x)
    except ValueError:  # ragged
        shape = (1, 1)
    empty = allow_empty and len(shape) == 2 and shape[0] == 0
    events = finite_array(x, name, ndim=1 if len(shape) == 1 else 2, allow_empty=empty)
    return events if events.ndim == 2 else events[:, np.newaxis]


def column_names(names: Sequence[str] | None, n: int, argument: str = "names") -> tuple[str, ...]:
    """Return the names of n columns, x0, x1, ... by default, or raise :class:`InputError` unless all differ."""
    if names is None:
        return tuple(f"x{j}" for j in range(n))
    given = (names,) if isinstance(names, str) else tuple(str(name) for name in names)
    if len(given) != n or len(set(given)) != n:
        raise InputError(argument, f"are {', '.join(given)} for {n} columns", "Pass a name of its own for each")
    return given


def event_weights(
    n: int, weights: ArrayLike | None, name: str, *, signed: bool = True, any_sum: bool = False
) -> Floats:
    """Return the weights of n events, 1 each by default, or raise :class:`InputError`.

    Their sum has to be above zero, unless any will do.
    """
    w = np.ones(n) if weights is None else finite_array(weights, name)
    if w.size != n:
        raise InputError(name, f"has {w.size} entries for {n} events", "Pass one weight for each event")
    if not signed and (w < 0).any():
        raise InputError(name, f"has {int((w < 0).sum())} negative entries", "Pass weights of at least zero")
    if not any_sum and not w.sum() > 0:
        raise InputError(name, f"add up to {w.sum():g}", "Pass weights with a sum above zero")
    return w


def weighted_events(
    x: ArrayLike, weights: ArrayLike | None, name: str | None = None, *, any_sum: bool = False
) -> tuple[Floats, Floats]:
    """Return :func:`features` (n, d) with :func:`event_weights` (n,).

    They are called "x" and "weights", or with a name that name and "<name>_weights".
    """
    events = features(x, name or "x")
    return events, event_weights(len(events), weights, f"{name}_weights" if name else "weights", any_sum=any_sum)


def rising_edges(value: ArrayLike, name: str = "edges") -> Floats:
    """Return `value` as edges of bins, (bins + 1,) with at least one bin, or raise :class:`InputError`."""
    edges = finite_array(value, name)
    falling = np.flatnonzero(np.diff(edges) <= 0)
    if edges.size < 2 or falling.size:
        shown = f"{edges[falling[0]]:g}, {edges[falling[0] + 1]:g}" if falling.size else f"{edges.size} edge"
        raise InputError(name, f"does not rise: {shown}", "Pass two or more edges, each above the one before")
    return edges


def finite_number(value: Any, name: str) -> float:
    """Return `value` as a finite float, or raise :class:`InputError`; text and truth values are no numbers."""
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(name, f"is {value!r}, not a number", "Pass one finite number") from None
    if not np.isfinite(number):
        raise InputError(name, f"is {number}", "Pass a finite number")
    return number


def positive_number(value: Any, name: str) -> float:
    """Return `value` as a finite float above zero, or raise :class:`InputError`."""
    number = finite_number(value, name)
    if number <= 0:
        raise InputError(name, f"is {number:g}", "Pass a number above zero")
    return number


def nonnegative_number(value: Any, name: str) -> float:
    """Return `value` as a finite float of at least zero, or raise :class:`InputError`."""
    number = finite_number(value, name)
    if number < 0:
        raise InputError(name, f"is {number:g}", "Pass a number of at least zero")
    return number


def open_share(value: Any, name: str) -> float:
    """Return `value` as a float above 0 and below 1, or raise :class:`InputError`."""
    number = finite_number(value, name)
    if not 0.0 < number < 1.0:
        raise InputError(name, f"is {number:g}", "Pass a number between 0 and 1")
    return number


def whole_number(value: Any, name: str, *, at_least: int = 0) -> int:
    """Return `value` as an int no smaller than `at_least`, or raise :class:`InputError`."""
    number = finite_number(value, name)
    if number != int(number) or number < at_least:
        raise InputError(name, f"is {value!r}", f"Pass a whole number of at least {at_least}")
    return int(number)


def interval(value: Any, name: str) -> tuple[float, float]:
    """Return `value` as (low, high) with low < high, both finite, or raise :class:`InputError`."""
    try:
        low, high = value
    except (TypeError, ValueError):
        raise InputError(name, f"is {value!r}, not a pair", "Pass (low, high)") from None
    low, high = finite_number(low, f"{name}[0]"), finite_number(high, f"{name}[1]")
    if not low < high:
        raise InputError(name, f"is ({low:g}, {high:g}), which is empty", "Pass low < high")
    return low, high
