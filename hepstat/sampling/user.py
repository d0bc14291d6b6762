"""A generator of the user's, such as a variational autoencoder or a GAN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import column_names, whole_number
from hepstat.digest import code_digest
from hepstat.errors import InputError
from hepstat.kernels.draws.entry import Callback
from hepstat.sampling.base import sampled
from hepstat.seeds import Rng
from hepstat.types import Floats

__all__ = ["UserSampler"]


class UserSampler:
    """Events of a function of your own, with the interface of the samplers that are compiled.

    Parameters
    ----------
    function : callable
        ``function(n, rng)`` gets a number of events and a numpy generator, and returns finite events (n, columns). For
        results that can be repeated, all randomness has to come from that generator: a library with one of its own can
        be given ``rng.integers(2**63)`` as seed. It is called with the interpreter lock, so threads wait for each
        other. Module-level functions, and objects with ``__call__`` that can be pickled, also work in other processes.
    columns : int
        Number of features of an event.
    names : sequence of str, optional
        Of the columns; x0, x1, ... by default.

    Raises
    ------
    InputError
        If `function` is no function.
    """

    def __init__(
        self,
        function: Callable[[int, np.random.Generator], ArrayLike],
        columns: int,
        *,
        names: Sequence[str] | None = None,
    ) -> None:
        if not callable(function):
            raise InputError("function", f"is {function!r}", "Pass a function of a number and a generator")
        self.function = function
        self.columns = whole_number(columns, "columns", at_least=1)
        self.names = column_names(names, self.columns)

    @cached_property
    def _callback(self) -> Callback:
        return Callback(self.function, self.columns)

    @property
    def draw(self) -> tuple[int, Floats]:
        """Address, good for as long as this object lives, and no constants (0,), for compiled code."""
        return self._callback.address, np.empty(0)

    def sample(self, n: int, rng: Rng) -> Floats:
        """Return events (n, columns).

        Raises
        ------
        Exception
            Whatever the function raises; ValueError if it returns another shape, or numbers that are not finite.
        """
        return sampled(self, n, rng)

    def raise_error(self) -> None:
        """Raise what the function raised first in this thread since the last call of this method, if anything."""
        self._callback.raise_error()

    def describe(self) -> dict[str, Any]:
        """Return what fixes the events, in JSON types, with a digest of the function."""
        return {"kind": "UserSampler", "columns": self.columns, "code": code_digest(self.function)}

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.function, self.columns, self.names)

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return f"UserSampler({name}, {', '.join(self.names)})"


def _restored(function: Any, columns: int, names: tuple[str, ...]) -> UserSampler:
    return UserSampler(function, columns, names=names)
