"""Arguments of any shape: coerced and checked at the door of the functions that broadcast."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.errors import InputError
from hepstat.types import Bools, Floats

__all__ = ["finite", "given", "numbers", "refuse"]


def given(value: Any) -> Any:
    """Hand a scalar back as float, an array as it is."""
    return float(value) if np.ndim(value) == 0 else value


def numbers(value: ArrayLike | None, name: str, low: float, high: float) -> Floats:
    """Coerce to float64 of any shape within [low, high]; infinities only where those bounds include them."""
    try:
        raw = np.asarray(value)
        if raw.dtype.kind not in "biuf":
            raise TypeError(f"its type is {raw.dtype}")
        array = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(name, f"is not a number or an array of numbers ({error})", "Pass real numbers only") from None
    refuse(~((array >= low) & (array <= high)), array, name, f"is outside [{low:g}, {high:g}]", "Correct or remove it")
    return array


def finite(value: ArrayLike, name: str, low: float = -np.inf) -> Floats:
    """Coerce to finite float64 of any shape, at least `low`."""
    values = numbers(value, name, low, np.inf)
    refuse(np.isinf(values), values, name, "is infinite", "Pass finite numbers")
    return values


def refuse(bad: Bools, values: Floats, name: str, problem: str, remedy: str) -> None:
    """Raise with the number of bad entries and the first of them, if there is any."""
    if not np.any(bad):
        return
    if np.ndim(values) == 0:
        raise InputError(name, f"{float(values):g} {problem}", remedy)
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    raise InputError(
        name, f"{float(values[first]):g} at index {first} {problem} ({int(np.sum(bad))} such entries)", remedy
    )
