"""What studies of toys share: parts that throw toys and keep them, and rows of means, medians and shares."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from hepstat import toys
from hepstat.infer import moments
from hepstat.seeds import Key, stream_key, toy_generator
from hepstat.studies.frame import Run, Study
from hepstat.studies.results import Results, Row, row
from hepstat.toys import ToyTable
from hepstat.types import Floats

__all__ = ["Throw", "ToyStudy", "mean_row", "median_of", "median_row", "share_row"]

S = TypeVar("S")

_MOST_FAILED = 0.05


@dataclass(frozen=True)
class Throw:
    """Throws toys and keeps them.

    Parameters
    ----------
    key : Key
        Of all random numbers.
    workers : int
    folder : Path or None
        Where the toys go, so that a run that was interrupted goes on; None for memory.
    """

    key: Key
    workers: int
    folder: Path | None = None

    def rng(self, name: str) -> np.random.Generator:
        """Return a generator of its own for each name, the same for every call."""
        return toy_generator(self.key, zlib.crc32(name.encode()))

    def place(self, name: str) -> Path | None:
        """Return where something of this name is kept."""
        return None if self.folder is None else self.folder / name

    def __call__(self, data: str, name: str, study: toys.Study, n: int) -> ToyTable:
        """Return n toys of a study. Studies of the same `data` see the same data sets."""
        path = self.place(re.sub(r"[^\w+-]+", "_", f"{data} {name}"))
        table = toys.run(study, n, rng=self.rng(data), workers=self.workers, path=path)
        if not table.complete:
            raise KeyboardInterrupt
        return table.require(_MOST_FAILED)


@dataclass(frozen=True, eq=False)
class ToyStudy(Generic[S]):
    """A study whose parts throw toys and keep them.

    Parameters
    ----------
    name, scales
        As for :class:`hepstat.studies.frame.Study`.
    parts : sequence of callable
        Functions of the scale, of what throws the toys of this part, and of the key of the study, for what parts have
        in common.
    """

    name: str
    scales: Mapping[str, S]
    parts: Sequence[Callable[[S, Throw, Key], Run]]

    def reproduce(
        self,
        out: str | Path,
        scale: Literal["quick", "full"] = "quick",
        seed: int = 1,
        workers: int = 1,
        progress: str | None = None,
    ) -> Results:
        """Run the study; write pictures, results.json and, in ``toys``, all toys: a run that was interrupted goes on.

        Parameters
        ----------
        out, scale, seed, workers, progress
            As in :meth:`hepstat.studies.frame.Study.reproduce`; quick takes some minutes on two cores, full hours.

        Returns
        -------
        Results
            Rows and files.

        Raises
        ------
        InputError
            For an unknown scale, a seed or a number of workers out of range, a folder that cannot be written, or toys
            there that are of another version of this study.
        """
        study = self.kept(Path(out) / "toys" / f"{scale}-{seed}")
        return study.reproduce(out, scale, seed, workers, progress)

    def kept(self, folder: Path | None) -> Study[S]:
        """Return the study that keeps its toys in a folder; None for memory."""
        return Study(self.name, self.scales, [partial(_run, part, i, folder) for i, part in enumerate(self.parts)])


def _run(
    part: Callable[[S, Throw, Key], Run], number: int, folder: Path | None, size: S, key: Key, workers: int
) -> Run:
    """Run a part, whose number makes its key."""
    return part(size, Throw(stream_key(toy_generator(key, number)), workers, folder), key)


def median_of(values: Floats) -> tuple[float, float]:
    """Return the median and its standard error, as for a normal distribution of that central width."""
    low, high = np.quantile(values, [0.1587, 0.8413], method="nearest")
    return float(np.median(values)), 1.2533 * 0.5 * float(high - low) / math.sqrt(values.size)


def mean_row(name: str, values: Floats, *, assumed: int = 100, **options: Any) -> Row:
    """Return the row of a mean of toys; a published number counts like that of so many toys of the same spread."""
    found = moments(values)
    reference_error = found.width / math.sqrt(assumed)
    return row(name, found.mean, found.mean_error, reference_error=reference_error, **options)


def median_row(name: str, values: Floats, *, assumed: int = 100, **options: Any) -> Row:
    """Return the row of a median of toys; a published number counts like that of so many toys of the same spread."""
    median, error = median_of(values)
    return row(name, median, error, reference_error=error * math.sqrt(values.size / assumed), **options)


def share_row(name: str, yes: Any, **options: Any) -> Row:
    """Return the row of a share of toys, with the error of a binomial number."""
    k, n = int(np.sum(yes)), np.size(yes)
    return row(name, k / n, math.sqrt((k + 0.5) * (n - k + 0.5) / (n + 1)) / n, **options)
