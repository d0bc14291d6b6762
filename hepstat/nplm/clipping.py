"""Tuning of the clip: the bound of network parameters with which t without new physics is on average as large as chi2.

The same toys at every clip fluctuate together, so that the change of their mean from clip to clip is known well from a
few of them. Many are needed at one clip only, to know its mean; that of another is this one plus the change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from hepstat.checks import positive_number, whole_number
from hepstat.errors import InputError, ToyError
from hepstat.infer import moments
from hepstat.nplm.calibration import Calibration, calibrate
from hepstat.record import Record
from hepstat.seeds import Key, Rng, lasting_seed, stream_key, toy_generator
from hepstat.toys import Study, ToyTable, run
from hepstat.types import Floats

__all__ = ["ClipTuning", "Clippable", "tune_clip"]

_ROUNDS = 40  # of a search, which takes a few
_FAR = 4.0  # standard errors by which the mean at an end of the range is on the wrong side for sure
_MOST_FAILED = 0.2  # of toys, above which means are not those of all toys
_CLEAR = 5.0  # standard errors of a change that tells a slope to a fifth
_SHARES = (0.9, 0.4)  # of the precision: mean at the anchor, and change from there; about 1 in quadrature


class Clippable(Protocol):
    """What is tuned: a test such as :class:`hepstat.nplm.NewPhysicsTest`."""

    @property
    def ndof(self) -> int:
        """Degrees of freedom."""

    def replace(self, *, clip: float) -> Any:
        """Return the same test with another clip."""

    def toys(self, source: Any, *, nu: Mapping[str, float] | None = None) -> Study:
        """Return the study of its t; what a toy's data are must not depend on the clip."""


@dataclass(frozen=True, eq=False, repr=False)
class ClipTuning(Record):
    """The clip at which t without new physics has the mean of chi2, and how it was found.

    Parameters
    ----------
    clip, clip_error : float
        The clip, and its standard error: that of the mean over the slope; inf where that is below two of its errors.
    reached : bool
        Whether t reaches the mean of chi2 between the limits. If not, or if unknown, `clip` came closest.
    ndof : int
        Degrees of freedom: the mean that was aimed at.
    precision : float
        Standard error of the mean that was aimed at.
    mean, mean_error : float
        Of t at `clip` by the toys that it was tuned with: those of the nearest of `clips`, and a step with the slope.
    slope, slope_error : float
        Change of the mean with the logarithm of the clip, over the narrowest span of clips around `clip` in which it is
        known to a fifth, or over all.
    clips : array of shape (m,)
        Clips that were tried, rising.
    n_toys : array of shape (m,)
        Toys at each.
    means, errors : array of shape (m,)
        Mean of t at each, with what the most often thrown clip tells of it, and its standard error.
    complete : bool
        Whether the precision was reached.
    out_of_toys : bool
        Whether it was not because `max_toys` do not suffice; otherwise the search has not settled on a clip.
    calibration : Calibration
        Of other toys, at `clip`.
    """

    clip: float
    clip_error: float
    reached: bool
    ndof: int
    precision: float
    mean: float
    mean_error: float
    slope: float
    slope_error: float
    clips: Floats
    n_toys: Floats
    means: Floats
    errors: Floats
    complete: bool
    out_of_toys: bool
    calibration: Calibration

    @property
    def message(self) -> str:
        """What was found, in words."""
        mean = f"{self.mean:.2f} +- {self.mean_error:.2f}"
        text = f"clip {self.clip:.4g} +- {self.clip_error:.2g} has mean t = {mean}, aimed at {self.ndof}"
        if not self.complete:
            why = "max_toys do not suffice" if self.out_of_toys else "the search does not settle on a clip"
            text = f"{why}; of the clips tried {self.clip:.4g} comes closest, with mean t = {mean}"
        elif not self.reached:
            text = f"chi2 is out of reach: {self.clip:.4g} comes closest, with mean t = {mean} for {self.ndof}"
        fresh = f"{self.calibration.n_toys} other toys have {self.calibration.mean:.2f} +- "
        return f"{text}; {fresh}{self.calibration.mean_error:.2f}: {self.calibration.message}"

    def __str__(self) -> str:
        """Return a table of the clips and the message."""
        lines = [f"{'clip':>9} {'toys':>5} {'mean t':>7} {'+-':>5}"]
        rows = zip(self.clips, self.n_toys, self.means, self.errors, strict=True)
        lines += ["{:9.4g} {:5.0f} {:7.2f} {:5.2f}".format(*row) for row in rows]
        return "\n".join([*lines, self.message])

    def __repr__(self) -> str:
        """Show the message."""
        return f"ClipTuning({self.n_toys.sum():.0f} toys of {self.clips.size} clips: {self.message})"


