"""Columns of the records of toys, by the names of procedures and recipes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from hepstat.checks import whole_number
from hepstat.errors import InputError
from hepstat.toys import ToyTable
from hepstat.types import Floats, Ints

__all__ = [
    "LEVEL",
    "SearchLike",
    "Toys",
    "column",
    "fields_of",
    "n_failed_toys",
    "place_of",
    "refuse_same",
    "scan_recipe",
    "step_of",
]

Toys: TypeAlias = Any  # a ToyTable, or structured records (n,) with a field "status"


LEVEL = 0.5
"""Level of q0 whose up-crossings along the mass scan records count."""

_SCANNED = "profiled"


class SearchLike(Protocol):
    """What the analysis of toys asks of a search."""

    @property
    def procedures(self) -> Sequence[Any]: ...  # noqa: D102

    @property
    def recipes(self) -> Sequence[Any]: ...  # noqa: D102

    @property
    def rejections(self) -> Any: ...  # noqa: D102


def place_of(things: Sequence[Any], wanted: Any, argument: str) -> int:
    """Return the number of a procedure or recipe by its name, or raise :class:`InputError`."""
    names = [str(thing.name) for thing in things]
    if wanted not in names:
        raise InputError(argument, f"is {wanted!r}", f"Choose from {', '.join(names)}")
    return names.index(wanted)


def scan_recipe(search: SearchLike) -> str:
    """Return the name of the recipe that masses are scanned by: the first one with a profiled background."""
    for recipe in search.recipes:
        if getattr(recipe, "background", recipe.name) == _SCANNED:
            return str(recipe.name)
    return _SCANNED


def step_of(search: SearchLike, step: Any, argument: str = "step") -> int:
    """Return the number of a rejection step; negative ones count from the end."""
    n = len(search.rejections)
    number = int(step) + n if isinstance(step, int | np.integer) and step < 0 else step
    if not 0 <= whole_number(number, argument) < n:
        raise InputError(argument, f"is {step}", f"Pass a number from 0 to {n - 1}")
    return int(number)


def column(toys: Toys, field: str, *place: int) -> Floats:
    """Return a field (n, ...) of all toys at a place behind the first axis; NaN in toys that failed as a whole.

    Raises
    ------
    InputError
        If there is no such field, or no toy.
    """
    if field not in fields_of(toys):
        raise InputError("table", f"has no field {field!r}", f"It has {', '.join(fields_of(toys))}")
    parts = []
    for records in _pieces(toys):
        values = np.array(records[field][(slice(None), *place)], dtype=np.float64)
        values[records["status"] != 0] = np.nan
        parts.append(values)
    if not sum(len(part) for part in parts):
        raise InputError("table", "has no toy", "Throw some")
    return np.concatenate(parts)


def n_failed_toys(toys: Toys) -> int:
    """Return the number of toys that failed as a whole."""
    return int(sum(np.count_nonzero(records["status"]) for records in _pieces(toys)))


def fields_of(toys: Toys) -> tuple[str, ...]:
    """Return the names of the fields, or raise :class:`InputError` for what holds no records of toys."""
    names: tuple[str, ...] | None = getattr(getattr(toys, "dtype", None), "names", None)
    if not names or "status" not in names:
        raise InputError("table", f"is {type(toys).__name__} without the field 'status'", "Pass a table of toys")
    return names


def refuse_same(null: Toys, other: Toys, argument: str) -> None:
    """Raise :class:`InputError` if two tables have the same random streams."""
    if isinstance(null, ToyTable) and isinstance(other, ToyTable) and null.key == other.key:
        shared: Ints = np.intersect1d(null.indices, other.indices)
        if shared.size:
            raise InputError(argument, "has the streams of the null: toys fluctuate together", "Use another rng")


def _pieces(toys: Toys) -> Iterator[Any]:
    if isinstance(toys, ToyTable):
        for _, records in toys.blocks():
            yield records
    else:
        yield np.asarray(toys)
