"""The global significance of a scan: how often noise alone looks as significant somewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import whole_number
from hepstat.errors import InputError, ToyError
from hepstat.fit import FitResult
from hepstat.fit.data import is_histogram, take
from hepstat.histogram import Histogram
from hepstat.infer import (
    ToyPValue,
    WeightedPValue,
    gross_vitells,
    p_to_z,
    toy_p_value_of,
    trials_factor,
    vitells_gross,
    weighted_p_value_of,
)
from hepstat.record import Record
from hepstat.search.discovery import DiscoveryToys, conditions_of, fit_without_signal
from hepstat.search.scan import Grid, Scan
from hepstat.seeds import Rng, stream_key
from hepstat.shapes import Spectrum
from hepstat.toys import ToyTable, run
from hepstat.types import Floats

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["LEAST_TOYS", "GlobalSignificance", "global_significance"]

LEAST_TOYS = 100
_TIE = 1e-5  # relative difference of significances that are equal but for the accuracy of fits
_LEVELS = {1: (0.5,), 2: (0.5, 2.0)}  # of q0, by the dimension of the scan
_TILTED_ABOVE = 1.0  # local significance from which importance sampling is worth its mixture
_MOST_TILTED = 30_000


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
        Mean number of up-crossings, or mean Euler characteristic, at each of `levels`, in toys that did not fail.
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
        """Toys or tilted toys: that with the smaller relative error, and no warning if the other has one."""
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = (self.p_upper - self.p_lower) / self.p
        chosen = [name for name in ("toys", "tilted toys") if name in self.methods]
        trusted = [name for name in chosen if not any(note.startswith(f"{name}:") for note in self.notes)]

        def error(name: str) -> float:
            value = float(spread[self.methods.index(name)])
            return math.inf if math.isnan(value) else value

        return min(trusted or chosen, key=error)

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
        """Global over local p-value, the latter by the asymptotic formula; NaN where that underflows."""
        return float(trials_factor(self.p_global, float(self.p[0]))) if self.p[0] > 0 else math.nan

    @classmethod
    def from_dict(cls, entries: dict[str, Any]) -> Self:
        """Make the record from what `to_dict` gave, or of `results.json`, where null stands for infinity too.

        Raises
        ------
        InputError
            If fields are missing or unknown.
        """
        record = super().from_dict(entries)

        def back(z: Floats, p: Floats) -> Floats:
            lost = np.isnan(z) & ~np.isnan(p)
            return np.where(lost, p_to_z(np.where(lost, p, 0.5)), z)

        return replace(
            record,
            z=back(record.z, record.p),
            z_lower=back(record.z_lower, record.p_upper),
            z_upper=back(record.z_upper, record.p_lower),
        )

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

    Toys count from a local significance on that is smaller than that of the data by a relative 1e-5, so that none is
    missed for the accuracy of fits. Toys that failed count as at least as significant as the data. Ctrl-C ends the
    toys; what can be said with those that are finished is returned, with a note.

    Parameters
    ----------
    scanned : Scan
        Of the data.
    spectrum, data, weights, signal, width_name
        As they were given to :func:`hepstat.search.scan`.
    rng : int, SeedSequence or Generator
        Where toys come from.
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
        If an argument cannot be used, or the data are not those of the scan.
    FitError
        If the fit without signal fails.
    ToyError
        If fewer than two plain toys are finished and fine, or a block of toys raises.
    """
    n, z = whole_number(toys, "toys", at_least=LEAST_TOYS), scanned.best_z
    n_tilted = (min(n, _MOST_TILTED) if z >= _TILTED_ABOVE else 0) if tilted is None else whole_number(tilted, "tilted")
    if n_tilted and not z > 0:
        raise InputError("tilted", f"is {n_tilted}, but the scan has no excess", "Pass 0")
    key = [int(word) for word in stream_key(rng)]
    grid = Grid(spectrum, scanned.positions, scanned.widths, signal, width_name)
    data = take(data)
    null = fit_without_signal(grid, data, weights)
    _refuse_other_data(null, scanned)
    like: dict[str, Any] = conditions_of(grid, null, data, weights) | {"signal": signal, "width_name": width_name}
    notes = [] if is_histogram(data) else [f"unbinned data were stood for by {len(like['scale'])} bins in the toys"]
    studies = _studies(scanned, like, n, n_tilted, notes)
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
            notes.append("interrupted: fewer toys than were asked for")
            break
    if np.count_nonzero(tables["toys"].ok) < 2:
        raise ToyError("fewer than two toys are finished and fine: no global significance", tables["toys"])
    return _compared(scanned, tables, notes)


