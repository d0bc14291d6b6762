"""One search from data to a result: fit, scan, goodness of fit, and the fit again from the best place."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, interval, whole_number
from hepstat.errors import FitError, InputError, ToyError
from hepstat.execution import progress_bar
from hepstat.fit import FitResult, fit, likelihood
from hepstat.fit.data import take
from hepstat.histogram import Histogram
from hepstat.infer import GoodnessOfFit, fit_goodness
from hepstat.search.elsewhere import LEAST_TOYS, GlobalSignificance, global_significance
from hepstat.search.scan import Scan, refuse_start, scan
from hepstat.seeds import Rng
from hepstat.shapes import Spectrum
from hepstat.types import Floats

__all__ = ["Hunt", "default_positions", "hunt"]

_log = logging.getLogger("hepstat.search")

_POSITIONS = 61


@dataclass(frozen=True, eq=False, repr=False)
class Hunt:
    """Outcome of a search.

    Parameters
    ----------
    spectrum : Spectrum
        What was fitted in `fit`.
    fit : FitResult
        Signal and background; the background alone if a region was blinded.
    background_fit : FitResult
        The background alone.
    goodness : GoodnessOfFit
        Of `fit`.
    scan : Scan or None
        Local significance at every position; None if a region was blinded.
    blind : tuple of float or None
        Region that was left out.
    elsewhere : GlobalSignificance or None
        Global significance of the highest bump, if toys were asked for and did not fail.
    """

    spectrum: Spectrum
    fit: FitResult
    background_fit: FitResult
    goodness: GoodnessOfFit
    scan: Scan | None
    blind: tuple[float, float] | None
    elsewhere: GlobalSignificance | None = None

    @property
    def chosen_by_data(self) -> tuple[str, ...]:
        """Parameters of the signal's shape that were chosen to suit the data, which no local value accounts for."""
        return () if self.scan is None else tuple(n for n in self.fit.floating if n.startswith("signal_"))

    def expected_in(self, low: float, high: float) -> tuple[float, float]:
        """Return the events that the background fit expects between two limits, and their standard error.

        The error is that of the fitted parameters; it does not contain the Poisson spread of a count.

        Parameters
        ----------
        low, high : float
            Limits inside the range.

        Returns
        -------
        expected, error : float
            Number of events.

        Raises
        ------
        InputError
            For limits that are not finite or do not rise.
        """
        result = self.background_fit
        edges = np.array([low, high])
        model = self.spectrum if self.scan is None else self.spectrum.fix(n_signal=0.0)
        gradient: Floats = np.zeros(len(result.names))
        for i, name in enumerate(result.names):
            step = 1e-3 * result.errors[name]
            if name in result.floating and step > 0:
                ends = [
                    float(model.expected(edges, {**result.values, name: result.values[name] + sign * step})[0])
                    for sign in (1, -1)
                ]
                gradient[i] = (ends[0] - ends[1]) / (2.0 * step)
        expected = float(model.expected(edges, result.values)[0])
        variance = float(gradient @ result.covariance @ gradient)
        return expected, math.sqrt(max(variance, 0.0))

    def __repr__(self) -> str:
        """Show the fit and the best place of the scan."""
        return f"Hunt({self.fit!r}, {self.scan!r})"


def default_positions(limits: tuple[float, float]) -> Floats:
    """Return positions for a scan of a range, its outer twelfths left out.

    Parameters
    ----------
    limits : tuple of float
        The range.

    Returns
    -------
    array of shape (61,)
        Equally spaced.

    Raises
    ------
    InputError
        For an empty range.
    """
    low, high = interval(limits, "limits")
    margin = (high - low) / 12.0
    return np.linspace(low + margin, high - margin, _POSITIONS)


