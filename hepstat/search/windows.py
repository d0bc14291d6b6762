"""Where binned data exceed their expectation most: all windows of adjacent bins, with local and global p-values."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepstat.checks import finite_array, positive_number, rising_edges, whole_number
from hepstat.errors import InputError
from hepstat.fit.data import is_histogram, take
from hepstat.fit.throwing import Thrower
from hepstat.histogram import Histogram
from hepstat.infer import ToyPValue, p_to_z, toy_p_value_of
from hepstat.kernels.windows import scan_windows
from hepstat.record import Record
from hepstat.seeds import Key, Rng
from hepstat.toys import ToyTable, run
from hepstat.toys.study import PreparedStudy
from hepstat.types import Floats, Ints

__all__ = ["WindowScan", "WindowToys", "global_window_p", "window_scan"]


@dataclass(frozen=True, eq=False, repr=False)
class WindowScan(Record):
    """The most surprising window of a data set.

    Parameters
    ----------
    t : float
        Test statistic, -log of the smallest p-value of a window (Choudalakis, arXiv:1101.0390, section 2); 0 if no
        window has an excess, inf where a count is impossible.
    low, high : float
        Limits of the best window, in the unit of the edges; NaN if there is none.
    first, width : int
        Its first bin and its number of bins; -1 and 0 if there is none.
    observed : float
        Counts in it.
    expected : float
        What was expected in it, scaled to the counts outside if `sidebands`.
    p, z : float
        Local p-value of the window and its significance. p is 0 where it underflows, z stays right: ``log p = -t``.
        1 and -inf if there is no window.
    background : array of shape (n_bins,)
        Expectation in all bins, as given.
    total : float
        Counts in all bins.
    widths : tuple of int
        Numbers of bins that a window might have.
    sidebands, gap, sign
        As in :func:`window_scan`.
    """

    t: float
    low: float
    high: float
    first: int
    width: int
    observed: float
    expected: float
    p: float
    z: float
    background: Floats
    total: float
    widths: tuple[int, ...]
    sidebands: bool
    gap: int
    sign: int

    def toys(self) -> WindowToys:
        """Return the study of `t` without signal: with `sidebands`, for as many counts as the data have on average."""
        scale = self.total / float(self.background.sum()) if self.sidebands and self.total > 0 else 1.0
        return WindowToys(self.background, self.widths, self.sidebands, self.gap, self.sign, scale=scale)

    def __repr__(self) -> str:
        """Show the window, its counts and its local significance."""
        if self.width == 0:
            return f"WindowScan(no window has {'an excess' if self.sign > 0 else 'a deficit'})"
        counts = f"{self.observed:.0f} observed, {self.expected:.5g} expected"
        local = f"local p = {self.p:.3g}, Z = {self.z:.3g}, t = {self.t:.4g}"
        return f"WindowScan({self.low:.6g} to {self.high:.6g}: {counts}, {local})"


class WindowToys(PreparedStudy):
    """Study of the best window of Poisson counts: one record for each toy with `status`, `t`, `first` and `width`.

    Parameters
    ----------
    expected : array of shape (n_bins,)
        Expectation with which counts are compared.
    widths, sidebands, gap, sign
        As in :func:`window_scan`.
    scale : float
        Counts are thrown from the expectation times this; with `sidebands` only its shape is compared.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """

    dtype: ClassVar[np.dtype[Any]] = np.dtype([("status", "i2"), ("t", "f8"), ("first", "i4"), ("width", "i4")])
    reasons: ClassVar[Mapping[int, str]] = {}  # nothing can fail
    chunk: ClassVar[int] = 4096

    def __init__(
        self,
        expected: ArrayLike,
        widths: Iterable[int] | None = None,
        sidebands: bool = False,
        gap: int = 0,
        sign: int = 1,
        *,
        scale: float = 1.0,
    ) -> None:
        self.expected = finite_array(expected, "expected").copy()
        if (self.expected < 0).any():
            raise InputError("expected", f"has {self.expected.min():g}", "Pass means of at least 0")
        if not self.expected.sum() > 0:
            raise InputError("expected", "is 0 in all bins", "Pass a background")
        if sign not in (1, -1):
            raise InputError("sign", f"is {sign!r}", "Pass 1 for an excess, -1 for a deficit")
        self.widths = _widths(widths, self.expected.size)
        self.sidebands, self.gap, self.sign = bool(sidebands), whole_number(gap, "gap"), int(sign)
        self.scale = positive_number(scale, "scale")

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {
            "name": "WindowToys",
            "expected": self.expected.tolist(),
            "widths": list(self.widths),
            "sidebands": self.sidebands,
            "gap": self.gap,
            "sign": self.sign,
            "scale": self.scale,
        }

    def block(self, key: Key, first: int, out: NDArray[Any]) -> None:
        """Fill out (n,), zeros at first, with the records of toys `first`, ``first + 1``, ..."""
        counts, _, _ = self._thrower.throw(key, first, out.size)
        out["t"], out["first"], out["width"] = self._scan(counts)

    @cached_property
    def _thrower(self) -> Thrower:
        return Thrower.plain(self.scale * self.expected)

    def scan(self, counts: ArrayLike) -> tuple[Floats, Ints, Ints]:
        """Return t, first bin and number of bins of the best window (n,) of every row of counts (n, n_bins).

        Raises
        ------
        InputError
            For another shape, or counts that are not whole numbers.
        """
        rows = _whole(finite_array(counts, "counts", ndim=2), "counts")
        if rows.shape[1] != self.expected.size:
            raise InputError("counts", f"have {rows.shape[1]} bins for {self.expected.size}", "Pass one entry per bin")
        return self._scan(rows)

    def _scan(self, counts: Floats) -> tuple[Floats, Ints, Ints]:
        n = counts.shape[0]
        t, first, width = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64)
        widths = np.array(self.widths, np.int64)
        scan_windows(counts, self.expected, widths, self.sidebands, self.gap, self.sign, t, first, width)
        return t, first, width


def window_scan(
    data: Histogram | ArrayLike,
    expected: Histogram | ArrayLike,
    *,
    edges: ArrayLike | None = None,
    widths: Iterable[int] | None = None,
    sidebands: bool = False,
    gap: int = 0,
    sign: int = 1,
) -> WindowScan:
    """Find the window of adjacent bins whose excess is least probable: the BumpHunter (arXiv:1101.0390).

    Windows of all widths are tried at all positions. The paper steps by half a window and discards windows whose side
    bands disagree with the expectation as well; here every position counts and none is discarded.

    Parameters
    ----------
    data : Histogram or array of shape (n_bins,)
        Counts.
    expected : Histogram or array of shape (n_bins,)
        Expectation without signal, at least 0.
    edges : array of shape (n_bins + 1,), optional
        Edges of the bins if neither is a histogram; by default 0, 1, 2, ...
    widths : iterable of int, optional
        Numbers of bins of a window, by default all from 1 to half of the bins.
    sidebands : bool
        False: p is P(N >= d | b), N Poisson, for d counts where b are expected. True: only the shape of the expectation
        is used. p is the conditional binomial tail P(N >= d) for N of all counts, each in the window with probability
        b/(b + B) if B is expected outside; this is :func:`hepstat.infer.on_off_p`. It is exact for an unknown
        normalisation. Scaling b to the counts outside and taking the Poisson tail ignores their fluctuation and so
        overstates Z by a factor of about sqrt(1 + b/B).
    gap : int
        With `sidebands`, bins on either side of the window that are left out, so that the tails of a signal do not
        raise the normalisation.
    sign : {1, -1}
        1 for an excess, -1 for a deficit.

    Returns
    -------
    WindowScan
        With the local p-value; :func:`global_window_p` corrects it for the number of windows.

    Raises
    ------
    InputError
        For weights, counts that are not whole numbers, or arrays that do not match.
    """
    counts, background, axis = _bins(data, expected, edges)
    study = WindowToys(background, widths, sidebands, gap, sign)
    t, first, width = (array[0] for array in study.scan(counts[np.newaxis]))
    stop, none = first + width, width == 0
    inside = slice(max(first, 0), stop if width else 0)
    observed, mean = float(counts[inside].sum()), float(background[inside].sum())
    if study.sidebands and not none:
        left, right = slice(0, max(first - study.gap, 0)), slice(stop + study.gap, None)
        outside = [float(a[left].sum() + a[right].sum()) for a in (counts, background)]
        mean *= outside[0] / outside[1]
    return WindowScan(
        t=float(t),
        low=math.nan if none else float(axis[first]),
        high=math.nan if none else float(axis[stop]),
        first=int(first),
        width=int(width),
        observed=observed,
        expected=mean,
        p=math.exp(-t),
        z=float(p_to_z(log_p=-t)),
        background=study.expected,
        total=float(counts.sum()),
        widths=study.widths,
        sidebands=study.sidebands,
        gap=study.gap,
        sign=study.sign,
    )


def global_window_p(
    scan: WindowScan, toys: int | ToyTable, *, rng: Rng | None = None, level: float = 0.6827, **options: Any
) -> ToyPValue:
    """Return the probability of a window at least as surprising as the best one, anywhere, without signal.

    Parameters
    ----------
    scan : WindowScan
        Of the data.
    toys : int or ToyTable
        Number of toys to throw, or toys of ``scan.toys()`` thrown before.
    rng : int, SeedSequence or Generator
        Where toys come from; needed for a number of toys.
    level : float
        Confidence level of the interval.
    **options
        Passed to :func:`hepstat.toys.run`: workers, executor, path, chunk, progress, ...

    Returns
    -------
    ToyPValue
        Of `t`. Toys are Poisson counts of the expectation, taken as exact: uncertainties of its shape, or of its
        normalisation without `sidebands`, are not in it.

    Raises
    ------
    InputError
        For toys of another study, or a number of toys without `rng`.
    """
    study = scan.toys()
    if not isinstance(toys, ToyTable):
        if rng is None:
            raise InputError("rng", "is None", "Pass a seed, or a table of toys")
        toys = run(study, whole_number(toys, "toys", at_least=1), rng=rng, **options)
    elif toys.config != study.describe():
        raise InputError("toys", "are not those of this scan", "Pass a number, or toys of scan.toys()")
    finite = min(scan.t, sys.float_info.max)  # no toy has impossible counts either
    return toy_p_value_of(toys, "t", finite, level=level)


def _widths(widths: Iterable[int] | None, n_bins: int) -> tuple[int, ...]:
    """Return the numbers of bins of a window, each once, rising."""
    if widths is None:
        return tuple(range(1, max(n_bins // 2, 1) + 1))
    try:
        chosen = sorted({whole_number(width, "widths", at_least=1) for width in widths})
    except TypeError:
        raise InputError("widths", f"is {widths!r}", "Pass a sequence of numbers of bins") from None
    if not chosen or chosen[-1] > n_bins:
        shown = f"has {chosen[-1]}" if chosen else "is empty"
        raise InputError("widths", f"{shown} for {n_bins} bins", "Pass numbers from 1 to the number of bins")
    return tuple(chosen)


def _bins(data: Any, expected: Any, edges: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Return counts (n_bins,), expectation (n_bins,) and edges (n_bins + 1,)."""
    observed = take(data)
    model = Histogram.from_uhi(expected, assume_poisson=True) if is_histogram(expected) else expected
    binnings = []
    for name, source in (("data", observed), ("expected", model)):
        if isinstance(source, Histogram):
            if source.ndim != 1:
                raise InputError(name, f"has {source.ndim} axes", "Project it on one")
            binnings.append(source.axes[0].edges)
    counts = _counts(observed)
    background = model.values() if isinstance(model, Histogram) else finite_array(model, "expected")
    if background.size != counts.size:
        raise InputError("expected", f"has {background.size} bins, data have {counts.size}", "Pass one entry per bin")
    if edges is not None:
        binnings.append(rising_edges(edges))
    axis = binnings[0] if binnings else np.arange(counts.size + 1.0)
    if axis.size != counts.size + 1:
        raise InputError("edges", f"are {axis.size} for {counts.size} bins", "Pass one more than there are bins")
    for other in binnings[1:]:
        if other.size != axis.size or not np.allclose(other, axis, rtol=1e-9, atol=1e-9 * np.diff(axis).min()):
            raise InputError("edges", "of data and expectation differ", "Rebin to common edges")
    return counts, background, axis


def _counts(data: Histogram | Floats) -> Floats:
    """Return the contents of the bins if they are whole numbers without weights."""
    counts = data.values() if isinstance(data, Histogram) else data
    if isinstance(data, Histogram) and not np.array_equal(counts, data.variances()):
        raise InputError("data", "are weighted", "Pass counts: weights have no Poisson probability")
    return _whole(counts, "data")


def _whole(counts: Floats, name: str) -> Floats:
    """Return counts if they are whole numbers."""
    odd = (counts < 0) | (counts != np.floor(counts))
    if odd.any():
        raise InputError(name, f"have {counts[odd][0]:g} in bin {np.argwhere(odd)[0][-1]}", "Pass whole counts")
    return counts
