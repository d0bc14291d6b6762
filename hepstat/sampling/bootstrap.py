"""Simulated events drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from hepstat.kernels.draws.rows import ROWS, rows_constants
from hepstat.sampling.base import DrawnSampler, checked_pool, read_only
from hepstat.types import Floats

__all__ = ["BootstrapSampler"]


class BootstrapSampler(DrawnSampler):
    """Simulated events drawn with replacement, in proportion to their weights.

    Parameters
    ----------
    events : array_like, (m, d) or (m,)
        Simulated events.
    weights : array_like, (m,), optional
        At least zero.
    names : sequence of str, optional
        Of the columns; x0, x1, ... by default.

    Attributes
    ----------
    n_events : int
        Number of events to draw from: those with a weight above zero.

    Raises
    ------
    InputError
        For entries that are not finite, or negative weights.

    Notes
    -----
    Efron, Ann. Stat. 7 (1979) 1. Toys have the same events again and again, within a toy, too: a classifier can
    learn such events by heart, and a toy of N events has about N^2 / (2 m) pairs of equal ones.
    """

    def __init__(
        self, events: ArrayLike, weights: ArrayLike | None = None, *, names: Sequence[str] | None = None
    ) -> None:
        x, w, given = checked_pool(events, weights, names)
        self.n_events = len(x)
        super().__init__(rows_constants(x, w), given)

    @property
    def _address(self) -> int:
        return ROWS.address

    @property
    def events(self) -> Floats:
        """Events to draw from (m, d), a view."""
        return read_only(self._constants[2:].reshape(self.n_events, -1)[:, : self.columns])

    def describe(self) -> dict[str, Any]:
        """Return what fixes the events, in JSON types: a digest of all numbers."""
        return {**super().describe(), "kind": "Bootstrap"}

    def __repr__(self) -> str:
        return f"BootstrapSampler({self.n_events} events of {', '.join(self.names)})"