def _refuse_other_data(null: FitResult, scanned: Scan) -> None:
    """Raise InputError if a fit without signal is not that of the scan."""
    if abs(null.nll - scanned.nll_background) > 1e-3 + 1e-7 * abs(null.nll):
        raise InputError(
            "data",
            f"have -log L = {null.nll:.6g} without signal, those of the scan {scanned.nll_background:.6g}",
            "Pass the data, weights and spectrum that were scanned",
        )


def _studies(
    scanned: Scan, like: dict[str, Any], n: int, n_tilted: int, notes: list[str]
) -> dict[str, tuple[int, DiscoveryToys]]:
    """Return by name what toys to throw and how many, and note if there can be no tilted ones."""
    widths = scanned.widths
    everywhere: dict[str, Any] = {
        "positions": np.unique(scanned.positions),  # in order, since crossings are counted from place to place
        "widths": None if widths is None else np.unique(widths),
    }
    here: dict[str, Any] = {
        "positions": [scanned.best_position],
        "widths": None if widths is None else [scanned.best_width],
    }
    studies = {"toys": (n, DiscoveryToys(**like, **everywhere, levels=_LEVELS[scanned.z.ndim]))}
    for name, places in (("tilted toys", everywhere), ("local, tilted toys", here)) if n_tilted else ():
        study = DiscoveryToys(**like, **places, tilt=scanned.best_z)
        try:
            study.block(stream_key(0), 0, np.zeros(0, study.dtype))  # prepare it
        except InputError as error:
            notes.append(f"{name}: {error}")
        else:
            studies[name] = n_tilted, study
    return studies


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
    z, p0, levels = scanned.best_z, scanned.best_p0, _LEVELS[scanned.z.ndim]
    seen = z - _TIE * max(1.0, abs(z))
    rows = {"local, asymptotic": _Row(p0, p0, p0, z, z, z, 0, 0)}
    for name in ("local, tilted toys", "toys", "tilted toys"):
        if name in tables and len(tables[name]):
            rows[name] = _row_of(name, tables[name], seen, notes)
    plain = tables["toys"]
    counted = plain["crossings" if len(levels) == 1 else "euler"][plain.ok]
    asymptotic = gross_vitells(counted, *levels) if len(levels) == 1 else vitells_gross(counted, levels)
    (p, p_error), (z_global, z_error) = asymptotic.p_global(z), asymptotic.z_global(z)
    ends = max(p - p_error, 0.0), min(p + p_error, 1.0), z_global, z_global - z_error, z_global + z_error
    rows["up-crossings" if len(levels) == 1 else "Euler characteristic"] = _Row(p, *ends, len(counted), plain.n_failed)
    failed = {name: table.n_failed for name, table in tables.items() if table.n_failed}
    if failed:
        shares = ", ".join(f"{count} of {len(tables[name])} {name}" for name, count in failed.items())
        notes.append(f"{shares} failed: counted as at least as significant, left out of {tuple(rows)[-1]}")
    column = {name: np.array([getattr(row, name) for row in rows.values()], dtype=np.float64) for name in _Row._fields}
    return GlobalSignificance(
        methods=tuple(rows),
        **column,
        z_local=z,
        position=scanned.best_position,
        width=math.nan if scanned.best_width is None else scanned.best_width,
        crossings=counted.mean(axis=0),
        levels=np.array(levels),
        complete=all(table.complete for table in tables.values()),
        notes=tuple(notes),
    )


def _row_of(name: str, table: ToyTable, seen: float, notes: list[str]) -> _Row:
    """Return what toys say, and note why they should not be believed."""
    found: ToyPValue | WeightedPValue
    if "log_weight" in (table.dtype.names or ()):
        found = weighted_p_value_of(table, "z", seen)
        if found.warning:
            notes.append(f"{name}: {found.warning}")
    else:
        found = toy_p_value_of(table, "z", seen)
    interval = found.p, found.p_lower, found.p_upper, found.z, found.z_lower, found.z_upper
    return _Row(*interval, len(table), table.n_failed)
