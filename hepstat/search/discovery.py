"""Toys of a search: the largest local significance that each of them shows, plain or importance-sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, positive_number, rising_edges
from hepstat.digest import numbers_digest
from hepstat.errors import FitError, InputError
from hepstat.fit import FitResult, fit
from hepstat.fit.data import Bins, take, take_data
from hepstat.fit.places import CompiledPlaces, compile_places
from hepstat.fit.throwing import Thrower, auxiliary_of
from hepstat.fit.toys import expected_contents
from hepstat.histogram import Histogram
from hepstat.infer.look_elsewhere import count_up_crossings, euler_characteristic
from hepstat.infer.tilts import tilted_means
from hepstat.record import plain
from hepstat.search.scan import FINE_BINS, Grid, refuse_start, signed_significance
from hepstat.seeds import Key
from hepstat.shapes import Spectrum
from hepstat.toys.study import PreparedStudy
from hepstat.types import Floats

__all__ = ["DiscoveryToys", "conditions_of", "fit_without_signal", "toys_like"]

_FITS_PER_BLOCK = 16_384
_BINS_PER_WIDTH = 4  # at least, of the bins that stand for unbinned data
_MOST_BINS = 4000


class DiscoveryToys(PreparedStudy):
    """Study of the discovery statistic: throw counts, fit them without signal and with one at every place.

    A record has `status`; `z`, the largest signed local significance sqrt(q0) of all places (arXiv:1007.1727, eq. 12);
    `place`, its index in the flattened scan; and `n_signal`, the yield fitted there. If asked, also `log_weight` (with
    `tilt`), `crossings` or, for scans in position and width, `euler` (one entry for each of `levels`), and `scan`, the
    significance at every place. Auxiliary measurements are thrown with every toy. Run it with
    :func:`hepstat.toys.run`; a scan of one position gives toys for a local p-value.

    Parameters
    ----------
    spectrum : Spectrum
        Signal and background. Its values, with those of `truth`, are what toys are thrown from and where their fits
        start: a fit of the background to the data.
    edges : (bins + 1,) array_like
        Bins that cover the spectrum's range.
    positions : (positions,) array_like
        Where a signal is looked for, as in :func:`hepstat.search.scan`.
    widths : (widths,) array_like, optional
        Widths of a scan in both.
    truth : mapping of name to value, optional
        What is true, where it differs from the spectrum's values. The signal's yield is 0 unless it has an entry here,
        such as ``{"n_signal": 250, "signal_mean": 150}``, whatever its value in the spectrum.
    signal, width_name : str
        As in :func:`hepstat.search.scan`.
    scale : (bins,) array_like, optional
        Effective events per unit of content, sum w / sum w^2, if the data are weighted; 0 leaves a bin out.
    tilt : float, optional
        Throw a mixture of expectations in which the efficient score of the signal at each place is raised by this many
        standard deviations; records then carry the logarithm of their weight. Choose the significance whose p-value
        is wanted.
    levels : sequence of float, optional
        Levels of q0 at which up-crossings, or the Euler characteristic, are counted.
    keep_scan : bool, optional
        Keep the significance at all places.

    Raises
    ------
    InputError
        For a spectrum, edges or places that cannot be used.
    """

    reasons: Mapping[int, str] = {
        1: "the fit without signal failed",
        2: "a fit with signal failed at some place, which `z` leaves out",
        3: "the fits with signal failed at every place",
    }

    def __init__(
        self,
        spectrum: Spectrum,
        edges: ArrayLike,
        positions: ArrayLike,
        widths: ArrayLike | None = None,
        *,
        truth: Mapping[str, float] | None = None,
        signal: str = "signal",
        width_name: str | None = None,
        scale: ArrayLike | None = None,
        tilt: float | None = None,
        levels: Sequence[float] = (),
        keep_scan: bool = False,
    ) -> None:
        self.edges = rising_edges(edges)
        self._grid = Grid(spectrum, positions, widths, signal, width_name)
        self.signal = signal
        self.truth = {**spectrum.values, self._grid.n_signal: 0.0, **(truth or {})}
        self.contents = expected_contents(spectrum, self.edges, self.truth)
        bins = len(self.contents)
        self.scale = np.ones(bins) if scale is None else finite_array(scale, "scale")
        if len(self.scale) != bins or (self.scale < 0).any():
            raise InputError("scale", f"has {len(self.scale)} entries", f"Pass {bins}, none negative")
        self.tilt = None if tilt is None else positive_number(tilt, "tilt")
        if self.tilt is not None and self.truth[self._grid.n_signal] != 0:
            raise InputError("tilt", "is given for toys with signal", "Tilt toys without signal only")
        self.levels = finite_array(levels, "levels", allow_empty=True)
        if (self.levels < 0).any():
            raise InputError("levels", f"has {self.levels.min():g}", "Pass levels of q0, at least 0")
        self.keep_scan = bool(keep_scan)
        self.chunk = max(16, _FITS_PER_BLOCK // (1 + self.n_places) * 36 // max(36, bins))

    @property
    def n_places(self) -> int:
        """Number of places of the scan."""
        return int(np.prod(self._grid.shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        """One record."""
        fields: list[Any] = [("status", "i2"), ("z", "f8"), ("place", "i4"), ("n_signal", "f8")]
        if self.tilt is not None:
            fields.append(("log_weight", "f8"))
        if len(self.levels):
            fields.append(("crossings" if self._grid.widths is None else "euler", "i2", (len(self.levels),)))
        if self.keep_scan:
            fields.append(("scan", "f8", self._grid.shape))
        return np.dtype(fields)

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {
            "name": type(self).__name__,
            "spectrum": self._grid.spectrum.describe(),
            "numbers": numbers_digest(self.contents, self._places.templates),
            "signal": self.signal,
            "truth": plain(self.truth),
            "edges": plain(self.edges),
            "positions": plain(self._grid.positions),
            "widths": plain(self._grid.widths),
            "places": sorted(self._grid.places),
            "scale": None if (self.scale == 1).all() else plain(self.scale),
            "tilt": self.tilt,
            "levels": plain(self.levels),
            "keep_scan": self.keep_scan,
        }

    def block(self, key: Key, first: int, out: np.ndarray) -> None:
        """Fill out (n,) with the records of toys `first`, ``first + 1``, ..."""
        counts, centres, log_weights = self._thrower.throw(key, first, len(out))
        z, n_signal, out["status"] = self._significances(counts, centres)
        best = np.where(np.isnan(z), -np.inf, z).argmax(axis=1)
        rows = np.arange(len(out))
        out["z"], out["place"], out["n_signal"] = z[rows, best], best, n_signal[rows, best]
        if self.tilt is not None:
            out["log_weight"] = log_weights
        scans = z.reshape(len(out), *self._grid.shape)
        count = count_up_crossings if self._grid.widths is None else euler_characteristic
        for k, level in enumerate(self.levels):
            out["crossings" if self._grid.widths is None else "euler"][:, k] = count(scans, float(level))
        if self.keep_scan:
            out["scan"] = scans

    def significances(self, counts: ArrayLike, centres: ArrayLike | None = None) -> Floats:
        """Return the signed local significance of given contents, as toys are treated.

        Parameters
        ----------
        counts : (n, bins) array_like
        centres : (n, constraints) array_like, optional
            Results of the auxiliary measurements; by default those of the spectrum's constraints.

        Returns
        -------
        (n, places) ndarray
            NaN where a fit failed.
        """
        rows = finite_array(counts, "counts", ndim=2)
        if rows.shape[1] != len(self.contents) or (rows < 0).any():
            shown = f"has {rows.shape[1]} bins, the least content is {rows.min():g}"
            raise InputError("counts", shown, f"Pass {len(self.contents)} bins, none negative")
        measured = self._places.full.centres
        wanted = len(rows), measured.shape[1]
        if centres is not None:
            measured = finite_array(centres, "centres", ndim=2, allow_empty=True)
            if measured.shape not in (wanted, (1, wanted[1])):
                raise InputError("centres", f"has shape {measured.shape}", f"Pass {wanted}")
        return self._significances(rows, measured)[0]

    def _significances(self, counts: Floats, centres: Floats) -> tuple[Floats, Floats, np.ndarray]:
        """Return significances and yields (toys, places), and the status of each toy."""
        table = self._places.fit(counts, centres)
        null = np.broadcast_to(table.null[:, None], table.best.shape)
        _, z, ok = signed_significance(null, table.best, table.n_signal, table.has_minimum, 1.0)
        some, every = ok.any(axis=1), ok.all(axis=1)
        status = np.where(every, 0, np.where(some, 2, np.where(table.null_found, 3, 1)))
        return z, table.n_signal, status

    @cached_property
    def _places(self) -> CompiledPlaces:
        grid = self._grid
        started = grid.spectrum.start(**{n: v for n, v in self.truth.items() if n in grid.null.floating})
        return compile_places(started, self.signal, self.edges, grid.places, self.scale)

    @cached_property
    def _thrower(self) -> Thrower:
        auxiliary = auxiliary_of(self._grid.spectrum, self.truth)
        if self.tilt is None:
            return Thrower.plain(self.contents, self.scale, auxiliary)
        places, scale = self._places, self.scale
        rows = self.contents * scale, places.templates * scale, places.tangents * scale
        tilts = tilted_means(*rows, self.tilt, information=places.information)
        mixture = tilts.means, tilts.probabilities, tilts.slopes, tilts.offsets
        return Thrower.mixture(*mixture, scale=scale, auxiliary=auxiliary)


def toys_like(
    spectrum: Spectrum,
    data: Histogram | ArrayLike,
    positions: ArrayLike,
    widths: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    signal: str = "signal",
    width_name: str | None = None,
    **options: Any,
) -> DiscoveryToys:
    """Return the study of toys without signal that a scan of data is to be compared with.

    Toys are thrown from the fit of the data without signal, and scanned at the same places. Unbinned data are stood
    for by bins narrow against the signal. Weighted data are thrown as effective events.

    Parameters
    ----------
    spectrum, data, positions, widths, weights, signal, width_name
        As for :func:`hepstat.search.scan`.
    **options
        Passed to :class:`DiscoveryToys`: tilt, levels, keep_scan.

    Returns
    -------
    DiscoveryToys

    Raises
    ------
    FitError
        If the fit without signal fails.
    InputError
        If an argument cannot be used.
    """
    grid = Grid(spectrum, positions, widths, signal, width_name)
    data = take(data)
    null = fit_without_signal(grid, data, weights)
    like: dict[str, Any] = conditions_of(grid, null, data, weights) | {"signal": signal, "width_name": width_name}
    return DiscoveryToys(**like, positions=positions, widths=widths, **options)


def fit_without_signal(grid: Grid, data: Histogram | Floats, weights: ArrayLike | None) -> FitResult:
    """Fit data without signal."""
    null = fit(grid.null, data, weights=weights)
    refuse_start(null)
    if not null.valid:
        raise FitError(f"The fit without signal failed ({null.status}): try another background or range")
    return null


def conditions_of(grid: Grid, null: FitResult, data: Histogram | Floats, weights: ArrayLike | None) -> dict[str, Any]:
    """Return what toys like the data are thrown from: spectrum, edges, and effective events per unit of content."""
    held = grid.given.start(**{name: null.values[name] for name in null.floating})
    taken = take_data(data, weights, grid.spectrum, None)
    if isinstance(taken, Bins):
        return {"spectrum": held, "edges": taken.edges, "scale": taken.scale}
    low, high = grid.spectrum.range
    n_bins = int(np.clip(np.ceil(_BINS_PER_WIDTH * (high - low) / grid.narrowest), FINE_BINS, _MOST_BINS))
    per_weight = 1.0 if taken.weights is None else float(taken.weights.sum() / np.square(taken.weights).sum())
    return {"spectrum": held, "edges": np.linspace(low, high, n_bins + 1), "scale": np.full(n_bins, per_weight)}