def tune_clip(
    test: Clippable,
    source: Any,
    *,
    low: float,
    high: float,
    rng: Rng,
    ndof: int | None = None,
    precision: float | None = None,
    nu: Mapping[str, float] | None = None,
    first_toys: int = 16,
    max_toys: int = 1000,
    check_toys: int = 200,
    path: str | Path | None = None,
    **options: Any,
) -> ClipTuning:
    """Find the clip with which the mean of t without new physics is `ndof`.

    Few toys at both limits, and where straight lines in log(clip) point to, come near; one clip there gets as many as
    the precision needs, and a clip or two more follow the changes. Other toys then test the distribution.

    Parameters
    ----------
    test : Clippable
        Its clip is replaced.
    source : object
        Where toys without new physics come from.
    low, high : float
        Limits of the clip.
    rng : int, SeedSequence or Generator
        Of all toys.
    ndof : int, optional
        Mean that is wanted; that of the test by default.
    precision : float, optional
        Standard error that the mean of t is to have; a tenth of the standard deviation sqrt(2 ndof) of chi2 by default,
        some 120 toys at one clip. Such a shift changes a significance of 3 by 0.05, less than a Kolmogorov-Smirnov test
        of 200 toys can see.
    nu : mapping of str to float, optional
        True nuisances.
    first_toys : int, optional
        Toys of a clip that is tried.
    max_toys : int, optional
        Largest number of toys of all clips.
    check_toys : int, optional
        Other toys, at the end.
    path : str or path, optional
        Folder for the toys of each clip; the same call goes on with what is there.
    **options
        Of :func:`hepstat.toys.run`: workers, executor, chunk, progress, flush_seconds.

    Returns
    -------
    ClipTuning
        Where t does not reach `ndof`, its calibration has fitted degrees of freedom.

    Raises
    ------
    InputError
        If an argument cannot be used.
    ToyError
        If more than a fifth of the toys fail, or a run is interrupted.
    """
    low, high = positive_number(low, "low"), positive_number(high, "high")
    if not low < high:
        raise InputError("high", f"is {high:g}, low {low:g}", "Pass low < high")
    ndof = whole_number(test.ndof if ndof is None else ndof, "ndof", at_least=1)
    aim = 0.1 * math.sqrt(2.0 * ndof) if precision is None else positive_number(precision, "precision")
    n_first, n_check = (
        whole_number(n, name, at_least=10) for n, name in ((first_toys, "first_toys"), (check_toys, "check_toys"))
    )
    most = whole_number(max_toys, "max_toys", at_least=2 * n_first)
    odd = {"first", "resume", "max_failed", "n"} & set(options)
    if odd:
        raise InputError(sorted(odd)[0], "is chosen by the search", "Leave it out")
    key = stream_key(rng)
    toys = _Search(test, source, nu, key, None if path is None else Path(path), options, ndof, most)
    toys.throw(low, n_first)
    toys.throw(high, n_first)
    complete = toys.tune(n_first, aim)
    inside = complete and toys.inside
    clip = toys.nearest
    slope, slope_error = toys.slope(clip)
    mean, mean_error = toys.mean(clip)
    reached = inside or (complete and abs(mean - ndof) <= 2.0 * mean_error)
    rises = slope > 2.0 * slope_error
    if inside and rises:
        step = (ndof - mean) / slope
        clip = min(max(_rounded(math.log(clip) + step), low), high)
        mean, mean_error = float(ndof), math.hypot(mean_error, step * slope_error)
    return ClipTuning(
        clip=clip,
        clip_error=clip * mean_error / slope if rises else math.inf,
        reached=reached,
        ndof=ndof,
        precision=aim,
        mean=mean,
        mean_error=mean_error,
        slope=slope,
        slope_error=slope_error,
        clips=np.array(toys.clips),
        n_toys=np.array([float(toys.t[c].size) for c in toys.clips]),
        means=np.array([toys.mean(c)[0] for c in toys.clips]),
        errors=np.array([toys.mean(c)[1] for c in toys.clips]),
        complete=complete,
        out_of_toys=toys.out_of_toys,
        calibration=calibrate(toys.others(clip, n_check), ndof),
    )


