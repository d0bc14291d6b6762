"""Local significance of a signal at every position, and at every width if asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number, rising_edges
from hepstat.errors import FitError, InputError
from hepstat.fit import FitResult, fit, fit_many
from hepstat.fit.data import take
from hepstat.histogram import Histogram
from hepstat.infer import q0, z_from_q0, z_to_log_p, z_to_p
from hepstat.infer.statistics import Q_TOLERANCE
from hepstat.record import Record
from hepstat.shapes import Constraint, Spectrum
from hepstat.types import Bools, Floats

__all__ = ["Grid", "Scan", "expected_scan", "refuse_start", "scan", "signed_significance"]

FINE_BINS = 400
"""Bins that stand for unbinned events in Asimov data sets and toys."""


@dataclass(frozen=True, eq=False, repr=False)
class Scan(Record):
    """Local significance as a function of the signal's position, and of its width.

    All arrays have the shape (n_positions,), or (n_widths, n_positions) for a scan in both. The values are local:
    they carry no correction for the number of places where a signal was looked for.

    Parameters
    ----------
    positions : array of shape (n_positions,)
        Where a signal was tried.
    widths : array of shape (n_widths,) or None
        Widths that were tried; None if the width was that of the spectrum everywhere.
    n_signal, n_signal_error : array
        Fitted yield and its standard error, NaN where the yield is as negative as the background beneath it allows.
    q0 : array
        Discovery test statistic, 0 for a negative yield (arXiv:1007.1727, eq. 12).
    z : array
        Signed local significance: negative for a deficit.
    p0 : array
        Local p-value of `z`; above 1/2 for a deficit.
    z_expected : array
        Median of `z` if there were a signal of `expected_yield` events at that very place.
    expected_yield : float
        The signal that `z_expected` is for: the fitted one at the best place unless another was asked for.
    nll_background : float
        Minimum of -log L without signal.
    valid : array of bool
        False where a fit failed; the numbers there are NaN.
    """

    positions: Floats
    widths: Floats | None
    n_signal: Floats
    n_signal_error: Floats
    q0: Floats
    z: Floats
    p0: Floats
    z_expected: Floats
    expected_yield: float
    nll_background: float
    valid: Bools

    @property
    def p0_expected(self) -> Floats:
        """Median local p-value for a signal of `expected_yield` events at that place."""
        return np.asarray(_p(self.z_expected))

    @property
    def log_p0(self) -> Floats:
        """Natural logarithm of `p0`, which does not underflow."""
        return _log_p(self.z)

    @property
    def log_p0_expected(self) -> Floats:
        """Natural logarithm of `p0_expected`."""
        return _log_p(self.z_expected)

    @property
    def n_failed(self) -> int:
        """Number of places where a fit failed."""
        return int((~self.valid).sum())

    @property
    def best(self) -> tuple[int, ...]:
        """Index of the most significant excess."""
        place = np.unravel_index(int(np.nanargmax(self.z)), self.z.shape)
        return tuple(int(i) for i in place)

    @property
    def best_position(self) -> float:
        """Position of the most significant excess, to within the steps of the scan."""
        return float(self.positions[self.best[-1]])

    @property
    def best_width(self) -> float | None:
        """Width of the most significant excess, None if widths were not scanned."""
        return None if self.widths is None else float(self.widths[self.best[0]])

    @property
    def best_z(self) -> float:
        """Largest local significance."""
        return float(self.z[self.best])

    @property
    def best_p0(self) -> float:
        """Smallest local p-value."""
        return float(self.p0[self.best])

    def __repr__(self) -> str:
        """Show the best place, its local significance and yield."""
        width = "" if self.widths is None else f", width {self.best_width:.4g}"
        signal = f"{self.n_signal[self.best]:.4g} +- {self.n_signal_error[self.best]:.2g} events"
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        return (
            f"Scan({self.z.size} places{failed}; best at {self.best_position:.6g}{width}: "
            f"local Z = {self.best_z:.3g}, p0 = {self.best_p0:.3g}, {signal})"
        )


def scan(
    spectrum: Spectrum,
    data: Histogram | ArrayLike,
    positions: ArrayLike,
    widths: ArrayLike | None = None,
    *,
    signal: str = "signal",
    width_name: str | None = None,
    expected_yield: float | None = None,
    weights: ArrayLike | None = None,
    workers: int = 1,
    progress: str | None = None,
) -> Scan:
    """Find the local significance of a signal at every position.

    Position and width are held at each place of the scan; so are the other parameters of the signal's shape, at
    their values in `spectrum`, unless they are constrained: where there is no signal they have no meaning. Its yield
    and everything else is fitted, at all places in one call of compiled code.

    Parameters
    ----------
    spectrum : Spectrum
        Signal and background; the values are where the background fit starts.
    data : Histogram or array of shape (n_events,)
        Binned or unbinned data.
    positions : array of shape (n_positions,)
        Values of the signal's `mean`, inside the range. A constraint on it, or on the width, is left out.
    widths : array of shape (n_widths,), optional
        Values of the signal's width, for a scan in both.
    signal : str
        Name of the component that is scanned.
    width_name : str, optional
        Which parameter of the shape is the width; by default the one that follows `mean`.
    expected_yield : float, optional
        Number of signal events for the expected significance; the best-fit number by default.
    weights : array of shape (n_events,), optional
        Weights of unbinned events. The log likelihood ratio is then scaled to the effective number of events,
        by sum w / sum w^2, without which it would not follow its asymptotic distribution even roughly.
    workers : int
        Number of threads.
    progress : str, optional
        Text of a progress bar.

    Returns
    -------
    Scan
        Local values: no look-elsewhere correction is in them.

    Raises
    ------
    InputError
        For positions outside the range, an unknown component, or unusable data.
    FitError
        If the fit without signal fails, or all fits with signal do.
    """
    grid = Grid(spectrum, positions, widths, signal, width_name)
    spectrum, data = grid.spectrum, take(data)
    w = None if weights is None else finite_array(weights, "weights")
    if w is not None and spectrum.constraints:
        raise InputError(
            "weights",
            f"of unbinned events cannot be weighed against the constraint on {spectrum.constraints[0].name}",
            "Fill a histogram with the weights, or drop the constraint",
        )
    null = fit(grid.null, data, weights=w)
    refuse_start(null)
    if not null.valid:
        raise FitError(f"The fit without signal failed ({null.status}): try another background or range")
    started = spectrum.start(**{name: null.values[name] for name in grid.null.floating})
    table = fit_many(started, data, weights=w, values=grid.places, workers=workers, progress=progress)
    edges, per_weight = _binning(data, spectrum, w)
    scale = 1.0 if isinstance(data, Histogram) else per_weight  # the likelihood of bins is scaled already
    n_signal = table.values[grid.n_signal]
    q, z, ok = signed_significance(null.nll, table.nll, n_signal, table.has_minimum, scale)
    if not ok.any():
        raise FitError(f"All {ok.size} fits with signal failed: try another background, range or width")
    best = int(np.nanargmax(z))
    amount = float(n_signal[best]) if expected_yield is None else finite_number(expected_yield, "expected_yield")
    truth = {name: float(values[best]) for name, values in table.values.items()}
    expected = _expected(grid, truth | {grid.n_signal: amount}, edges, per_weight, workers)
    return Scan(
        positions=grid.positions,
        widths=grid.widths,
        n_signal=grid.shaped(np.where(ok, n_signal, np.nan)),
        n_signal_error=grid.shaped(np.where(ok, table.errors[grid.n_signal], np.nan)),
        q0=grid.shaped(np.where(q <= 0, 0.0, q)),
        z=grid.shaped(z),
        p0=grid.shaped(_p(z)),
        z_expected=grid.shaped(expected),
        expected_yield=amount,
        nll_background=float(null.nll),
        valid=ok.reshape(grid.shape),
    )


def expected_scan(
    spectrum: Spectrum,
    values: Mapping[str, float],
    positions: ArrayLike,
    widths: ArrayLike | None = None,
    *,
    edges: ArrayLike | None = None,
    signal: str = "signal",
    width_name: str | None = None,
    workers: int = 1,
) -> Floats:
    """Return the median significance that a signal would have at every position, without looking at data.

    The data are replaced by their expectation (the Asimov data set of arXiv:1007.1727, section 3.2), with the signal
    at each place in turn.

    Parameters
    ----------
    spectrum : Spectrum
        Signal and background.
    values : mapping of str to float
        True values of the background's parameters and of all yields.
    positions, widths : array
        As in :func:`scan`.
    edges : array of shape (n_bins + 1,), optional
        Bins of the data; unbinned data are stood for by 400 bins.
    signal, width_name, workers
        As in :func:`scan`.

    Returns
    -------
    array of shape (n_positions,) or (n_widths, n_positions)
        Expected Z; NaN where a fit failed.

    Raises
    ------
    InputError
        As :func:`scan`.
    """
    grid = Grid(spectrum, positions, widths, signal, width_name)
    bins = np.linspace(*spectrum.range, FINE_BINS + 1) if edges is None else rising_edges(edges)
    return grid.shaped(_expected(grid, values, bins, 1.0, workers))


class Grid:
    """The places of a scan, and the spectrum with everything held that they determine."""

    def __init__(
        self,
        spectrum: Spectrum,
        positions: ArrayLike,
        widths: ArrayLike | None,
        signal: str,
        width_name: str | None,
    ) -> None:
        if signal not in spectrum.components:
            raise InputError("signal", f"is {signal!r}", f"The spectrum has {', '.join(spectrum.components)}")
        if len(spectrum.components) < 2:
            raise InputError("spectrum", f"has nothing but {signal!r}", "Add a background")
        names = [parameter.name for parameter in spectrum.components[signal].parameters]
        if "mean" not in names:
            raise InputError("signal", f"{signal!r} has no parameter 'mean'", "Scan a peak")
        low, high = spectrum.range
        self.given, self.signal, self.n_signal = spectrum, signal, f"n_{signal}"
        self.positions = finite_array(positions, "positions")
        self.widths = None if widths is None else finite_array(widths, "widths")
        outside = (self.positions < low) | (self.positions > high)
        if outside.any():
            first = self.positions[outside][0]
            raise InputError("positions", f"has {first:g}, outside ({low:g}, {high:g})", "Scan inside the range")
        if self.widths is not None and not (self.widths > 0).all():
            raise InputError("widths", f"has {self.widths.min():g}", "Pass widths above zero")
        self.shape = (self.positions.size,) if self.widths is None else (self.widths.size, self.positions.size)
        self.places = {f"{signal}_mean": np.broadcast_to(self.positions, self.shape).ravel()}
        if self.widths is not None:
            width = width_name or next(iter(names[names.index("mean") + 1 :]), "")
            if width not in names:
                raise InputError("width_name", f"is {width!r}", f"The signal has {', '.join(names)}")
            self.places[f"{signal}_{width}"] = np.repeat(self.widths, self.positions.size)
        elsewhere = {n for other in spectrum.components if other != signal for n in spectrum.names_of(other)}
        shared = sorted(elsewhere & self.places.keys())
        if shared:
            raise InputError("spectrum", f"shares {shared[0]} with another component", "Scan what is the signal's own")
        constrained = {constraint.name for constraint in spectrum.constraints}
        held = [n for n in spectrum.names_of(signal) if n not in constrained and n not in self.places]
        # a constraint on what is scanned would count as evidence against the other places
        others = tuple(c for c in spectrum.constraints if c.name not in self.places)
        free = replace(spectrum, constraints=others)
        self.spectrum = free.fix(*held, **{name: float(at[0]) for name, at in self.places.items()})
        self.null = self.spectrum.fix(**{self.n_signal: 0.0})

    @property
    def narrowest(self) -> float:
        """Smallest structure of the signal at any place."""
        shape, own = self.spectrum.components[self.signal], self.spectrum.names_of(self.signal)
        at = {**self.spectrum.values, **self.places}
        scale = shape.scale({p.name: at[name] for p, name in zip(shape.parameters, own, strict=True)})
        return float(np.min(scale)) if scale is not None else self.spectrum.range[1] - self.spectrum.range[0]

    def shaped(self, values: Floats) -> Floats:
        """Return values at the places in the shape of the scan."""
        return np.asarray(values, dtype=np.float64).reshape(self.shape)


def refuse_start(result: FitResult) -> None:
    """Raise InputError for a fit that could not even start: fixed or limited values must be to blame."""
    if result.evaluations <= 1 and not result.valid and not np.isfinite(result.nll):
        raise InputError(
            "spectrum",
            "cannot describe the data at its starting values",
            "Change the values that are fixed or limited, or the range",
        )


def _binning(data: Histogram | Floats, spectrum: Spectrum, weights: Floats | None) -> tuple[Floats, float]:
    """Return the edges of the Asimov data set, and how many effective events there are per unit of weight."""
    if not isinstance(data, Histogram):
        edges = np.linspace(*spectrum.range, FINE_BINS + 1)
        return edges, 1.0 if weights is None else float(weights.sum() / np.square(weights).sum())
    return data.axes[0].edges, float(data.values().sum() / data.variances().sum())


def _expected(grid: Grid, truth: Mapping[str, float], edges: Floats, per_weight: float, workers: int) -> Floats:
    """Fit the expectation for a signal at each place with and without signal."""
    low, high = grid.spectrum.range
    room = 1e-9 * (high - low)
    edges = edges[(edges >= low - room) & (edges <= high + room)]
    yields = {name: value * per_weight for name, value in truth.items() if name in grid.spectrum.yields}
    full = grid.spectrum.start(**{n: v for n, v in {**truth, **yields}.items() if n in grid.spectrum.parameters})
    full = replace(full, constraints=tuple(_at_truth(c, full, per_weight) for c in full.constraints))
    n_places = len(grid.places[next(iter(grid.places))])
    toys = np.empty((n_places, edges.size - 1))
    for i in range(n_places):
        toys[i] = full.expected(edges, {name: float(at[i]) for name, at in grid.places.items()})
    null = full.fix(**{grid.n_signal: 0.0})
    without = fit_many(null, toys, edges=edges, workers=workers)
    best = fit_many(full, toys, edges=edges, values=grid.places, workers=workers)
    ok = without.has_minimum & best.has_minimum
    return signed_significance(without.nll, best.nll, best.values[grid.n_signal], ok, 1.0)[1]


def _at_truth(constraint: Constraint, spectrum: Spectrum, per_weight: float) -> Constraint:
    """Return an auxiliary measurement that found what is true; yields are in effective events (section 3.2 again)."""
    truth = spectrum.values[constraint.name]
    factor = per_weight if constraint.name in spectrum.yields else 1.0
    if constraint.kind == "poisson":
        width = constraint.width / factor
        return replace(constraint, centre=width * truth, width=width)
    width = constraint.width * factor if constraint.kind == "gaussian" else constraint.width
    return replace(constraint, centre=truth, width=width)


def signed_significance(
    null: Any, best: Floats, n_signal: Floats, valid: Bools, scale: float
) -> tuple[Floats, Floats, Bools]:
    """Return signed q0 and Z, NaN where a fit failed or missed its minimum, and where they are known."""
    null, best = np.broadcast_to(scale * null, best.shape), scale * best
    with np.errstate(invalid="ignore"):
        ok = np.asarray(valid & (2.0 * (null - best) >= -Q_TOLERANCE))
    q, z = np.full((2, *best.shape), np.nan)
    if ok.any():
        q[ok] = q0(null[ok], best[ok], n_signal[ok], signed=True)
        z[ok] = z_from_q0(q[ok])
    return q, z, ok


def _p(z: Floats) -> Floats:
    known = np.isfinite(z)
    return np.where(known, z_to_p(np.where(known, z, 0.0)), np.nan)


def _log_p(z: Floats) -> Floats:
    known = np.isfinite(z)
    return np.where(known, z_to_log_p(np.where(known, z, 0.0)), np.nan)
