"""Tests of signal plus background against background alone, from a count to every bit of information.

All of them are sums over events (Nachman, arXiv:1909.03081, eqs 3.1 to 3.5): ``log Lambda`` is
``sum_i [n_i log(1 + S_i/B_i) - S_i]`` in bins of r = p_S/p_B, and ``sum_j log(1 + (S/B) r_j) - S`` without bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, nonnegative_number, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.fit.throwing import Thrower
from hepstat.kernels.ratio_toys import GUIDE, Bins, Component, throw_ratio_toys
from hepstat.record import plain
from hepstat.seeds import Key
from hepstat.strength.sources import DrawnRatios, RatioHistogram, SimulatedRatios, Source, WrappedNormal
from hepstat.toys.study import PreparedStudy
from hepstat.types import Floats, Ints

__all__ = ["BinYields", "RatioTest", "RatioToys", "log_lambda", "standard_tests", "yields"]

_NOT_FINITE = 1


@dataclass(frozen=True)
class RatioTest:
    """A test by the number of events in bins of r, or by r of every event.

    Parameters
    ----------
    edges : sequence of float or None
        Lower edges of the bins, rising, from at least zero on. The last bin has no end; events below the first edge are
        not used. ``(0,)`` counts all events, ``(c,)`` those that pass a cut. None takes every event for itself.

    Raises
    ------
    InputError
        If the edges do not rise.
    """

    edges: tuple[float, ...] | None

    def __post_init__(self) -> None:
        if self.edges is None:
            return
        edges = finite_array(self.edges, "edges")
        if (np.diff(edges) <= 0).any() or edges[0] < 0:
            raise InputError("edges", f"are {self.edges}", "Pass rising numbers of at least zero")
        object.__setattr__(self, "edges", tuple(edges.tolist()))


def standard_tests() -> dict[str, RatioTest]:
    """Return the tests of figure 4 of arXiv:1909.03081.

    Returns
    -------
    dict of str to RatioTest
        "inclusive"; "cut" at r = .5; "two bins", from .5 to 2 and above, without the events below; "many bins", 20 from
        0 to 3 and one above; "optimal", without bins.
    """
    many = tuple(float(edge) for edge in np.linspace(0.0, 3.0, 21))
    return {
        "inclusive": RatioTest((0.0,)),
        "cut": RatioTest((0.5,)),
        "two bins": RatioTest((0.5, 2.0)),
        "many bins": RatioTest(many),
        "optimal": RatioTest(None),
    }


@dataclass(frozen=True, eq=False)
class BinYields:
    """Expected events of a binned test.

    Attributes
    ----------
    signal, background : ndarray, (bins,)
    """

    signal: Floats
    background: Floats

    @property
    def scores(self) -> Floats:
        """What an event in each bin adds to log Lambda, log(1 + S_i/B_i) (bins,)."""
        return np.log1p(self.signal / self.background)

    def log_lambda(self, contents: ArrayLike) -> Floats:
        """Return log Lambda (...) of contents (..., bins)."""
        return np.asarray(_sum_of_scores(contents, self.scores) - self.signal.sum())


def yields(test: RatioTest, source: Source, n_signal: float, n_background: float) -> BinYields:
    """Return the expected events in the bins of a test.

    Parameters
    ----------
    test : RatioTest
        With bins.
    source : Source
    n_signal, n_background : float
        Expected events in all, before any cut.

    Returns
    -------
    BinYields
        Of the bins that have any.

    Raises
    ------
    InputError
        If the test has no bins, or a bin has signal but no background.
    """
    if test.edges is None:
        raise InputError("test", "has no bins", "Pass a test with edges")
    p_signal, p_background = source.probabilities(np.array(test.edges))
    empty = (p_background <= 0) & (p_signal > 0)
    if empty.any():
        edge = test.edges[int(np.argmax(empty))]
        raise InputError("edges", f"make a bin from {edge:g} with signal and no background", "Merge bins")
    # bins without either have no events: any score will do
    background = np.where(p_background > 0, p_background, 1.0)
    return BinYields(n_signal * p_signal, n_background * background)


class RatioToys(PreparedStudy):
    """Study of likelihood-ratio tests between two given hypotheses, all on the same toys.

    A record has `status` (0, or a key of `reasons`), `n`, the number of events, and log Lambda of each test under its
    name: large where data look like signal plus background. So its negative is a statistic against that hypothesis,
    it itself one against background alone. Run it with :func:`hepstat.toys.run`.

    Parameters
    ----------
    source : SimulatedRatios, WrappedNormal, DrawnRatios or RatioHistogram
        Where events come from.
    n_signal, n_background : float
        Expected events that the tests assume; the first at least zero.
    tests : mapping of str to RatioTest, optional
        By default :func:`standard_tests`.
    mu : float, optional
        Strength of the signal that toys are thrown with: 1, or 0 for background alone.
    n_total : int, optional
        Number of events of every toy, where that is given; Poisson otherwise.
    keep_contents : bool, optional
        Keep the contents of bins in the field `contents`, from which :meth:`contents` makes those of any of the tests.

    Raises
    ------
    InputError
        If a number is out of range, a name is taken, or a bin has signal and no background.

    Warns
    -----
    SmallSampleWarning
        If simulated samples are too small for toys of this size.
    """

    chunk = 256
    reasons: Mapping[int, str] = {_NOT_FINITE: "a ratio was negative or not finite"}

    def __init__(
        self,
        source: SimulatedRatios | WrappedNormal | DrawnRatios | RatioHistogram,
        n_signal: float,
        n_background: float,
        tests: Mapping[str, RatioTest] | None = None,
        *,
        mu: float = 1.0,
        n_total: int | None = None,
        keep_contents: bool = False,
    ) -> None:
        self.source = source
        self.n_signal = nonnegative_number(n_signal, "n_signal")
        self.n_background = positive_number(n_background, "n_background")
        self.tests = dict(standard_tests() if tests is None else tests)
        self.mu = nonnegative_number(mu, "mu")
        self.n_total = None if n_total is None else whole_number(n_total, "n_total")
        self.keep_contents = bool(keep_contents)
        taken = sorted({"status", "n", "contents"} & set(self.tests))
        if taken or not self.tests:
            raise InputError("tests", f"has {taken[0]!r}" if taken else "is empty", "Choose other names, at least one")
        odd = [name for name, test in self.tests.items() if not isinstance(test, RatioTest)]
        if odd:
            raise InputError("tests", f"has {self.tests[odd[0]]!r} for {odd[0]!r}", "Pass RatioTest objects")
        if self.n_total is not None and isinstance(source, RatioHistogram):
            raise InputError("n_total", f"is {self.n_total}", "Throw from events, or let the number be Poisson")
        self.yields  # noqa: B018  # a bin without background is an error now, not in a toy
        if isinstance(source, SimulatedRatios):
            source.warn(self.mu * self.n_signal, self.n_background)

    @property
    def dtype(self) -> np.dtype[Any]:
        """One record."""
        contents = [("contents", "i4", (len(self.edges),))] if self.keep_contents else []
        return np.dtype([("status", "i2"), ("n", "i8"), *((name, "f8") for name in self.tests), *contents])

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {
            "name": type(self).__name__,
            "source": self.source.describe(),
            "yields": [self.n_signal, self.n_background],
            "tests": {name: None if test.edges is None else list(test.edges) for name, test in self.tests.items()},
            "mu": self.mu,
            "n_total": self.n_total,
            "keep_contents": self.keep_contents,
            "edges": plain(self.edges),
        }

    @cached_property
    def edges(self) -> Floats:
        """Lower edges (bins,) of bins fine enough for all tests."""
        if isinstance(self.source, RatioHistogram):
            return np.asarray(self.source.edges)[:-1]
        return np.array(sorted({0.0}.union(*(test.edges or () for test in self.tests.values()))))

    @cached_property
    def yields(self) -> dict[str, BinYields]:
        """Expected events in the bins of each test that has bins."""
        return {
            name: yields(test, self.source, self.n_signal, self.n_background)
            for name, test in self.tests.items()
            if test.edges is not None
        }

    def contents(self, table: Any, name: str) -> Ints:
        """Return the contents (toys, bins) of a test's bins, from toys that were run with `keep_contents`.

        Raises
        ------
        InputError
            If the toys do not have them, or the test has no bins.
        """
        if not self.keep_contents:
            raise InputError("keep_contents", "is False", "Make the study with keep_contents=True")
        if name not in self.yields:
            raise InputError("name", f"is {name!r}", f"Choose from {', '.join(self.yields)}")
        return self._merged(np.asarray(table["contents"]), name)

    def block(self, key: Key, first: int, out: np.ndarray) -> None:
        """Fill out (n,) with the records of toys `first`, ``first + 1``, ..."""
        if isinstance(self.source, RatioHistogram):
            n, log_sums, counts = self._from_histogram(key, first, len(out))
        else:
            n, log_sums, counts = self._from_events(key, first, len(out))
        out["n"] = n
        out["status"] = np.where(np.isfinite(log_sums), 0, _NOT_FINITE)
        for name, test in self.tests.items():
            if test.edges is None:
                out[name] = log_sums - self.n_signal
            else:
                value = self.yields[name].log_lambda(self._merged(counts, name))
                out[name] = np.where(out["status"] == 0, value, np.nan)
        if self.keep_contents:
            out["contents"] = counts

    def _from_events(self, key: Key, first: int, n: int) -> tuple[Ints, Floats, Ints]:
        """Throw events."""
        counts = np.zeros((n, len(self.edges)), np.int32)
        n_events, log_sums = np.empty(n, np.int64), np.empty(n)
        (signal, s), (background, b) = self._draws
        n_s, n_b = self._means
        throw_ratio_toys(
            Component(signal, s, n_s),
            Component(background, b, n_b),
            -1 if self.n_total is None else self.n_total,
            self.n_signal / self.n_background,
            self._bins,
            *key,
            int(first),
            n_events,
            log_sums,
            counts,
        )
        if isinstance(self.source, DrawnRatios):
            self.source.raise_error()
        return n_events, log_sums, counts.astype(np.int64)

    def _from_histogram(self, key: Key, first: int, n: int) -> tuple[Ints, Floats, Ints]:
        """Throw bin contents."""
        counts, _, _ = self._thrower.throw(key, first, n)
        source: Any = self.source
        p_signal, p_background = source.signal, source.background
        ratio = np.divide(p_signal, p_background, out=np.zeros_like(p_signal), where=p_background > 0)
        log_sums = _sum_of_scores(counts, np.log1p(self.n_signal / self.n_background * ratio))
        whole = counts.astype(np.int64)
        return whole.sum(axis=1), log_sums, whole

    def _merged(self, counts: Ints, name: str) -> Ints:
        """Return the contents (toys, bins) of the bins of a test, from those of fine bins."""
        place = np.searchsorted(self.edges, np.array(self.tests[name].edges))
        return np.add.reduceat(counts, place, axis=1, dtype=np.int64)

    @property
    def _means(self) -> tuple[float, float]:
        return self.mu * self.n_signal, self.n_background

    @cached_property
    def _draws(self) -> Any:
        return self.source.draws  # type: ignore[union-attr]

    @cached_property
    def _bins(self) -> Bins:
        edges = self.edges
        top = max(edges[-1], 1e-6)
        # a hair low: the quotient r * per_cell may round down into the cell before, never up by more than that
        cells = np.arange(GUIDE) / GUIDE * top * (1.0 - 1e-12)
        guide = np.maximum(np.searchsorted(edges, cells, side="right") - 1, 0)
        return Bins(np.append(edges, np.inf), guide.astype(np.int64), GUIDE / top)

    @cached_property
    def _thrower(self) -> Thrower:
        source: Any = self.source
        signal, background = self._means
        return Thrower.plain(signal * np.asarray(source.signal) + background * np.asarray(source.background))


def _sum_of_scores(contents: ArrayLike, scores: Floats) -> Floats:
    """Return the sums (...) of contents (..., bins) times scores; bits of a matrix product depend on other rows."""
    return np.asarray(np.multiply(contents, scores, order="C").sum(axis=-1))


def log_lambda(ratio: ArrayLike, n_signal: float, n_background: float) -> float:
    """Return the unbinned log Lambda of events with these ratios (n,), eq 3.5.

    Raises
    ------
    InputError
        For ratios that are negative or not finite, or yields out of range.
    """
    r = finite_array(ratio, "ratio", allow_empty=True)
    if (r < 0).any():
        raise InputError("ratio", f"is {r.min():g} somewhere", "Pass ratios of at least zero")
    s, b = nonnegative_number(n_signal, "n_signal"), positive_number(n_background, "n_background")
    return float(np.log1p(s / b * r).sum() - s)