class _Search:
    """Toys at every clip that was tried; toy i of each is the same data."""

    def __init__(
        self,
        test: Clippable,
        source: Any,
        nu: Mapping[str, float] | None,
        key: Key,
        path: Path | None,
        options: Mapping[str, Any],
        wanted: int,
        most: int,
    ) -> None:
        self._test, self._source, self._nu, self._path, self._options = test, source, nu, path, options
        self._seeds = [lasting_seed(toy_generator(key, i)) for i in range(2)]
        self._wanted, self._most = float(wanted), most
        self._tables: dict[float, ToyTable] = {}
        self._anchor: float | None = None  # the clip with many toys, if there is one
        self.t: dict[float, Floats] = {}
        self.out_of_toys = False  # whether some were wanted and not thrown

    def throw(self, clip: float, n: int) -> bool:
        """Have toys 0 to n - 1 at a clip, unless that would be too many in all; the anchor is where most are."""
        sizes = {c: t.size for c, t in self.t.items()}
        sizes[clip] = max(n, sizes.get(clip, 0))
        self.out_of_toys = sum(sizes.values()) > self._most
        if self.out_of_toys:
            return False
        table = self._run(f"clip-{clip!r}", clip, sizes[clip], 0, self._tables.get(clip))
        self._tables[clip], self.t[clip] = table, np.where(table.ok, table["t"], np.nan)
        if self._anchor and self.t[clip].size > self.t[self._anchor].size:
            self._anchor = clip  # else toys that the old one does not have would tell nothing of the change from there
        return True

    def others(self, clip: float, n: int) -> ToyTable:
        """Return toys that nothing was tuned with."""
        return self._run(f"check-{clip!r}", clip, n, 1, None)

    def _run(self, name: str, clip: float, n: int, seed: int, before: ToyTable | None) -> ToyTable:
        study = self._test.replace(clip=clip).toys(self._source, nu=self._nu)
        place: dict[str, Any] = {"resume": before} if self._path is None else {"path": self._path / name}
        table = run(study, n, rng=self._seeds[seed], **place, **self._options)
        if not table.complete:
            raise ToyError(f"the toys of clip {clip:g} are incomplete: with path, the same call goes on", table)
        return table.require(_MOST_FAILED)

    def tune(self, n: int, aim: float) -> bool:
        """Throw toys until the mean of a clip is known and right within `aim`; False if they do not suffice."""
        most = n
        while self._follow(n, aim) and not self._certainly_out:
            anchor = self._anchor or self.nearest
            if _needed(self.t[anchor], _SHARES[0] * aim) <= self.t[anchor].size:
                return True
            clip = self.nearest  # where the anchor turns out to be far off it moves here, and the change is small again
            most = max(min(_needed(self.t[clip], _SHARES[0] * aim), 4 * most), most)
            if not self.throw(clip, most):
                return False
            self._anchor = clip
        return self._certainly_out

    def _follow(self, n: int, aim: float) -> bool:
        """Try clips until the mean of one is right as far as one can tell; False if too many toys would be needed."""
        for i in range(_ROUNDS):
            clip = self.nearest
            near = max(aim, self.mean(self._anchor or clip)[1])
            if self._anchor and clip != self._anchor:
                wanted = _needed(self._change(self._anchor, clip), _SHARES[1] * near)
                size = self.t[clip].size
                if wanted > size:
                    if not self.throw(clip, max(wanted, 2 * size)):
                        return False
                    continue  # it may be the nearest no more
            if not self.inside or abs(self.mean(clip)[0] - self._wanted) <= near:
                return True
            low, high = self.bracket or (clip, clip)
            if self.slope(clip)[0] * math.log(high / low) < near:  # what is between them is noise
                clip = max(low, high, key=lambda c: self.mean(c)[1])
                if not self.throw(clip, 2 * self.t[clip].size):
                    return False
            elif not self.throw(self.crossing(middle=i % 3 == 2), n):
                return False
        return False

    @property
    def clips(self) -> list[float]:
        """Clips, rising."""
        return sorted(self.t)

    def mean(self, clip: float) -> tuple[float, float]:
        """Return mean and error of t: of the anchor, plus the change from there by the toys of both."""
        if self._anchor in (None, clip):
            return _moments(self.t[clip])
        (value, error), change = _moments(self.t[self._anchor]), _moments(self._change(self._anchor, clip))
        return value + change[0], math.hypot(error, change[1])

    def _change(self, first: float, second: float) -> Floats:
        n = min(self.t[first].size, self.t[second].size)
        return np.asarray(self.t[second][:n] - self.t[first][:n])

    @property
    def nearest(self) -> float:
        """The clip whose mean is nearest to what is wanted."""
        return min(self.clips, key=lambda clip: abs(self.mean(clip)[0] - self._wanted))

    @property
    def bracket(self) -> tuple[float, float] | None:
        """Neighbouring clips with means below and above what is wanted, if there are any."""
        means = [self.mean(clip)[0] for clip in self.clips]
        pairs = zip(pairwise(self.clips), pairwise(means), strict=True)
        return next((clips for clips, (one, other) in pairs if one <= self._wanted < other), None)

    @property
    def inside(self) -> bool:
        """Whether there is a bracket."""
        return self.bracket is not None

    @property
    def _certainly_out(self) -> bool:
        """Whether no clip is near, and there is no bracket."""
        mean, error = self.mean(self.nearest)
        return not self.inside and abs(mean - self._wanted) > _FAR * error

    def crossing(self, *, middle: bool = False) -> float:
        """Return where a curve through all means has the wanted one, to 4 digits; or the middle of the bracket.

        It is a monotone cubic in log(clip) (Fritsch and Butland 1984).
        """
        low, high = self.bracket or (self.nearest,) * 2
        a, b = math.log(low), math.log(high)
        root = 0.5 * (a + b)
        if low < high and not middle:
            root = brentq(lambda x: float(self._curve(x)) - self._wanted, a, b)
        return min(max(_rounded(root), low), high)

    def slope(self, clip: float) -> tuple[float, float]:
        """Return the change of the mean with log(clip) and its error, by the closest clips around that show it well."""
        spans = [(math.log(b / a), a, b) for a, b in combinations(self.clips, 2) if a <= clip <= b]
        found = [(width, *_moments(self._change(a, b))) for width, a, b in sorted(spans)]
        width, change, error = next((one for one in found if one[1] > _CLEAR * one[2]), found[-1])
        return change / width, error / width

    @property
    def _curve(self) -> Any:
        return PchipInterpolator(np.log(self.clips), [self.mean(clip)[0] for clip in self.clips])


def _rounded(log_clip: float) -> float:
    """Return a clip to 4 digits."""
    return float(f"{math.exp(log_clip):.4g}")


def _moments(t: Floats) -> tuple[float, float]:
    """Return mean and standard error of values (n,), NaN for toys that failed."""
    good = t[~np.isnan(t)]
    if good.size < 2:
        raise ToyError(f"{t.size - good.size} of {t.size} toys failed, too many to tune with")
    return moments(good)[:2]


def _needed(t: Floats, error: float) -> int:
    """Return how many toys the mean of values like these needs for an error."""
    return math.ceil((_moments(t)[1] / error) ** 2 * t.size)
