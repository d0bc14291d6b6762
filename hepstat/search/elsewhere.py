"""The global significance of a scan: how often noise alone looks as significant somewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import whole_number
from hepstat.errors import FitError, ToyError
from hepstat.fit import fit
from hepstat.fit.data import Bins, is_histogram, take_data
from hepstat.histogram import Histogram
from hepstat.infer import (
    gross_vitells,
    p_to_z,
    toy_p_value_of,
    trials_factor,
    vitells_gross,
    weighted_p_value,
)
from hepstat.record import Record
from hepstat.search.discovery import DiscoveryToys
from hepstat.search.scan import FINE_BINS, Grid, Scan, refuse_start, take
from hepstat.seeds import Rng, stream_key
from hepstat.shapes import Spectrum
from hepstat.toys import ToyTable, run
from hepstat.types import Floats

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["GlobalSignificance", "global_significance", "toys_like"]

_LEVELS = {1: (0.5,), 2: (0.5, 2.0)}  # of q0, by the dimension of the scan
_TILTED_ABOVE = 1.0  # local significance from which importance sampling is worth its mixture
_MOST_TILTED = 30_000
_BINS_PER_WIDTH = 4  # at least, of the bins that stand for unbinned data
_MOST_BINS = 4000


@dataclass(frozen=True, eq=False, repr=False)
class GlobalSignificance(Record):
    """Local and global p-values of the highest bump of a scan, by several methods.

    Arrays have one entry per method.

    Parameters
    ----------
    methods : tuple of str
        ``"local, asymptotic"``, ``"local, tilted toys"``; then the global ones: ``"toys"``, ``"tilted toys"`` and
        ``"up-crossings"`` (of a scan in position) or ``"Euler characteristic"`` (in position and width).
    p, p_lower, p_upper : array
        p-values with an interval of one standard deviation.
    z, z_lower, z_upper : array
        The same in standard deviations.
    n_toys : array
        Toys behind each.
    n_failed : array
        Toys that failed, counted as at least as significant as the data.
    z_local : float
        Largest local significance of the scan.
    position, width : float
        Where it is; `width` is NaN if none was scanned.
    crossings : array
        Mean number of up-crossings, or mean Euler characteristic, at each of `levels`.
    levels : array
        Levels of q0.
    complete : bool
        False if the toys were interrupted.
    notes : tuple of str
        What a reader should know before believing the numbers.
    """

    methods: tuple[str, ...]
    p: Floats
    p_lower: Floats
    p_upper: Floats
    z: Floats
    z_lower: Floats
    z_upper: Floats
    n_toys: Floats
    n_failed: Floats
    z_local: float
    position: float
    width: float
    crossings: Floats
    levels: Floats
    complete: bool
    notes: tuple[str, ...]

    @property
    def best_method(self) -> str:
        """The global method with the smallest relative error, toys of either kind before the asymptotic formula."""
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = (self.p_upper - self.p_lower) / self.p
        chosen = [name for name in ("toys", "tilted toys") if name in self.methods]
        return min(chosen, key=lambda name: float(spread[self.methods.index(name)]))

    @property
    def p_global(self) -> float:
        """Global p-value by `best_method`."""
        return float(self.p[self.methods.index(self.best_method)])

    @property
    def z_global(self) -> float:
        """Global significance by `best_method`."""
        return float(self.z[self.methods.index(self.best_method)])

    @property
    def trials_factor(self) -> float:
        """Global over local p-value, the latter by the asymptotic formula."""
        return float(trials_factor(self.p_global, float(self.p[0])))

    def table(self) -> Table:
        """Return the methods side by side as a rich table."""
        from rich.table import Table

        table = Table(title="How sure?", caption="; ".join(self.notes) or None)
        table.add_column("method", no_wrap=True)
        for heading in ("p", "Z", "68% interval", "toys"):
            table.add_column(heading, justify="right", no_wrap=True)
        for i, name in enumerate(self.methods):
            exact = self.n_toys[i] == 0
            table.add_row(
                name if name.startswith("local") else f"global, {name}",
                f"{self.p[i]:.3g}",
                f"{self.z[i]:.2f}",
                "" if exact else f"{self.z_lower[i]:.2f} to {self.z_upper[i]:.2f}",
                "" if exact else f"{self.n_toys[i]:.0f}",
            )
        return table

    def __repr__(self) -> str:
        """Show local and global significance."""
        i = self.methods.index(self.best_method)
        return (
            f"GlobalSignificance(local Z = {self.z_local:.3g}; global Z = {self.z[i]:.3g} in "
            f"[{self.z_lower[i]:.3g}, {self.z_upper[i]:.3g}], p = {self.p[i]:.3g} by {self.best_method}; "
            f"trials factor {self.trials_factor:.3g})"
        )


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
    null = fit(grid.null, data, weights=weights)
    refuse_start(null)
    if not null.valid:
        raise FitError(f"The fit without signal failed ({null.status}): try another background or range")
    edges, scale = _bins_like(data, weights, grid)
    held = spectrum.start(**{name: null.values[name] for name in null.floating})
    return DiscoveryToys(held, edges, positions, widths, signal=signal, width_name=width_name, scale=scale, **options)


def _bins_like(data: Histogram | Floats, weights: ArrayLike | None, grid: Grid) -> tuple[Floats, Floats]:
    """Return edges and effective events per unit of content for toys like the data."""
    taken = take_data(data, weights, grid.spectrum, None)
    if isinstance(taken, Bins):
        return taken.edges, taken.scale
    low, high = grid.spectrum.range
    n_bins = int(np.clip(np.ceil(_BINS_PER_WIDTH * (high - low) / grid.narrowest), FINE_BINS, _MOST_BINS))
    per_weight = 1.0 if taken.weights is None else float(taken.weights.sum() / np.square(taken.weights).sum())
    return np.linspace(low, high, n_bins + 1), np.full(n_bins, per_weight)


def global_significance(
    scanned: Scan,
    spectrum: Spectrum,
    data: Histogram | ArrayLike,
    *,
    rng: Rng,
    toys: int = 10_000,
    tilted: int | None = None,
    weights: ArrayLike | None = None,
    signal: str = "signal",
    width_name: str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    path: str | Path | None = None,
    progress: str | None = None,
) -> GlobalSignificance:
    """Find the global significance of the highest bump of a scan, by all methods side by side.

    - Toys: the fraction of data sets without signal whose scan has a bump as high anywhere.
    - Tilted toys: the same by importance sampling, which reaches where no plain toy does
      (:func:`hepstat.infer.tilted_means`); also for the local p-value, without asymptotic formulae.
    - Up-crossings of a low level in the plain toys (Gross and Vitells, arXiv:1005.1891), or for a scan in position and
      width the Euler characteristic at two (Vitells and Gross, arXiv:1105.4355).

    Toys that failed count as at least as significant as the data. Ctrl-C ends the toys; what can be said with those
    that are finished is returned, with a note.

    Parameters
    ----------
    scanned : Scan
        Of the data.
    spectrum, data, weights, signal, width_name
        As they were given to :func:`hepstat.search.scan`.
    rng : int, SeedSequence or Generator
    toys : int, optional
        Number of plain toys, at least 100.
    tilted : int, optional
        Number of tilted toys for the local and for the global p-value each, 0 for none; by default as many as plain
        toys, at most 30,000, and none below a local significance of 1.
    workers, executor, progress
        See :func:`hepstat.toys.run`.
    path : str or Path, optional
        Folder in which finished toys are kept, so that an interrupted run can be continued.

    Returns
    -------
    GlobalSignificance

    Raises
    ------
    InputError
        If an argument cannot be used.
    FitError
        If the fit without signal fails.
    ToyError
        If it is interrupted before two plain toys are finished, or a block of toys raises.
    """
    n, z = whole_number(toys, "toys", at_least=100), scanned.best_z
    n_tilted = (min(n, _MOST_TILTED) if z >= _TILTED_ABOVE else 0) if tilted is None else whole_number(tilted, "tilted")
    key = [int(word) for word in stream_key(rng)]
    like: dict[str, Any] = {"weights": weights, "signal": signal, "width_name": width_name}
    everywhere = scanned.positions, scanned.widths
    here = scanned.positions[[scanned.best[-1]]], None if scanned.widths is None else scanned.widths[[scanned.best[0]]]
    levels = _LEVELS[scanned.z.ndim]
    studies = {"toys": (n, toys_like(spectrum, data, *everywhere, levels=levels, **like))}
    if n_tilted:
        studies["tilted toys"] = n_tilted, toys_like(spectrum, data, *everywhere, tilt=z, **like)
        studies["local, tilted toys"] = n_tilted, toys_like(spectrum, data, *here, tilt=z, **like)
    tables: dict[str, ToyTable] = {}
    for i, (name, (size, study)) in enumerate(studies.items()):
        tables[name] = run(
            study,
            size,
            rng=np.random.SeedSequence([*key, i]),
            workers=workers,
            executor=executor,
            path=None if path is None else Path(path) / name.replace(", ", "-").replace(" ", "-"),
            progress=progress and f"{progress}: {name}",
        )
        if not tables[name].complete:
            break
    if len(tables["toys"]) < 2:
        raise ToyError("interrupted before two toys were finished", tables["toys"])
    return _compared(scanned, tables, _notes(tables, studies["toys"][1], data))


class _Row(NamedTuple):
    """One method."""

    p: float
    p_lower: float
    p_upper: float
    z: float
    z_lower: float
    z_upper: float
    n_toys: float
    n_failed: float


def _compared(scanned: Scan, tables: Mapping[str, ToyTable], notes: list[str]) -> GlobalSignificance:
    """Put the methods side by side."""
    z, p = scanned.best_z, scanned.best_p0
    rows = {"local, asymptotic": _Row(p, p, p, z, z, z, 0, 0)}
    for name in ("local, tilted toys", "toys", "tilted toys"):
        if name not in tables or not len(tables[name]):
            continue
        table = tables[name]
        if name == "toys":
            plain = toy_p_value_of(table, "z", z)
            rows[name] = _Row(
                plain.p, plain.p_lower, plain.p_upper, plain.z, plain.z_lower, plain.z_upper, len(table), table.n_failed
            )
            continue
        found = weighted_p_value(table["z"], z, table["log_weight"], failed=table.status != 0)
        low, high = max(found.p - found.error, 0.0), min(found.p + found.error, 1.0)
        rows[name] = _Row(found.p, low, high, found.z, found.z_lower, found.z_upper, len(table), table.n_failed)
        if found.warning:
            notes.append(f"{name}: {found.warning}")
    field, levels = ("crossings", _LEVELS[1]) if scanned.widths is None else ("euler", _LEVELS[2])
    counted = tables["toys"]["crossings" if scanned.widths is None else "euler"]
    asymptotic = gross_vitells(counted[:, 0], levels[0]) if field == "crossings" else vitells_gross(counted, levels)
    p, error = asymptotic.p_global(z)
    low, high = max(p - error, 0.0), min(p + error, 1.0)
    name = "up-crossings" if field == "crossings" else "Euler characteristic"
    rows[name] = _Row(p, low, high, p_to_z(p), p_to_z(high), p_to_z(low), len(counted), tables["toys"].n_failed)
    column = {name: np.array([getattr(row, name) for row in rows.values()], dtype=np.float64) for name in _Row._fields}
    return GlobalSignificance(
        methods=tuple(rows),
        p=column["p"],
        p_lower=column["p_lower"],
        p_upper=column["p_upper"],
        z=column["z"],
        z_lower=column["z_lower"],
        z_upper=column["z_upper"],
        n_toys=column["n_toys"],
        n_failed=column["n_failed"],
        z_local=z,
        position=scanned.best_position,
        width=math.nan if scanned.best_width is None else scanned.best_width,
        crossings=counted.mean(axis=0),
        levels=np.array(levels),
        complete=all(table.complete for table in tables.values()),
        notes=tuple(notes),
    )


def _notes(tables: Mapping[str, ToyTable], study: DiscoveryToys, data: Any) -> list[str]:
    """Return what a reader should know about the toys."""
    notes = []
    if not is_histogram(data):
        notes.append(f"unbinned data were stood for by {len(study.contents)} bins in the toys")
    failed = {name: table.n_failed for name, table in tables.items() if table.n_failed}
    if failed:
        shares = ", ".join(f"{count} of {len(tables[name])} {name}" for name, count in failed.items())
        notes.append(f"{shares} failed and count as at least as significant")
    if any(not table.complete for table in tables.values()):
        notes.append("interrupted: fewer toys than were asked for")
    return notes
