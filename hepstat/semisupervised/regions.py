"""The mass window and its side bands, and the bins of the spectrum across them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, interval, rising_edges, whole_number
from hepstat.errors import InputError
from hepstat.record import plain
from hepstat.types import Floats, Ints

__all__ = ["MassRegions"]


@dataclass(frozen=True)
class MassRegions:
    """A window, closed at both ends, and side bands that touch it and include their outer ends.

    Parameters
    ----------
    window : (low, high), optional
        Where a signal is looked for: ``low <= m <= high``.
    side_bands : ((low, high), (low, high)), optional
        ``low <= m < window[0]`` and ``window[1] < m <= high``.
    bins : int or array_like (bins + 1,), optional
        Bins of the spectrum: a number of equal ones from the lowest to the highest mass, or their edges. The ends of
        the window have to be edges.

    Raises
    ------
    InputError
        If the side bands do not touch the window, or bins do not fit.
    """

    window: tuple[float, float] = (144.0, 156.0)
    side_bands: tuple[tuple[float, float], tuple[float, float]] = ((132.0, 144.0), (156.0, 168.0))
    bins: int | ArrayLike = 36

    def __post_init__(self) -> None:
        window = interval(self.window, "window")
        try:
            first, second = self.side_bands
        except (TypeError, ValueError):
            raise InputError("side_bands", f"is {self.side_bands!r}", "Pass two pairs (low, high)") from None
        low, high = interval(first, "side_bands[0]"), interval(second, "side_bands[1]")
        if low[1] != window[0] or high[0] != window[1]:
            shown = f"end at {low[1]:g} and begin at {high[0]:g}, around a window from {window[0]:g} to {window[1]:g}"
            raise InputError("side_bands", shown, "Let them touch the window")
        if np.ndim(self.bins) == 0:
            edges = np.linspace(low[0], high[1], whole_number(self.bins, "bins", at_least=3) + 1)
        else:
            edges = rising_edges(self.bins, "bins")
        if edges[0] != low[0] or edges[-1] != high[1]:
            raise InputError("bins", f"reach from {edges[0]:g} to {edges[-1]:g}", f"Cover {low[0]:g} to {high[1]:g}")
        object.__setattr__(self, "window", window)
        object.__setattr__(self, "side_bands", (low, high))
        object.__setattr__(self, "bins", tuple(edges.tolist()))
        for end in window:
            edges[self.edge_number(end, "bins")] = end
        object.__setattr__(self, "bins", tuple(edges.tolist()))

    @property
    def edges(self) -> Floats:
        """Edges of the bins (bins + 1,)."""
        return np.array(self.bins)

    @property
    def range(self) -> tuple[float, float]:
        """From the lowest to the highest mass."""
        return self.side_bands[0][0], self.side_bands[1][1]

    @property
    def centre(self) -> float:
        """The middle of the window."""
        return 0.5 * (self.window[0] + self.window[1])

    @property
    def in_window(self) -> Any:
        """Which bins are those of the window, (bins,) of bool."""
        middle = 0.5 * (self.edges[1:] + self.edges[:-1])
        return (self.window[0] < middle) & (middle < self.window[1])

    def labels(self, mass: ArrayLike) -> Ints:
        """Return 1 for masses (n,) in the window, 0 in the side bands, -1 elsewhere."""
        m = finite_array(mass, "mass", allow_empty=True)
        low, high = self.range
        inside = (self.window[0] <= m) & (m <= self.window[1])
        return np.where(inside, 1, np.where((low <= m) & (m <= high), 0, -1))

    def edge_number(self, mass: float, argument: str) -> int:
        """Return the number of the edge at a mass, or raise :class:`InputError`."""
        edges = self.edges
        nearest = int(np.abs(edges - mass).argmin())
        if abs(edges[nearest] - mass) > 1e-9 * (edges[-1] - edges[0]):
            raise InputError(argument, f"have no edge at {mass:g}", "Choose bins with edges there")
        return nearest

    def describe(self) -> dict[str, Any]:
        """Return everything in JSON types."""
        return {"window": plain(self.window), "side_bands": plain(self.side_bands), "edges": plain(self.edges)}