def hunt(
    spectrum: Spectrum,
    data: Histogram | ArrayLike,
    *,
    positions: ArrayLike | None = None,
    expected_yield: float | None = None,
    weights: ArrayLike | None = None,
    blind: tuple[float, float] | None = None,
    toys: int = 0,
    rng: Rng | None = None,
    toys_path: str | Path | None = None,
    workers: int = 1,
    progress: str | None = None,
) -> Hunt:
    """Search for a bump.

    The spectrum is fitted, the local significance scanned, and the fit repeated from the best place of the scan if
    the position floats, so that it ends in the highest bump rather than in the nearest; it stays between the first and
    the last position of the scan. Parameters of the signal's shape that float, such as its width, are found by the
    first fit and held during the scan.

    Parameters
    ----------
    spectrum : Spectrum
        Its components must be called "signal", with a shape that has a parameter "mean", and "background". Its
        floating values are replaced by a guess from the data.
    data : Histogram or array of shape (n_events,)
        Binned or unbinned data.
    positions : array of shape (n_positions,), optional
        Positions of the scan, see :func:`default_positions`.
    expected_yield : float, optional
        See :func:`hepstat.search.scan`.
    weights : array of shape (n_events,), optional
        Of unbinned events.
    blind : tuple of float, optional
        Region (low, high) that nothing looks at: the background alone is fitted to the rest, and nothing scanned.
    toys : int
        Number of toys for the global significance, see :func:`hepstat.search.global_significance`; 0 for none.
    rng : int, SeedSequence or Generator, optional
        Where toys come from; needed with `toys`.
    toys_path : str or Path, optional
        Folder that keeps finished toys.
    workers : int
        Number of threads.
    progress : str, optional
        Text of a progress bar.

    Returns
    -------
    Hunt
        Fits, goodness of fit and scan.

    Raises
    ------
    InputError
        If an argument cannot be used.
    FitError
        If no fit converges.
    """
    if set(spectrum.components) != {"signal", "background"}:
        raise InputError(
            "spectrum", f"has {', '.join(spectrum.components)}", "Name its components signal and background"
        )
    data, w = take(data), None if weights is None else finite_array(weights, "weights")
    if toys:
        whole_number(toys, "toys", at_least=LEAST_TOYS)
    if toys and (rng is None or blind is not None):
        odd, why = ("rng", "is missing") if rng is None else ("toys", "are asked for a blinded search")
        raise InputError(odd, why, "Pass a seed, and toys only for data that are looked at")
    if blind is not None:
        return _blinded(spectrum, data, w, interval(blind, "blind"), workers)
    low, high = spectrum.range
    where = default_positions((low, high)) if positions is None else finite_array(positions, "positions")
    if "signal_mean" not in spectrum.parameters:
        raise InputError(
            "spectrum", "has a signal without a parameter 'mean'", "Hunt for a peak, or give it its own mean"
        )
    at = spectrum.parameters["signal_mean"]
    if at.fixed and not low <= at.value <= high:
        raise InputError("signal_mean", f"is {at.value:g}, outside the range ({low:g}, {high:g})", "Move it inside")
    if not at.fixed:
        spectrum = _limited(spectrum, max(low, where.min(), at.lower), min(high, where.max(), at.upper))
    spectrum = likelihood(spectrum, data, weights=w).guess()
    with progress_bar(3, progress) as step:
        first = fit(spectrum, data, weights=w, workers=workers)
        step(1)
        shape = {name: first.values[name] for name in spectrum.names_of("signal")}
        held = spectrum.start(**shape) if first.valid else spectrum
        scanned = scan(
            held, data, where, expected_yield=expected_yield, weights=w, workers=workers, progress=progress and "scan"
        )
        step(1)
        final = _from_best_place(spectrum, data, w, first, scanned, workers)
        null = fit(held.fix(*spectrum.names_of("signal"), n_signal=0.0), data, weights=w, workers=workers)
        step(1)
    if not final.valid:
        raise FitError(
            f"The fit of signal and background failed ({final.status}): hold its width or mean, or try another range"
        )
    elsewhere = None
    if toys and rng is not None:
        like: dict[str, Any] = {"weights": w, "workers": workers, "path": toys_path, "progress": progress}
        try:
            elsewhere = global_significance(scanned, held, data, rng=rng, toys=toys, **like)
        except ToyError as error:  # the fits and the scan are worth keeping
            _log.warning("no global significance: %s", error)
    return Hunt(spectrum, final, null, fit_goodness(final), scanned, None, elsewhere)


def _limited(spectrum: Spectrum, low: float, high: float) -> Spectrum:
    """Let the position float where it is scanned, or hold it if that is one place."""
    return spectrum.limit(signal_mean=(low, high)) if low < high else spectrum.fix(signal_mean=low)


def _from_best_place(
    spectrum: Spectrum, data: Any, weights: Floats | None, first: FitResult, scanned: Scan, workers: int
) -> FitResult:
    """Fit again from the highest bump, and return the better fit."""
    if "signal_mean" not in spectrum.floating:
        return first
    start = {**first.values} if first.valid else {}
    start |= {"signal_mean": scanned.best_position, "n_signal": float(scanned.n_signal[scanned.best])}
    second = fit(spectrum, data, weights=weights, start=start, workers=workers)
    if first.valid and second.valid:
        return min(first, second, key=lambda result: result.nll)
    return second if second.valid else first


def _blinded(spectrum: Spectrum, data: Any, weights: Floats | None, blind: tuple[float, float], workers: int) -> Hunt:
    alone = spectrum.without("signal")
    result = fit(alone, data, weights=weights, blind=blind, workers=workers)
    refuse_start(result)
    if not result.valid:
        raise FitError(f"The fit of the background failed ({result.status}): try another background or range")
    return Hunt(alone, result, result, fit_goodness(result), None, blind)
