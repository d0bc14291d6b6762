"""What a study writes: rows of published, computed and own numbers, in one results.json beside its pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hepstat.errors import InputError
from hepstat.record import Record, plain
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Results", "Row", "mean_and_std", "row"]


@dataclass(frozen=True)
class Row(Record):
    """One number.

    Parameters
    ----------
    name : str
        What it is.
    published : float or None
        In the source document.
    computed : float or None
        A reference value from elsewhere: algebra, or an independent program.
    ours : float or None
        What this run has found.
    error : float or None
        Its standard deviation, over trainings or toys if the note does not say otherwise.
    pull : float or None
        (ours - reference) / error, the reference being `computed` or else `published`; its error counts where known.
    note : str
        Why they differ, or what the number means.
    """

    name: str
    published: float | None
    computed: float | None
    ours: float | None
    error: float | None
    pull: float | None
    note: str


def row(
    name: str,
    ours: float | None = None,
    error: float | None = None,
    *,
    published: float | None = None,
    computed: float | None = None,
    reference_error: float = 0.0,
    tested: bool = True,
    note: str = "",
) -> Row:
    """Return a row; numbers that are not finite become None.

    Parameters
    ----------
    name, ours, error, published, computed, note
        As in :class:`Row`.
    reference_error : float, optional
        Error of the reference; it is added to `error` in quadrature for the pull.
    tested : bool, optional
        Whether the row has a pull: no, where the reference is not meant to be the same number.
    """
    published, computed, ours, error = (_number(x) for x in (published, computed, ours, error))
    reference = published if computed is None else computed
    pull = None
    if tested and reference is not None and ours is not None and error:
        pull = (ours - reference) / math.hypot(error, reference_error)
    return Row(name, published, computed, ours, error, pull, note)


def mean_and_std(values: Sequence[float] | Floats) -> tuple[float, float | None]:
    """Return mean and standard deviation, None for a single value."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else None


def _number(x: float | None) -> float | None:
    return None if x is None or not math.isfinite(x) else float(x)


@dataclass(frozen=True)
class Results:
    """The rows of a study and the files that it wrote.

    Parameters
    ----------
    study, scale : str
        Names.
    seed : int
        Of all random numbers.
    version : str
        Of hepstat.
    rows : tuple of Row
    files : tuple of Path
        Pictures, and results.json at the end.
    """

    study: str
    scale: str
    seed: int
    version: str
    rows: tuple[Row, ...]
    files: tuple[Path, ...] = ()

    def __str__(self) -> str:
        """Return the rows as a table, without their notes."""
        width = max(4, *(len(entry.name) for entry in self.rows))
        lines = [f"{'name':<{width}} {'published':>9} {'computed':>9} {'ours':>9} {'error':>9} {'pull':>6}"]
        for entry in self.rows:
            numbers = (entry.published, entry.computed, entry.ours, entry.error)
            cells = " ".join(f"{'' if x is None else f'{x:.4g}':>9}" for x in numbers)
            pull = "" if entry.pull is None else f"{entry.pull:+.1f}"
            lines.append(f"{entry.name:<{width}} {cells} {pull:>6}".rstrip())
        return "\n".join(lines)

    def write(self, out: str | Path, pictures: dict[str, Figure]) -> Results:
        """Write pictures by file name and results.json into a folder, and return the results with these files.

        Raises
        ------
        InputError
            If they cannot be written.
        """
        folder = Path(out)
        files = [folder / name for name in (*pictures, "results.json")]
        entries = {
            "study": self.study,
            "scale": self.scale,
            "seed": self.seed,
            "version": self.version,
            "rows": plain(self.rows),
        }
        text = json.dumps(entries, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for file, figure in zip(files[:-1], pictures.values(), strict=True):
                figure.savefig(file)
            files[-1].write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError("out", f"{str(folder)!r} cannot be written ({error})", "Choose another folder") from None
        return replace(self, files=tuple(files))
