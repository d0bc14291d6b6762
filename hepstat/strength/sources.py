"""What toys of likelihood-ratio tests are thrown from: the ratio r = p_S/p_B of events of signal and of background."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf

from hepstat.checks import event_weights, finite_array, positive_number, rising_edges, whole_number
from hepstat.digest import code_digest, numbers_digest
from hepstat.errors import InputError
from hepstat.kernels.draws import pool, wrapped
from hepstat.kernels.draws.entry import Callback, draw_once
from hepstat.kernels.philox import stream
from hepstat.ratio.bins import effective_size
from hepstat.seeds import Rng, stream_key
from hepstat.types import Floats

__all__ = [
    "DrawnRatios",
    "RatioHistogram",
    "SimulatedRatios",
    "SmallSampleWarning",
    "Source",
    "WrappedNormal",
    "effective_size",
    "warn_if_small",
]

_SMALL = 0.1  # shift of a toy distribution, in its widths, from which a simulated sample counts as too small


class SmallSampleWarning(UserWarning):
    """Toys are drawn from so few simulated events that their distribution is visibly off."""


class Source(Protocol):
    """What toys are thrown from."""

    def describe(self) -> dict[str, Any]:
        """Return what fixes the source, in JSON types."""

    def probabilities(self, edges: Floats) -> tuple[Floats, Floats]:
        """Return the probabilities (bins,) of signal and of background in bins with these lower edges in r."""


@dataclass(frozen=True, eq=False)
class SimulatedRatios:
    """Simulated events of signal and background, drawn with replacement in proportion to their weights.

    Parameters
    ----------
    signal, background : array_like, (n,)
        Ratio of the densities at every event, at least zero.
    signal_weights, background_weights : array_like, (n,), optional
        At least zero.

    Raises
    ------
    InputError
        For ratios or weights that are negative or not finite, or that do not fit together.

    Notes
    -----
    Toys of N events from a sample of effective size m (:func:`effective_size`) have a log likelihood ratio whose mean
    is off by about sqrt(N/m) of its standard deviation, the same for all toys. Where that exceeds .1 a
    :class:`SmallSampleWarning` says so.
    """

    signal: ArrayLike
    background: ArrayLike
    _: KW_ONLY
    signal_weights: ArrayLike | None = None
    background_weights: ArrayLike | None = None

    def __post_init__(self) -> None:
        for name in ("signal", "background"):
            ratio, weights = checked_pool(getattr(self, name), getattr(self, f"{name}_weights"), name)
            if (ratio < 0).any():
                raise InputError(name, f"has a ratio of {ratio.min():g}", "Pass ratios of at least zero")
            object.__setattr__(self, name, ratio)
            object.__setattr__(self, f"{name}_weights", weights)

    def describe(self) -> dict[str, Any]:
        """Return what fixes the source, in JSON types."""
        return {"kind": "simulated", "numbers": numbers_digest(*(np.asarray(part) for part in self._parts))}

    def probabilities(self, edges: Floats) -> tuple[Floats, Floats]:
        """Return the shares (bins,) of signal and of background in bins with these lower edges in r."""
        s, b, ws, wb = (np.asarray(part) for part in self._parts)
        closed = np.append(edges, np.inf)
        return (
            np.histogram(s, closed, weights=ws)[0] / ws.sum(),
            np.histogram(b, closed, weights=wb)[0] / wb.sum(),
        )

    @property
    def _parts(self) -> tuple[Any, ...]:
        return self.signal, self.background, self.signal_weights, self.background_weights

    @property
    def draws(self) -> tuple[tuple[int, Floats], tuple[int, Floats]]:
        """Address and constants of the draw of signal, and of that of background."""
        s, b, ws, wb = (np.asarray(part) for part in self._parts)
        return (pool.POOL.address, pool.pool_constants(s, ws)), (pool.POOL.address, pool.pool_constants(b, wb))

    def warn(self, n_signal: float, n_background: float) -> None:
        """Warn if the samples are too small for toys of so many events."""
        for name, n, weights in (
            ("signal", n_signal, self.signal_weights),
            ("background", n_background, self.background_weights),
        ):
            warn_if_small(name, n, np.asarray(weights))


@dataclass(frozen=True)
class WrappedNormal:
    """A normal signal on a uniform background, on a circle from -1/2 to 1/2: the toy of arXiv:1909.03081, section 2.

    Parameters
    ----------
    std : float
        Standard deviation of y = y_0 + y_1 for signal before it is wrapped, from .005 to 1.

    Raises
    ------
    InputError
        If it is outside.
    """

    std: float

    def __post_init__(self) -> None:
        if not 0.005 <= positive_number(self.std, "std") <= 1.0:
            raise InputError("std", f"is {self.std:g}", "Pass a number from .005 to 1")

    def ratio(self, y: ArrayLike) -> Floats:
        """Return p_S/p_B at y (n,), of any size: it is wrapped."""
        turned = finite_array(y, "y", allow_empty=True)
        turned = turned - np.floor(turned + 0.5)
        wrapped.evaluate_wrapped_normal(wrapped.constants(self.std), turned)
        return turned

    def describe(self) -> dict[str, Any]:
        """Return what fixes the source, in JSON types."""
        return {"kind": "wrapped normal", "std": self.std}

    def probabilities(self, edges: Floats) -> tuple[Floats, Floats]:
        """Return the probabilities (bins,) of signal and of background in bins with these lower edges in r.

        r falls with the distance from 0, so that each edge is a distance, found by bisection.
        """
        low, high = np.zeros(len(edges)), np.full(len(edges), 0.5)
        for _ in range(60):
            middle = 0.5 * (low + high)
            above = self.ratio(middle) >= edges
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        reach = np.where(self.ratio(np.zeros(1)) >= edges, high, 0.0)
        turns = np.arange(-10, 11)[:, None]
        scale = np.sqrt(2.0) * self.std
        inside = 0.5 * (erf((turns + reach) / scale) - erf((turns - reach) / scale)).sum(axis=0)
        signal, background = (np.maximum(part - np.append(part[1:], 0.0), 0.0) for part in (inside, 2.0 * reach))
        return np.where(background > 0, signal, 0.0), background  # where edges all but coincide, without rounding

    @property
    def draws(self) -> tuple[tuple[int, Floats], tuple[int, Floats]]:
        """Address and constants of the draw of signal, and of that of background."""
        constants = wrapped.constants(self.std)
        return (wrapped.SIGNAL.address, constants), (wrapped.BACKGROUND.address, constants)


@dataclass(frozen=True, eq=False)
class DrawnRatios:
    """Events drawn by functions: any analytic model.

    Parameters
    ----------
    signal, background : callable
        ``function(n, rng)`` with a numpy generator draws n events and returns their ratios (n,).
    n_probe : int, optional
        Events drawn once of each to find the probabilities of bins, which have a statistical error for that reason.
    probe_rng : int, SeedSequence or Generator, optional
        Of these events.
    """

    signal: Callable[[int, np.random.Generator], Any]
    background: Callable[[int, np.random.Generator], Any]
    _: KW_ONLY
    n_probe: int = 1_000_000
    probe_rng: Rng = 1
    _key: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("signal", "background"):
            if not callable(getattr(self, name)):
                raise InputError(name, f"is {getattr(self, name)!r}", "Pass a function of a number and a generator")
        whole_number(self.n_probe, "n_probe", at_least=1)
        object.__setattr__(self, "_key", stream_key(self.probe_rng, "probe_rng"))

    def describe(self) -> dict[str, Any]:
        """Return what fixes the source, in JSON types."""
        code = [code_digest(self.signal), code_digest(self.background)]
        return {"kind": "drawn", "code": code, "n_probe": self.n_probe, "key": [int(word) for word in self._key]}

    def probabilities(self, edges: Floats) -> tuple[Floats, Floats]:
        """Return the shares (bins,) of probe events in bins with these lower edges in r."""
        shares = [np.histogram(ratio, np.append(edges, np.inf))[0] / ratio.size for ratio in self._probes]
        return shares[0], shares[1]

    @cached_property
    def _probes(self) -> list[Floats]:
        probes, (key0, key1) = [], self._key
        for index, callback in enumerate(self._callbacks):
            ratio = np.empty(self.n_probe)
            draw_once(callback.address, stream(key0, key1, index), np.empty(0), ratio)
            callback.raise_error()
            bad = int(np.count_nonzero(~(ratio >= 0) | np.isinf(ratio)))
            if bad:
                name = ("signal", "background")[index]
                raise InputError(name, f"gives {bad} ratios that are negative or not finite", "Return ratios >= 0")
            probes.append(ratio)
        return probes

    @cached_property
    def _callbacks(self) -> tuple[Callback, Callback]:
        return Callback(self.signal), Callback(self.background)

    @property
    def draws(self) -> tuple[tuple[int, Floats], tuple[int, Floats]]:
        """Address and constants of the draw of signal, and of that of background."""
        nothing = np.empty(0)
        return (self._callbacks[0].address, nothing), (self._callbacks[1].address, nothing)

    def raise_error(self) -> None:
        """Raise what the functions raised, if anything."""
        for callback in self._callbacks:
            callback.raise_error()

    def __reduce__(self) -> tuple[Any, ...]:
        return _drawn, (self.signal, self.background, self.n_probe, self._key)


def _drawn(signal: Any, background: Any, n_probe: int, key: Any) -> DrawnRatios:
    made = DrawnRatios(signal, background, n_probe=n_probe)
    object.__setattr__(made, "_key", key)
    return made


@dataclass(frozen=True, eq=False)
class RatioHistogram:
    """Histograms of r for signal and background: toys are then bin contents, at a cost that events do not change.

    An unbinned test takes every event of a bin for one in which r is the ratio of the bin's probabilities.

    Parameters
    ----------
    edges : array_like, (bins + 1,)
        Of r, from at least zero on; the last may be infinite.
    signal, background : array_like, (bins,)
        Contents, at least zero, in any unit.

    Raises
    ------
    InputError
        For contents or edges that cannot be used, or a bin with signal and without background.
    """

    edges: ArrayLike
    signal: ArrayLike
    background: ArrayLike

    def __post_init__(self) -> None:
        edges = np.atleast_1d(np.asarray(self.edges, dtype=np.float64))
        last = edges[-1:] if edges.ndim == 1 else edges
        rising_edges(np.where(np.isposinf(edges), np.nan_to_num(edges[-2:-1].max(initial=0.0)) + 1.0, edges), "edges")
        if edges[0] < 0 or not last[0] > 0:
            raise InputError("edges", f"start at {edges[0]:g}", "A ratio is at least zero")
        object.__setattr__(self, "edges", edges)
        for name in ("signal", "background"):
            contents = finite_array(getattr(self, name), name)
            if contents.size != edges.size - 1 or (contents < 0).any() or not contents.sum() > 0:
                problem = f"has {contents.size} contents, the least {contents.min():g}"
                raise InputError(name, problem, f"Pass {edges.size - 1}, none negative, not all zero")
            object.__setattr__(self, name, contents / contents.sum())
        signal, background = np.asarray(self.signal), np.asarray(self.background)
        if ((signal > 0) & (background == 0)).any():
            raise InputError("background", "is empty where signal is not", "Merge bins")

    @classmethod
    def of(cls, source: Source, edges: ArrayLike) -> RatioHistogram:
        """Return the histogram of another source in bins with these edges (bins + 1,)."""
        values = np.asarray(edges, dtype=np.float64)
        signal, background = source.probabilities(values[:-1])
        return cls(values, signal, background)

    def describe(self) -> dict[str, Any]:
        """Return what fixes the source, in JSON types."""
        numbers = numbers_digest(np.asarray(self.edges), np.asarray(self.signal), np.asarray(self.background))
        return {"kind": "histogram", "numbers": numbers}

    def probabilities(self, edges: Floats) -> tuple[Floats, Floats]:
        """Return the probabilities (bins,) of signal and of background in bins whose lower edges are among its own."""
        own = np.asarray(self.edges)[:-1]
        place = np.searchsorted(own, edges)
        if (place == own.size).any() or (own[place] != edges).any():
            odd = edges[(place == own.size) | (own[np.minimum(place, own.size - 1)] != edges)]
            raise InputError("edges", f"has {odd[0]:g}, which is no edge of the histogram", "Let tests use its edges")
        signal = np.add.reduceat(np.asarray(self.signal), place)
        background = np.add.reduceat(np.asarray(self.background), place)
        return signal, background


def checked_pool(values: ArrayLike, weights: ArrayLike | None, name: str, ndim: int = 1) -> tuple[Floats, Floats]:
    """Return simulated events and their weights (n,), ones if there are none, or raise :class:`InputError`."""
    events = finite_array(values, name, ndim=ndim)
    return events, event_weights(len(events), weights, f"{name}_weights", signed=False)


def warn_if_small(name: str, n: float, weights: Floats) -> None:
    """Warn if a simulated sample is too small for toys of n events."""
    if n == 0:
        return
    size = effective_size(weights)
    shift = np.sqrt(n / size)
    if shift > _SMALL:
        text = (
            f"{name}: toys of {n:.4g} events are drawn from {size:.4g} effective simulated ones, so that the "
            f"distribution of their likelihood ratio is off by about {shift:.2g} of its width; simulate "
            f"{n / _SMALL**2:.3g} or more"
        )
        warnings.warn(text, SmallSampleWarning, stacklevel=3)
